package decode

import "strings"

// field is a named fact of an event, before it is known which key it comes from.
type field uint8

const (
	noField field = iota
	fTime
	fSeconds // first half of a time given as a pair
	fNanos   // second half
	fLevel
	fSeverity // OpenTelemetry's number
	fMessage
	fError
	fStack // gives an error where nothing better does
	fService
	fContainer
	fPod  // gives a service, if no container does, and an instance
	fUnit // systemd's or syslog's name of a service
	fInstance
	fHost
	fEnv
	fLogger
	fName // service or logger, depending on the library
	fTrace
	fSpan
	fTraceparent
	fRequest
	fMethod
	fAnyMethod
	fRoute
	fPath
	fAnyPath
	fStatus
	fAnyStatus // HTTP number or gRPC name
	fDuration
	fAnyDuration
	fClient
	fRPCSystem
	fRPCService
	fRPCMethod
	fRPCCode
	fRPCDuration
	fAnyCode
	fNATSAccount
	fNATSServer
	fNATSCluster
	fNATSStream
	fNATSConsumer
	fNATSSubject
	fNATSSeq
	fNATSDeliveries
	fNATSReason
	fNATSCID
	fNATSClient
	fNATSUser
	fNATSHost
	fNATSErrCode
	fNATSLeader
	fAnyRoute
	fRequestLine
	fAnySubject
	fAnyStream
	fAnyConsumer
	nFields
)

const _ = uint(64 - nFields) // fields are bits of a word

// ambiguous fields come from keys that mean something else as often. They fill
// the named field only where the record supports it, and stay in attrs too.
const ambiguous uint64 = 1<<fName | 1<<fAnyMethod | 1<<fAnyPath | 1<<fAnyStatus | 1<<fAnyDuration | 1<<fAnyCode | 1<<fStack |
	1<<fAnyRoute | 1<<fRequestLine | 1<<fAnySubject | 1<<fAnyStream | 1<<fAnyConsumer

// keyTable says which keys fill which field, best first: of the keys of one
// field that a record has, the first one with a usable value counts. Case and the
// characters _ and - make no difference (trace_id, traceId, TraceID). A dotted
// path is met flat ("http.status") as well as nested. What fills a field is no
// attribute any more, but for words that services use for other things as well:
// those marked ~, and all keys of ambiguous fields.
var keyTable = []struct {
	field field
	name  string // as Options.Map calls it
	keys  string
}{
	{fTime, "time", "@timestamp timestamp time ts @t datetime eventtime asctime logtime timemillis loggedat instant timeunixnano realtimetimestamp sourcerealtimetimestamp ~starttime timeiso8601 timelocal ~date msec record.time.repr record.time.timestamp ~t ~startedat observedtimestamp"},
	{fSeconds, "", "timestampseconds"},
	{fNanos, "", "timestampnanos"},
	{fLevel, "level", "level severity log.level lvl @l loglevel levelname severitytext level.name syslog.severity.name logging.level levelvalue record.level.name levelno levelnumber ~priority syslog.severity.code ~l ~s"},
	{fSeverity, "severity_number", "severitynumber"},
	{fMessage, "message", "formattedmessage renderedmessage message msg @m @mt shortmessage record.message event body body.stringvalue log textpayload fullmessage log.message event.original messagetemplate resultdescription ~text ~m"},
	{fError, "error", "error.message err.message error err exception.message exception.excvalue exception.exceptionmessage throwable.message thrown.message errormessage errmsg error.msg err.msg grpc.error exception @x exc excinfo thrown throwable errors ~error.type ~error.kind ~error.name ~err.name ~err.type ~error.code ~err.code ~error.reason errorverbose"},
	{fStack, "", "stacktrace stack error.stacktrace error.stack err.stack exception.stacktrace"},
	{fService, "service", "service.name service servicename app.name ~app ~application applicationname otelservicename resource.service.name dd.service serviceid kubernetes.labels.app.kubernetes.io/name kubernetes.podlabels.app.kubernetes.io/name kubernetes.labels.appkubernetesio/name kubernetes.labels.app kubernetes.podlabels.app kubernetes.labels.k8sapp k8s.deployment.name ~appname syslog.appname ~microservice ~program"},
	{fPod, "", "k8s.pod.name kubernetes.podname kubernetes.pod.name resource.labels.podname podname ~pod"},
	{fContainer, "", "k8s.container.name kubernetes.containername kubernetes.container.name resource.labels.containername container.name containername ~container"},
	{fUnit, "", "syslogidentifier systemdunit systemd.unit"},
	{fInstance, "instance", "service.instance.id instance instanceid service.node.name"},
	{fHost, "host", "host.name host hostname host.hostname k8s.node.name kubernetes.host kubernetes.node.name kubernetes.nodename ~nodename ~node machinename server.hostname"},
	{fEnv, "env", "deployment.environment.name deployment.environment service.environment env environment dd.env"},
	{fLogger, "logger", "log.logger logger loggername sourcecontext scope.name otel.scope.name instrumentationscope.name record.name ~category ~n"},
	{fName, "", "name"},
	{fTrace, "trace_id", "traceid trace.id oteltraceid @tr logging.googleapis.com/trace xb3traceid xtraceid dd.traceid xraytraceid xamzntraceid amzntraceid ~trace"},
	{fSpan, "span_id", "spanid span.id otelspanid @sp logging.googleapis.com/spanid xb3spanid dd.spanid trace.spanid"},
	{fTraceparent, "", "traceparent ubertraceid b3 req.headers.traceparent httptraceparent request.headers.traceparent headers.traceparent http.request.header.traceparent"},
	{fRequest, "request_id", "requestid http.requestid http.request.id http.req.id request.id req.id reqid xrequestid http.request.header.xrequestid correlationid xcorrelationid req.headers.xrequestid httpxrequestid request.headers.xrequestid headers.xrequestid functionrequestid awsrequestid"},
	{fMethod, "http.method", "http.request.method http.method http.req.method httpmethod req.method request.method requestmethod httprequest.requestmethod"},
	{fAnyMethod, "", "method verb"},
	{fRoute, "http.route", "http.route httproute url.template request.route"},
	{fAnyRoute, "", "route endpoint"},
	{fPath, "http.path", "http.path url.path http.target http.req.path http.request.path httppath http.url url.full url.original req.url req.path request.path request.url requesturi requestpath httprequest.requesturl xenvoyoriginalpath request.uri http.urldetails.path http.uri"},
	{fAnyPath, "", "path uri url target"},
	{fStatus, "http.status", "http.status http.response.statuscode http.statuscode http.resp.status http.response.status httpstatus httpstatuscode res.statuscode res.status response.status response.statuscode responsecode responsestatus httprequest.status downstreamstatus request.status resp.status resp.statuscode response.code"},
	{fRequestLine, "", "request requestline"},
	{fAnyStatus, "", "status statuscode response"},
	{fDuration, "http.duration_ms", "http.durationms http.server.request.duration http.client.request.duration http.resp.tookms http.duration responsetime requesttime event.duration httprequest.latency upstreamresponsetime elapsedmilliseconds response.latency latencies.request request.duration request.durationms http.latencyms http.latency httpduration"},
	{fAnyDuration, "", "durationms latencyms elapsedms tookms timems requestdurationms responsetimems requesttimems processingtimems elapsedtimems totaltimems latencyhuman durations durationseconds latencys elapseds durationns latencyns elapsedns durationus latencyus duration latency elapsed took requestduration requestlatency elapsedtime processingtime"},
	{fClient, "http.client", "http.client client.address http.clientip client.ip clientip remoteaddr remoteip httprequest.remoteip http.remoteaddr net.peer.ip net.sock.peer.addr req.remoteaddress source.address source.ip request.clientip request.remoteip request.ip request.remoteaddr clientaddr clienthost clientaddress remoteaddress remotehost sourceip http.clientaddress network.client.ip requestip userip ~remote ~ip xforwardedfor downstreamremoteaddress"},
	{fRPCSystem, "rpc.system", "rpc.system rpc.system.name"},
	{fRPCService, "rpc.service", "rpc.service grpc.service grpcservice"},
	{fRPCMethod, "rpc.method", "rpc.method grpc.method rpc.fullmethod grpc.fullmethod fullmethod grpcmethod"},
	{fRPCCode, "rpc.code", "rpc.code rpc.response.statuscode rpc.statuscode rpc.grpc.statuscode rpc.grpc.status grpc.code grpc.statuscode grpc.status grpccode grpcstatus grpcstatuscode rpc.connectrpc.errorcode rpc.status"},
	{fRPCDuration, "rpc.duration_ms", "rpc.durationms grpc.timems grpc.duration rpc.server.duration rpc.client.duration rpc.duration grpc.timens grpc.durationms"},
	{fAnyCode, "", "code"},
	{fNATSAccount, "nats.account", "nats.account"},
	{fNATSServer, "nats.server", "nats.server"},
	{fNATSCluster, "nats.cluster", "nats.cluster"},
	{fNATSStream, "nats.stream", "nats.stream jetstream.stream messaging.nats.stream"},
	{fNATSConsumer, "nats.consumer", "nats.consumer jetstream.consumer messaging.nats.consumer"},
	{fNATSSubject, "nats.subject", "nats.subject natssubject"},
	{fNATSSeq, "nats.seq", "nats.seq nats.streamseq nats.streamsequence"},
	{fNATSDeliveries, "nats.deliveries", "nats.deliveries nats.numdelivered"},
	{fNATSReason, "nats.reason", "nats.reason"},
	{fNATSCID, "nats.cid", "nats.cid"},
	{fNATSClient, "nats.client", "nats.client"},
	{fNATSUser, "nats.user", "nats.user"},
	{fNATSHost, "nats.host", "nats.host"},
	{fNATSErrCode, "nats.err_code", "nats.errcode natserrcode errcode apierror.errcode error.errcode err.errcode error.apierror.errcode err.apierror.errcode"},
	{fNATSLeader, "nats.leader", "nats.leader"},
	{fAnySubject, "", "subject"},
	{fAnyStream, "", "stream streamname"},
	{fAnyConsumer, "", "consumer consumername durable"},
}

// joinable begin the keys that are also written in one word: rpc_method, httpRoute.
var joinable = []string{"http.", "url.", "rpc.", "grpc.", "nats.", "k8s.", "service.", "trace.", "span.", "error.", "exception.", "client.", "log."}

// joined returns a dotted key in one word, "" if it is none of those written so.
func joined(key string) string {
	for _, prefix := range joinable {
		if strings.HasPrefix(key, prefix) {
			return strings.ReplaceAll(key, ".", "")
		}
	}
	return ""
}

// wrappers are objects in which loggers put all fields of a kind. What is in
// them counts as if it were at the top, after what is at the top.
var wrappers = []string{
	"mdc.", "contextmap.", "fields.", "labels.", "extra.", "context.", "ctx.", "attributes.", "attrs.", "properties.",
	"resource.attributes.", "resource.", "jsonpayload.", "span.", "metadata.", "meta.", "record.extra.",
}
