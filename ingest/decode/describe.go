package decode

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"corral/event"
)

// Field is one line of a description.
type Field struct {
	Name  string // as the rule language calls it
	Text  string
	Value any // string, int, float64, bool, []any or map[string]any
}

// Description is what was decoded of a record, in the order of the rule
// language's reference. Fields that are absent are left out, but for the time,
// level and message that every event should have.
type Description []Field

// Describe says how an event was decoded: its format, how good its time is, every
// named field it has, and its attributes.
func Describe(ev *event.Event) Description {
	d := Description{}
	d.text("format", ev.Format)
	d.time("time", ev.Time)
	d.text("time_quality", ev.TimeQuality.String())
	if ev.Observed != 0 {
		d.time("observed", ev.Observed)
	}
	for _, f := range []struct{ name, text string }{
		{"kind", ev.Kind},
		{"type", ev.Type},
		{"subject", ev.Subject},
		{"service", ev.Service},
		{"instance", ev.Instance},
		{"host", ev.Host},
		{"env", ev.Env},
		{"logger", ev.Logger},
	} {
		d.given(f.name, f.text)
	}
	d.text("level", ev.Level)
	d.number("severity_number", float64(ev.SeverityNumber))
	d.text("message", ev.Message)
	for _, f := range []struct{ name, text string }{
		{"error", ev.Error}, {"trace_id", ev.TraceID}, {"span_id", ev.SpanID}, {"request_id", ev.RequestID}, {"id", ev.ID},
	} {
		d.given(f.name, f.text)
	}
	d.http(&ev.HTTP)
	d.rpc(&ev.RPC)
	d.nats(&ev.NATS)
	attrs := ev.Attrs()
	for _, k := range sortedKeys(attrs) {
		d.attr("attrs."+k, attrs[k])
	}
	return d
}

func (d *Description) http(h *event.HTTP) {
	d.given("http.method", h.Method)
	d.given("http.route", h.Route)
	d.given("http.path", h.Path)
	d.number("http.status", float64(h.Status))
	d.number("http.duration_ms", h.DurationMS)
	d.given("http.client", h.Client)
}

func (d *Description) rpc(r *event.RPC) {
	d.given("rpc.system", r.System)
	d.given("rpc.service", r.Service)
	d.given("rpc.method", r.Method)
	d.given("rpc.code", r.Code)
	d.number("rpc.duration_ms", r.DurationMS)
}

func (d *Description) nats(n *event.NATS) {
	for _, f := range []struct{ name, text string }{
		{"account", n.Account},
		{"server", n.Server},
		{"cluster", n.Cluster},
		{"stream", n.Stream},
		{"consumer", n.Consumer},
		{"subject", n.Subject},
		{"reason", n.Reason},
		{"client", n.Client},
		{"user", n.User},
		{"host", n.Host},
		{"leader", n.Leader},
	} {
		d.given("nats."+f.name, f.text)
	}
	d.number("nats.seq", float64(n.Seq))
	d.number("nats.deliveries", float64(n.Deliveries))
	d.number("nats.cid", float64(n.CID))
	d.number("nats.err_code", float64(n.ErrCode))
}

func (d *Description) text(name, s string) { *d = append(*d, Field{name, s, s}) }

// given adds a text if there is one.
func (d *Description) given(name, s string) {
	if s != "" {
		d.text(name, s)
	}
}

// number adds a number if it is not 0.
func (d *Description) number(name string, f float64) {
	if f == 0 {
		return
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if f == float64(int(f)) {
		*d = append(*d, Field{name, text, int(f)})
		return
	}
	*d = append(*d, Field{name, text, f})
}

func (d *Description) time(name string, ns int64) {
	d.text(name, time.Unix(0, ns).UTC().Format(time.RFC3339Nano))
}

func (d *Description) attr(name string, v any) {
	text, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			b = []byte(err.Error())
		}
		text = string(b)
	}
	*d = append(*d, Field{name, text, v})
}

// Map returns the description as the rule language sees the event: http, rpc,
// nats and attrs are objects. It shares the attributes with the event.
func (d Description) Map() map[string]any {
	m := map[string]any{}
	for _, f := range d {
		group, key, nested := strings.Cut(f.Name, ".")
		if !nested {
			m[f.Name] = f.Value
			continue
		}
		sub, _ := m[group].(map[string]any)
		if sub == nil {
			sub = map[string]any{}
			m[group] = sub
		}
		sub[key] = f.Value
	}
	return m
}
