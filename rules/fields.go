package rules

import (
	"strings"
	"time"

	"corral/event"
)

// FieldType is the type of a field in the rule language.
type FieldType uint8

const (
	AnyField FieldType = iota // attrs and what is in them
	StringField
	IntField
	FloatField
	TimeField
	MapField // text by text: incident.key, incident.labels
	ListField
	BoolField
	DurationField
)

var fieldTypeNames = [...]string{"any", "string", "int", "float", "time", "map", "list", "bool", "duration"}

func (t FieldType) String() string { return fieldTypeNames[t] }

// Field is one name an expression may read from an event.
type Field struct {
	Name string // dotted: http.status
	Type FieldType
	Doc  string
	// Incident: only in rules with `from: incidents`. Hop: only with `from: hops`.
	Incident, Hop bool

	text  func(*event.Event) string
	int   func(*event.Event) int
	float func(*event.Event) float64
	other func(*event.Event) event.Value
}

// value reads the field.
func (f *Field) value(e *event.Event) event.Value {
	switch {
	case f.text != nil:
		return strValue(f.text(e))
	case f.int != nil:
		return intValue(f.int(e))
	case f.float != nil:
		return numValue(f.float(e))
	}
	return f.other(e)
}

// Fields returns every field of an event, in the order of the documentation.
func Fields() []Field { return fieldTable }

func textField(name, doc string, get func(*event.Event) string) Field {
	return Field{Name: name, Type: StringField, Doc: doc, text: get}
}

func intField(name, doc string, get func(*event.Event) int) Field {
	return Field{Name: name, Type: IntField, Doc: doc, int: get}
}

func floatField(name, doc string, get func(*event.Event) float64) Field {
	return Field{Name: name, Type: FloatField, Doc: doc, float: get}
}

func timeField(name, doc string, get func(*event.Event) int64) Field {
	return Field{Name: name, Type: TimeField, Doc: doc, other: func(e *event.Event) event.Value {
		return event.Value{Kind: event.Tree, Any: time.Unix(0, get(e)).UTC()}
	}}
}

// observed makes a time nil where nobody noted it.
func observed(f Field) Field {
	at := f.other
	f.other = func(e *event.Event) event.Value {
		if e.Observed == 0 {
			return event.Value{}
		}
		return at(e)
	}
	return f
}

func incidentText(name, doc string, get func(*event.Incident) string) Field {
	f := textField("incident."+name, doc, func(e *event.Event) string {
		if e.Incident == nil {
			return ""
		}
		return get(e.Incident)
	})
	f.Incident = true
	return f
}

func incidentInt(name, doc string, get func(*event.Incident) int) Field {
	f := intField("incident."+name, doc, func(e *event.Event) int {
		if e.Incident == nil {
			return 0
		}
		return get(e.Incident)
	})
	f.Incident = true
	return f
}

func incidentMap(name, doc string, get func(*event.Incident) map[string]string) Field {
	return Field{
		Name: "incident." + name, Type: MapField, Doc: doc, Incident: true,
		other: func(e *event.Event) event.Value {
			if e.Incident == nil || get(e.Incident) == nil {
				return event.Value{}
			}
			return event.Value{Kind: event.Tree, Any: get(e.Incident)}
		},
	}
}

func hopText(name, doc string, get func(*event.Hop) string) Field {
	f := textField("hop."+name, doc, func(e *event.Event) string {
		if e.Hop == nil {
			return ""
		}
		return get(e.Hop)
	})
	f.Hop = true
	return f
}

func hopInt(name, doc string, get func(*event.Hop) int) Field {
	f := intField("hop."+name, doc, func(e *event.Event) int {
		if e.Hop == nil {
			return 0
		}
		return get(e.Hop)
	})
	f.Hop = true
	return f
}

func hopFloat(name, doc string, get func(*event.Hop) float64) Field {
	f := floatField("hop."+name, doc, func(e *event.Event) float64 {
		if e.Hop == nil {
			return 0
		}
		return get(e.Hop)
	})
	f.Hop = true
	return f
}

var fieldTable = []Field{
	textField("kind", "`log`, `nats` (advisory, metric, server event) or `incident` (with `from: incidents`)", func(e *event.Event) string { return e.Kind }),
	textField("type", "short type of a NATS event: `max_deliver`, `stream_quorum_lost`, `client_disconnect`, …", func(e *event.Event) string { return e.Type }),
	timeField("time", "event time", func(e *event.Event) int64 { return e.Time }),
	observed(timeField("observed", "when it was received; nil of what was read from a file", func(e *event.Event) int64 { return e.Observed })),
	textField("subject", "NATS subject it came on, \"\" from files", func(e *event.Event) string { return e.Subject }),
	textField("service", "service that wrote it", func(e *event.Event) string { return e.Service }),
	textField("instance", "instance of the service", func(e *event.Event) string { return e.Instance }),
	textField("host", "host it ran on", func(e *event.Event) string { return e.Host }),
	textField("env", "deployment environment", func(e *event.Event) string { return e.Env }),
	textField("logger", "name of the logger", func(e *event.Event) string { return e.Logger }),
	textField("level", "`trace`, `debug`, `info`, `warn`, `error` or `fatal`", func(e *event.Event) string { return e.Level }),
	intField("severity_number", "OpenTelemetry's 1–24", func(e *event.Event) int { return e.SeverityNumber }),
	textField("message", "the text of the record", func(e *event.Event) string { return e.Message }),
	textField("error", "the error it tells of", func(e *event.Event) string { return e.Error }),
	textField("trace_id", "W3C trace id", func(e *event.Event) string { return e.TraceID }),
	textField("span_id", "W3C span id", func(e *event.Event) string { return e.SpanID }),
	textField("request_id", "request id", func(e *event.Event) string { return e.RequestID }),

	textField("http.method", "REST: method", func(e *event.Event) string { return e.HTTP.Method }),
	textField("http.route", "REST: route pattern", func(e *event.Event) string { return e.HTTP.Route }),
	textField("http.path", "REST: path", func(e *event.Event) string { return e.HTTP.Path }),
	intField("http.status", "REST: status code", func(e *event.Event) int { return e.HTTP.Status }),
	floatField("http.duration_ms", "REST: duration in milliseconds", func(e *event.Event) float64 { return e.HTTP.DurationMS }),
	textField("http.client", "REST: address of the caller", func(e *event.Event) string { return e.HTTP.Client }),

	textField("rpc.system", "gRPC: system", func(e *event.Event) string { return e.RPC.System }),
	textField("rpc.service", "gRPC: service", func(e *event.Event) string { return e.RPC.Service }),
	textField("rpc.method", "gRPC: method", func(e *event.Event) string { return e.RPC.Method }),
	textField("rpc.code", "gRPC: status name, `DEADLINE_EXCEEDED`", func(e *event.Event) string { return e.RPC.Code }),
	floatField("rpc.duration_ms", "gRPC: duration in milliseconds", func(e *event.Event) float64 { return e.RPC.DurationMS }),

	textField("nats.account", "NATS account", func(e *event.Event) string { return e.NATS.Account }),
	textField("nats.server", "NATS server name", func(e *event.Event) string { return e.NATS.Server }),
	textField("nats.cluster", "NATS cluster", func(e *event.Event) string { return e.NATS.Cluster }),
	textField("nats.stream", "JetStream stream", func(e *event.Event) string { return e.NATS.Stream }),
	textField("nats.consumer", "JetStream consumer", func(e *event.Event) string { return e.NATS.Consumer }),
	textField("nats.subject", "subject the event is about", func(e *event.Event) string { return e.NATS.Subject }),
	intField("nats.seq", "stream sequence", func(e *event.Event) int { return e.NATS.Seq }),
	intField("nats.deliveries", "number of deliveries", func(e *event.Event) int { return e.NATS.Deliveries }),
	textField("nats.reason", "why", func(e *event.Event) string { return e.NATS.Reason }),
	intField("nats.cid", "client id", func(e *event.Event) int { return e.NATS.CID }),
	textField("nats.client", "client name", func(e *event.Event) string { return e.NATS.Client }),
	textField("nats.user", "user", func(e *event.Event) string { return e.NATS.User }),
	textField("nats.host", "client host", func(e *event.Event) string { return e.NATS.Host }),
	intField("nats.err_code", "JetStream error code", func(e *event.Event) int { return e.NATS.ErrCode }),
	textField("nats.leader", "current leader", func(e *event.Event) string { return e.NATS.Leader }),

	incidentText("id", "incident id", func(i *event.Incident) string { return i.ID }),
	incidentText("rule", "id of the rule that opened it", func(i *event.Incident) string { return i.Rule }),
	incidentText("state", "`open` or `resolved`", func(i *event.Incident) string { return i.State }),
	incidentText("severity", "`info`, `warning`, `error` or `critical`", func(i *event.Incident) string { return i.Severity }),
	incidentText("cause", "why this transition happened", func(i *event.Incident) string { return i.Cause }),
	incidentText("title", "title of the incident", func(i *event.Incident) string { return i.Title }),
	incidentInt("rev", "number of the transition, from 1", func(i *event.Incident) int { return i.Rev }),
	incidentInt("count", "matching events so far", func(i *event.Incident) int { return i.Count }),
	incidentMap("key", "group key of the incident, by name", func(i *event.Incident) map[string]string { return i.Key }),
	incidentMap("labels", "labels of the incident", func(i *event.Incident) map[string]string { return i.Labels }),
	{
		Name: "incident.started_at", Type: TimeField, Doc: "first event of the incident", Incident: true,
		other: func(e *event.Event) event.Value {
			if e.Incident == nil {
				return event.Value{}
			}
			return event.Value{Kind: event.Tree, Any: time.Unix(0, e.Incident.StartedAt).UTC()}
		},
	},
	{
		Name: "incident.opened_at", Type: TimeField, Doc: "when it opened", Incident: true,
		other: func(e *event.Event) event.Value {
			if e.Incident == nil {
				return event.Value{}
			}
			return event.Value{Kind: event.Tree, Any: time.Unix(0, e.Incident.OpenedAt).UTC()}
		},
	},

	hopText("side", "which end `service` is: `to`, that of the event itself, or `from`, that of the event before", func(h *event.Hop) string { return h.Side }),
	hopText("peer", "service at the other end, \"\" if there is only one", func(h *event.Hop) string { return h.Peer }),
	hopText("step", "names the step: `service/logger > service/logger`", func(h *event.Hop) string { return h.Step }),
	hopText("from_service", "service of the event before", func(h *event.Hop) string { return h.FromService }),
	hopText("from_logger", "logger of the event before", func(h *event.Hop) string { return h.FromLogger }),
	hopFloat("gap_ms", "time since the event before in milliseconds", func(h *event.Hop) float64 { return h.GapMS }),
	hopInt("seen", "how many gaps of this very step are remembered, at most 200", func(h *event.Hop) int { return h.Seen }),
	hopFloat("p50_ms", "what half of the gaps remembered stay below", func(h *event.Hop) float64 { return h.P50MS }),
	hopFloat("p90_ms", "what nine of ten gaps usually stay below: the median of that over the last runs of 20, so that a fault does not become what is usual", func(h *event.Hop) float64 { return h.P90MS }),
	hopInt("known", "how many steps out of the statement before are remembered, at most 500", func(h *event.Hop) int { return h.Known }),
	hopFloat("share", "part of those that is usually this step: the median over runs of 20", func(h *event.Hop) float64 { return h.Share }),
	hopText("usual_service", "service of what followed most often", func(h *event.Hop) string { return h.UsualService }),
	hopText("usual_logger", "logger of what followed most often", func(h *event.Hop) string { return h.UsualLogger }),
	hopFloat("usual_share", "part of the steps remembered that is usually that one", func(h *event.Hop) float64 { return h.UsualShare }),
}

// fieldIndex finds a field by its dotted name; fieldGroups the members of http,
// rpc, nats and incident in documented order.
var (
	fieldIndex  = map[string]*Field{}
	fieldGroups = map[string][]string{}
	fieldNames  []string // top level: service, http, attrs, …
)

func init() {
	for i := range fieldTable {
		f := &fieldTable[i]
		fieldIndex[f.Name] = f
		group, name, dotted := strings.Cut(f.Name, ".")
		if !dotted {
			fieldNames = append(fieldNames, f.Name)
			continue
		}
		if fieldGroups[group] == nil {
			fieldNames = append(fieldNames, group)
		}
		fieldGroups[group] = append(fieldGroups[group], name)
	}
	fieldNames = append(fieldNames, "attrs")
}

// closed are the fields whose values come from a closed set: comparing them with
// anything else can never hold.
var closed = map[string][]string{
	"kind":              {"log", "nats", "incident"},
	"level":             {"trace", "debug", "info", "warn", "error", "fatal"},
	"hop.side":          {"from", "to"},
	"incident.state":    {"open", "resolved"},
	"incident.severity": {"info", "warning", "error", "critical"},
	"rpc.code": {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	},
}

// eventTree is an event as `step.all` lists it: the fields that are set, nested.
func eventTree(e *event.Event) map[string]any {
	tree := map[string]any{"attrs": e.Attrs()}
	for i := range fieldTable {
		f := &fieldTable[i]
		if f.Incident && e.Incident == nil || f.Hop && e.Hop == nil {
			continue
		}
		group, name, dotted := strings.Cut(f.Name, ".")
		if !dotted {
			tree[f.Name] = f.value(e).Box()
			continue
		}
		sub, ok := tree[group].(map[string]any)
		if !ok {
			sub = map[string]any{}
			tree[group] = sub
		}
		sub[name] = f.value(e).Box()
	}
	return tree
}
