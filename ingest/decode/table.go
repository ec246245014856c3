package decode

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

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
	fPod // gives a service and an instance
	fContainer
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
	1<<fRequestLine | 1<<fAnySubject | 1<<fAnyStream | 1<<fAnyConsumer

// keyTable says which keys fill which field, best first: of the keys of one
// field that a record has, the first one with a usable value counts. Case and the
// characters _ and - make no difference (trace_id, traceId, TraceID). A dotted
// path is met flat ("http.status") as well as nested.
var keyTable = []struct {
	field field
	name  string // as Options.Map calls it
	keys  string
}{
	{fTime, "time", "@timestamp timestamp time ts @t datetime eventtime asctime logtime instant timeunixnano realtimetimestamp sourcerealtimetimestamp starttime timeiso8601 timelocal date created epoch msec observedtimestamp"},
	{fSeconds, "", "timestampseconds"},
	{fNanos, "", "timestampnanos"},
	{fLevel, "level", "level severity log.level lvl @l loglevel levelname severitytext level.name syslog.severity.name logging.level levelvalue levelno priority syslog.severity.code"},
	{fSeverity, "severity_number", "severitynumber"},
	{fMessage, "message", "formattedmessage message msg @m @mt shortmessage event body body.stringvalue log textpayload fullmessage log.message event.original messagetemplate text"},
	{fError, "error", "error.message err.message error err exception.message exception.excvalue exception.exceptionmessage throwable.message thrown.message errormessage errmsg error.msg err.msg grpc.error exception @x exc excinfo thrown throwable errors error.type errorverbose"},
	{fStack, "", "stacktrace stack error.stacktrace error.stack err.stack exception.stacktrace exception.stacktrace"},
	{fService, "service", "service.name service servicename app.name app application applicationname otelservicename resource.service.name dd.service serviceid kubernetes.labels.app.kubernetes.io/name kubernetes.podlabels.app.kubernetes.io/name kubernetes.labels.appkubernetesio/name kubernetes.labels.app kubernetes.podlabels.app kubernetes.labels.k8sapp k8s.deployment.name appname syslog.appname microservice program syslogidentifier systemdunit systemd.unit facility"},
	{fPod, "", "k8s.pod.name kubernetes.podname kubernetes.pod.name podname pod"},
	{fContainer, "", "k8s.container.name kubernetes.containername kubernetes.container.name container.name containername container"},
	{fInstance, "instance", "service.instance.id instance instanceid service.node.name"},
	{fHost, "host", "host.name host hostname host.hostname k8s.node.name kubernetes.host kubernetes.node.name kubernetes.nodename nodename node machinename server.hostname"},
	{fEnv, "env", "deployment.environment.name deployment.environment service.environment env environment dd.env"},
	{fLogger, "logger", "log.logger logger loggername sourcecontext scope.name otel.scope.name instrumentationscope.name"},
	{fName, "", "name"},
	{fTrace, "trace_id", "traceid trace.id oteltraceid @tr logging.googleapis.com/trace xb3traceid xtraceid dd.traceid trace"},
	{fSpan, "span_id", "spanid span.id otelspanid @sp logging.googleapis.com/spanid xb3spanid dd.spanid"},
	{fTraceparent, "", "traceparent ubertraceid b3 req.headers.traceparent"},
	{fRequest, "request_id", "requestid http.requestid http.request.id http.req.id request.id req.id reqid xrequestid http.request.header.xrequestid correlationid xcorrelationid req.headers.xrequestid"},
	{fMethod, "http.method", "http.request.method http.method http.req.method httpmethod req.method request.method requestmethod httprequest.requestmethod"},
	{fAnyMethod, "", "method verb"},
	{fRoute, "http.route", "http.route httproute route endpoint"},
	{fPath, "http.path", "http.path url.path http.target http.req.path http.request.path httppath http.url url.full url.original req.url req.path request.path request.url requesturi requestpath httprequest.requesturl xenvoyoriginalpath"},
	{fAnyPath, "", "path uri url target"},
	{fStatus, "http.status", "http.status http.response.statuscode http.statuscode http.resp.status http.response.status httpstatus httpstatuscode res.statuscode res.status response.status response.statuscode responsecode responsestatus httprequest.status"},
	{fRequestLine, "", "request requestline"},
	{fAnyStatus, "", "status statuscode response"},
	{fDuration, "http.duration_ms", "http.durationms http.server.request.duration http.client.request.duration http.resp.tookms http.duration responsetime requesttime event.duration httprequest.latency upstreamresponsetime elapsedmilliseconds"},
	{fAnyDuration, "", "durationms latencyms elapsedms tookms timems durations durationseconds latencys elapseds durationns latencyns elapsedns durationus latencyus duration latency elapsed took"},
	{fClient, "http.client", "http.client client.address http.clientip client.ip clientip remoteaddr remoteip httprequest.remoteip http.remoteaddr net.peer.ip net.sock.peer.addr req.remoteaddress source.address source.ip xforwardedfor downstreamremoteaddress"},
	{fRPCSystem, "rpc.system", "rpc.system rpc.system.name"},
	{fRPCService, "rpc.service", "rpc.service grpc.service grpcservice"},
	{fRPCMethod, "rpc.method", "rpc.method grpc.method rpc.fullmethod grpc.fullmethod fullmethod grpcmethod"},
	{fRPCCode, "rpc.code", "rpc.code rpc.response.statuscode rpc.statuscode rpc.grpc.statuscode rpc.grpc.status grpc.code grpc.statuscode grpc.status grpccode grpcstatus grpcstatuscode rpc.connectrpc.errorcode"},
	{fRPCDuration, "rpc.duration_ms", "rpc.durationms grpc.timems grpc.duration rpc.server.duration rpc.client.duration rpc.duration grpc.timens"},
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
	{fNATSErrCode, "nats.err_code", "nats.errcode natserrcode errcode"},
	{fNATSLeader, "nats.leader", "nats.leader"},
	{fAnySubject, "", "subject"},
	{fAnyStream, "", "stream streamname"},
	{fAnyConsumer, "", "consumer consumername durable"},
}

// wrappers are objects in which loggers put all fields of a kind. What is in
// them counts as if it were at the top, after what is at the top.
var wrappers = []string{
	"mdc.", "contextmap.", "fields.", "labels.", "extra.", "context.", "ctx.", "attributes.", "attrs.", "properties.",
	"resource.attributes.", "resource.", "jsonpayload.", "span.",
}

// target is what a key fills: a field, and how good a source for it it is.
type target struct {
	field field
	unit  unit
	rank  rank
}

// rank orders the keys of a field, 0 is best: by the table, what is in wrappers
// last; then flat keys before nested ones; then by a hash of the key as written,
// so that no two spellings are equal and their order in a record does not
// matter.
type rank uint64

const (
	wrapped   = 1 << 14 // rows
	rankRow   = 1 << 40
	rankDepth = 1 << 32
)

// row is the key's place in its row of the table.
func (r rank) row() int { return int(r / rankRow) }

// at makes the rank that of a key at a place of a record.
func (r rank) at(path string, depth int) rank {
	return r + rankDepth*rank(min(depth, 255)) + rank(uint32(xxhash.Sum64String(path)))
}

// table is what a decoder looks keys up in. It is not changed once made and is
// shared by the events whose attributes are not decoded yet.
type table struct {
	targets map[string]target // by canonical path
	parents map[string]bool   // canonical paths of objects that hold targets
	slots   map[string]int    // by path as rules write it
	slotUp  map[string]bool   // paths of objects that hold slots
	nSlots  int
}

func newTable(attrPaths, maps []string) (*table, error) {
	t := &table{
		targets: map[string]target{}, parents: map[string]bool{},
		slots: map[string]int{}, slotUp: map[string]bool{}, nSlots: len(attrPaths),
	}
	for i, p := range attrPaths {
		t.slots[p] = i
		addParents(t.slotUp, p)
	}
	byName := map[string]field{}
	for _, row := range keyTable {
		if row.name != "" {
			byName[row.name] = row.field
		}
		for i, key := range strings.Fields(row.keys) {
			t.add(key, target{field: row.field, rank: rankRow * rank(i+1), unit: unitOf(key)})
		}
	}
	for _, w := range wrappers {
		t.parents[w[:len(w)-1]] = true
	}
	return t, t.override(byName, maps)
}

// override adds what the user said: "service=attrs.app" takes the service from
// the key app, before every other.
func (t *table) override(byName map[string]field, maps []string) error {
	for _, m := range maps {
		name, path, ok := strings.Cut(m, "=")
		path = strings.TrimPrefix(strings.TrimSpace(path), "attrs.")
		f := byName[strings.TrimSpace(name)]
		if !ok || path == "" {
			return fmt.Errorf("map %q: want FIELD=attrs.PATH", m)
		}
		if f == noField {
			return fmt.Errorf("map %q: unknown field %q", m, name)
		}
		key := canonical(path)
		delete(t.targets, key)
		t.add(key, target{field: f, unit: unitOf(key)})
	}
	return nil
}

func (t *table) add(key string, tg target) {
	if _, ok := t.targets[key]; !ok {
		t.targets[key] = tg
	}
	addParents(t.parents, key)
}

func addParents(set map[string]bool, path string) {
	for i, c := range path {
		if c == '.' {
			set[path[:i]] = true
		}
	}
}

// lookup finds what the key at a dotted path fills.
func (t *table) lookup(path string) target {
	c := canonical(path)
	if tg, ok := t.targets[c]; ok {
		return tg
	}
	for _, w := range wrappers {
		if rest, ok := strings.CutPrefix(c, w); ok {
			if tg, ok := t.targets[rest]; ok {
				tg.rank += rankRow * wrapped
				return tg
			}
		}
	}
	return target{}
}

// holds reports whether an object at path may hold something wanted.
func (t *table) holds(path string) bool {
	if t.slotUp[path] {
		return true
	}
	c := canonical(path)
	if t.parents[c] {
		return true
	}
	for _, w := range wrappers {
		if rest, ok := strings.CutPrefix(c, w); ok && t.parents[rest] {
			return true
		}
	}
	return false
}

// slot returns the number of the slot of an attribute path, -1 if no rule reads
// it.
func (t *table) slot(path string) int {
	if i, ok := t.slots[path]; ok {
		return i
	}
	return -1
}

// canonical makes spellings of a key equal: lower case, without _ and -.
func canonical(path string) string {
	plain := true
	for i := 0; i < len(path); i++ {
		if c := path[i]; c == '_' || c == '-' || 'A' <= c && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '_' || c == '-':
		case 'A' <= c && c <= 'Z':
			b = append(b, c|0x20)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// unit says how a number of a duration is meant.
type unit uint8

const (
	unitUnknown unit = iota
	unitMS
	unitSeconds
	unitMicros
	unitNanos
)

// unitOf reads the unit off a canonical key.
func unitOf(key string) unit {
	switch key {
	case "responsetime", "elapsedmilliseconds":
		return unitMS
	case "requesttime", "upstreamresponsetime", "http.server.request.duration", "http.client.request.duration":
		return unitSeconds
	case "event.duration":
		return unitNanos
	case "rpc.server.duration", "rpc.client.duration":
		return unitMS
	}
	for _, u := range []struct {
		suffix string
		unit   unit
	}{
		{"milliseconds", unitMS}, {"millis", unitMS}, {"ms", unitMS}, {"seconds", unitSeconds}, {"secs", unitSeconds},
		{"micros", unitMicros}, {"us", unitMicros}, {"nanos", unitNanos}, {"ns", unitNanos}, {"s", unitSeconds},
	} {
		if stem, ok := strings.CutSuffix(key, u.suffix); ok && hasDurationStem(stem) {
			return u.unit
		}
	}
	return unitUnknown
}

func hasDurationStem(stem string) bool {
	for _, s := range []string{"duration", "latency", "elapsed", "took", "time"} {
		if strings.HasSuffix(stem, s) {
			return true
		}
	}
	return false
}
