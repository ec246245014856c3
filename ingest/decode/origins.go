package decode

import "corral/event"

// ownOrigin is where the record itself says it: under a key, or in a line at the
// place its format has for it.
const ownOrigin = ""

// originFields are, by name of a field, what may have filled it, best first.
var originFields = func() map[string][]field {
	by := map[string][]field{
		"service": {fService, fContainer, fPod, fUnit, fName}, "instance": {fInstance, fPod}, "logger": {fLogger, fName},
		"level": {fLevel, fSeverity}, "severity_number": {fSeverity, fLevel}, "error": {fError, fStack},
		"trace_id": {fTrace, fTraceparent}, "span_id": {fSpan, fTraceparent}, "time": {fTime, fSeconds},
		"http.method": {fMethod, fAnyMethod, fRequestLine}, "http.route": {fRoute, fAnyRoute}, "http.path": {fPath, fAnyPath, fRequestLine},
		"http.status": {fStatus, fAnyStatus}, "http.duration_ms": {fDuration, fAnyDuration}, "rpc.duration_ms": {fRPCDuration, fAnyDuration},
		"rpc.code": {fRPCCode, fAnyCode, fAnyStatus}, "rpc.service": {fRPCService, fRPCMethod, fAnyMethod}, "rpc.method": {fRPCMethod, fAnyMethod},
		"nats.subject": {fNATSSubject, fAnySubject}, "nats.stream": {fNATSStream, fAnyStream}, "nats.consumer": {fNATSConsumer, fAnyConsumer},
	}
	for _, row := range keyTable {
		if row.name != "" && by[row.name] == nil {
			by[row.name] = []field{row.field}
		}
	}
	return by
}()

// Origins says where the named fields of the event at hand came from: the key as
// the record spells it; the name of the format where a line has a place for it;
// "envelope", what the record came in; "words of the text"; "implied" by other
// fields, the container's stream or Options.Service; "arrival". It is valid until
// emit returns, and nil without Options.Origins.
func (d *Decoder) Origins() map[string]string {
	if x := d.inputs.last; x != nil {
		return x.origins
	}
	return d.origins
}

// trace notes the origin of the fields that have got a value since it was called
// last.
func (d *Decoder) trace(ev *event.Event, origin string) {
	if !d.opt.Origins || d.collect != nil {
		return
	}
	if origin == ownOrigin {
		d.origins = map[string]string{}
	}
	for _, f := range named(ev) {
		if _, ok := d.origins[f.Name]; ok {
			continue
		}
		d.origins[f.Name] = origin
		if origin == ownOrigin {
			d.origins[f.Name] = d.ownOrigin(f.Name)
		}
	}
}

// ownOrigin is the key that filled a field, else the format.
func (d *Decoder) ownOrigin(name string) string {
	for _, f := range originFields[name] {
		if d.m.has(f) && d.m.from[f] != "" {
			return d.m.from[f]
		}
	}
	return d.ev.Format
}

func (d *Decoder) traceTime(ev *event.Event) {
	if !d.opt.Origins {
		return
	}
	switch ev.TimeQuality {
	case event.TimeEnvelope:
		d.origins["time"] = "envelope"
	case event.TimeObserved:
		d.origins["time"] = "arrival"
	default:
		d.origins["time"] = d.ownOrigin("time")
	}
}

// named are the named fields of an event that have a value, but for those every
// event has.
func named(ev *event.Event) Description {
	var d Description
	for _, f := range []struct{ name, text string }{
		{"service", ev.Service},
		{"instance", ev.Instance},
		{"host", ev.Host},
		{"env", ev.Env},
		{"logger", ev.Logger},
		{"level", ev.Level},
		{"message", ev.Message},
		{"error", ev.Error},
		{"trace_id", ev.TraceID},
		{"span_id", ev.SpanID},
		{"request_id", ev.RequestID},
	} {
		d.given(f.name, f.text)
	}
	d.number("severity_number", float64(ev.SeverityNumber))
	d.http(&ev.HTTP)
	d.rpc(&ev.RPC)
	d.nats(&ev.NATS)
	return d
}
