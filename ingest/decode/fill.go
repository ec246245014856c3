package decode

import (
	"math/bits"
	"strings"

	"corral/event"
)

// fill puts what was gathered into the event.
func (m *mapper) fill(ev *event.Event) {
	for rest := m.have &^ ambiguous; rest != 0; rest &= rest - 1 {
		m.assign(ev, field(bits.TrailingZeros64(rest)))
	}
	if m.have&ambiguous != 0 {
		m.fillAmbiguous(ev)
	}
	m.fillTime(ev)
}

// assign fills the event from the value of one field.
func (m *mapper) assign(ev *event.Event, f field) {
	switch f {
	case fLevel:
		m.taken |= 1 << f
		ev.Level, ev.SeverityNumber = m.sev.level, m.sev.number
		if m.vals[f].s == "0" && m.has(fMessage) && canonical(m.from[fMessage]) == "shortmessage" {
			ev.Level, ev.SeverityNumber = syslogSeverity[0].level, syslogSeverity[0].number // GELF's
		}
	case fSeverity:
		if n := m.int(f); !m.has(fLevel) {
			sev, _ := severityNumber(n)
			ev.Level, ev.SeverityNumber = sev.level, sev.number
		} else {
			ev.SeverityNumber = n
		}
	case fMessage:
		ev.Message = m.message()
	case fError:
		ev.Error = m.errorText()
	case fService:
		ev.Service = m.text(f)
	case fContainer:
		if c := m.text(f); ev.Service == "" && !genericContainer(c) {
			ev.Service = c
		}
	case fPod:
		m.fillPod(ev)
	case fUnit:
		if unit := m.text(f); ev.Service == "" {
			ev.Service = strings.TrimSuffix(unit, ".service")
		}
	case fInstance:
		ev.Instance = m.text(f)
	case fHost:
		ev.Host = m.text(f)
	case fEnv:
		ev.Env = m.text(f)
	case fLogger:
		ev.Logger = m.text(f)
	case fTrace:
		ev.TraceID = m.traceID(m.text(f))
	case fSpan:
		ev.SpanID = m.hexID(m.text(f), 16)
	case fTraceparent:
		m.fillTraceparent(ev)
	case fRequest:
		ev.RequestID = m.text(f)
	default:
		m.assignProtocol(ev, f)
	}
}

func (m *mapper) assignProtocol(ev *event.Event, f field) {
	switch f {
	case fMethod:
		ev.HTTP.Method, _ = httpVerb(m.text(f))
	case fRoute:
		ev.HTTP.Route = m.text(f)
	case fPath:
		ev.HTTP.Path = urlPath(m.text(f))
	case fStatus:
		ev.HTTP.Status = m.status(f)
	case fDuration:
		ev.HTTP.DurationMS = m.millis(f)
	case fClient:
		ev.HTTP.Client = hostOf(m.text(f))
	case fRPCSystem:
		ev.RPC.System = m.text(f)
	case fRPCService:
		ev.RPC.Service = m.text(f)
	case fRPCMethod:
		m.fillRPCMethod(ev, m.text(f))
	case fRPCCode:
		ev.RPC.Code, _ = grpcCode(m.text(f))
	case fRPCDuration:
		ev.RPC.DurationMS = m.millis(f)
	default:
		m.assignNATS(&ev.NATS, f)
	}
}

func (m *mapper) status(f field) int {
	m.taken |= 1 << f
	n, _ := statusNumber(m.vals[f].s)
	return int(n)
}

func (m *mapper) assignNATS(n *event.NATS, f field) {
	switch f {
	case fNATSAccount:
		n.Account = m.text(f)
	case fNATSServer:
		n.Server = m.text(f)
	case fNATSCluster:
		n.Cluster = m.text(f)
	case fNATSStream:
		n.Stream = m.text(f)
	case fNATSConsumer:
		n.Consumer = m.text(f)
	case fNATSSubject:
		n.Subject = m.text(f)
	case fNATSSeq:
		n.Seq = m.int(f)
	case fNATSDeliveries:
		n.Deliveries = m.int(f)
	case fNATSReason:
		n.Reason = m.text(f)
	case fNATSCID:
		n.CID = m.int(f)
	case fNATSClient:
		n.Client = m.text(f)
	case fNATSUser:
		n.User = m.text(f)
	case fNATSHost:
		n.Host = m.text(f)
	case fNATSErrCode:
		n.ErrCode = m.int(f)
	case fNATSLeader:
		n.Leader = m.text(f)
	}
}

// message returns the message. journald writes one that is not UTF-8 as a list of
// byte values.
func (m *mapper) message() string {
	s := m.text(fMessage)
	if m.vals[fMessage].kind != kArray {
		for s != "" && (s[len(s)-1] == '\n' || s[len(s)-1] == '\r') {
			s = s[:len(s)-1]
		}
		return s
	}
	m.arena.room(len(s))
	start := len(m.arena.b)
	for _, n := range strings.Split(strings.Trim(s, "[] "), ",") {
		c, _ := integer(strings.TrimSpace(n))
		m.arena.b = append(m.arena.b, byte(c))
	}
	return m.arena.since(start)
}

// byteList recognises a JSON list of byte values.
func byteList(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c-'0' > 9 && c != ',' && c != '[' && c != ']' && c != ' ' {
			return false
		}
	}
	return len(s) > 2 && strings.Count(s, "[") == 1
}

// errorText returns the error, of an exception's text or list only the line that
// names it.
func (m *mapper) errorText() string {
	v := m.vals[fError]
	m.taken |= 1 << fError
	if v.kind == kArray {
		m.taken &^= 1 << fError
		return exceptionValue(v.s)
	}
	s := v.text(&m.arena)
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	if line := errorLine(s); line != "" {
		m.taken &^= 1 << fError // the rest of it stays an attribute
		return line
	}
	return s
}

// exceptionValue reads structlog's list of exceptions.
func exceptionValue(s string) string {
	l, _ := tree(s, nil).([]any)
	for _, x := range l {
		o, _ := x.(map[string]any)
		if text, ok := o["exc_value"].(string); ok {
			return text
		}
	}
	return ""
}

// errorLine finds the line of a stack trace that says what happened: the last
// one of Python's, else the first.
func errorLine(s string) string {
	if strings.HasPrefix(s, "Traceback ") {
		s = strings.TrimRight(s, "\r\n")
		return s[strings.LastIndexByte(s, '\n')+1:]
	}
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimRight(line, "\r")
}

// stackError takes what happened out of a stack trace, if it says so: Go's do
// not.
func stackError(s string) string {
	line := errorLine(s)
	if strings.Contains(line, ": ") || strings.Contains(line, "Exception") || strings.Contains(line, "Error") {
		return line
	}
	return ""
}

func (m *mapper) fillPod(ev *event.Event) {
	pod := m.text(fPod)
	pod = pod[strings.LastIndexByte(pod, '/')+1:] // klog writes namespace/name
	if !m.has(fInstance) {
		ev.Instance = pod
	}
	if ev.Service == "" {
		ev.Service = workload(pod)
	}
}

// fillTime sets the event's time from the record's own clock. Where there is none
// the caller knows what else may serve.
func (m *mapper) fillTime(ev *event.Event) {
	switch {
	case m.has(fTime) && ev.Time != 0 && ev.TimeQuality < m.time.quality: // the line's is better
	case m.has(fTime):
		m.taken |= 1 << fTime
		ev.Time, ev.TimeQuality = m.time.ns, m.time.quality
	case m.has(fSeconds):
		ev.Time, ev.TimeQuality = int64(m.int(fSeconds))*second, event.TimeExact
		if m.has(fNanos) {
			ev.Time += int64(m.int(fNanos))
		}
	}
}

// fillRPCMethod splits a full method name.
func (m *mapper) fillRPCMethod(ev *event.Event, s string) {
	name := strings.TrimPrefix(s, "/")
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		ev.RPC.Method = s
		return
	}
	ev.RPC.Method = name[i+1:]
	if !m.has(fRPCService) {
		ev.RPC.Service = name[:i]
	}
}
