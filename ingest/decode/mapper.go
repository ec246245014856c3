package decode

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"corral/event"
)

// mapper gathers the values a record has for the named fields and fills an event
// with the best of them.
type mapper struct {
	tab   *table
	zones zones
	arena arena

	have  uint64 // fields that have a usable value
	taken uint64 // fields whose value went into the event
	rank  [nFields]rank
	vals  [nFields]val
	unit  [nFields]unit
	time  stamp
	sev   severity

	targets map[string]target // of keys of formats other than JSON

	timeKey bool  // a time was given, usable or not
	offs    int32 // values numbered so far, in formats without offsets
}

// nextOff numbers values that are not told apart by where they stand.
func (m *mapper) nextOff() int32 {
	m.offs++
	return m.offs
}

func (m *mapper) reset() {
	m.have, m.taken, m.timeKey, m.offs = 0, 0, false, 0
}

func (m *mapper) has(f field) bool { return m.have&(1<<f) != 0 }

// put offers a value. Of several keys of a field the best ranked counts, of equal
// keys the last.
func (m *mapper) put(t *target, v val) {
	bit := uint64(1) << t.field
	if m.have&bit != 0 && m.rank[t.field] < t.rank {
		return
	}
	if textFields&bit != 0 {
		if v.kind == kString && v.s != "" {
			m.have |= bit
			m.rank[t.field], m.vals[t.field] = t.rank, v
			return
		}
	}
	if !m.usable(t, v) {
		if m.have&bit != 0 && m.rank[t.field] == t.rank {
			m.have &^= bit
		}
		return
	}
	m.have |= bit
	m.rank[t.field], m.vals[t.field], m.unit[t.field] = t.rank, v, t.unit
}

// textFields take any text that is not empty as it is.
const textFields uint64 = 1<<fMessage | 1<<fError | 1<<fStack | 1<<fService | 1<<fPod | 1<<fContainer | 1<<fInstance | 1<<fHost | 1<<fEnv |
	1<<fLogger | 1<<fName | 1<<fTrace | 1<<fSpan | 1<<fTraceparent | 1<<fRequest | 1<<fMethod | 1<<fRoute | 1<<fPath | 1<<fClient |
	1<<fRPCSystem | 1<<fRPCService | 1<<fRPCMethod | 1<<fAnySubject | 1<<fAnyStream | 1<<fAnyConsumer

// putPath offers the value of a key of a format other than JSON.
func (m *mapper) putPath(path string, v val) {
	if t := m.target(path); t.field != noField {
		m.put(&t, v)
	}
}

// maxTargets bounds the keys whose targets are remembered.
const maxTargets = 4096

// target looks a key up, once.
func (m *mapper) target(path string) target {
	if t, ok := m.targets[path]; ok {
		return t
	}
	if m.targets == nil || len(m.targets) >= maxTargets {
		m.targets = map[string]target{}
	}
	t := m.tab.lookup(path)
	t.rank = t.rank.at(path, 0)
	m.targets[strings.Clone(path)] = t
	return t
}

// usable reports whether v can fill the field, and remembers what it was
// converted to where that is dear.
func (m *mapper) usable(t *target, v val) bool {
	if v.kind == kNull {
		return false
	}
	switch t.field {
	case fTime:
		return m.usableTime(v)
	case fLevel:
		return m.usableLevel(v, t.rank)
	case fMessage:
		return v.kind == kString && v.s != "" || v.kind < kString && t.rank.row() <= 3 || v.kind == kArray && byteList(v.s)
	case fError:
		return v.kind == kString && v.s != "" || v.kind == kArray && strings.Contains(v.s, `"exc_value"`)
	case fSeconds, fNanos, fSeverity, fStatus, fNATSSeq, fNATSDeliveries, fNATSCID, fNATSErrCode:
		return m.usableInt(t.field, v)
	case fRequestLine:
		return v.kind == kString && httpVerb(v.s[:wordLen(v.s)])
	case fAnyMethod:
		return v.kind == kString && (httpVerb(v.s) || fullMethod(v.s))
	case fAnyPath:
		return v.kind == kString && (strings.HasPrefix(v.s, "/") || strings.HasPrefix(v.s, "http"))
	case fAnyStatus:
		n, isInt := integer(v.s)
		return isInt && n >= 100 && n <= 599 || v.kind == kString && unicodeless(v.s)
	case fAnyCode:
		return v.kind == kString && unicodeless(v.s)
	case fRPCCode:
		_, ok := grpcCode(v.s)
		return ok
	case fDuration, fAnyDuration, fRPCDuration:
		if v.kind == kNumber {
			return true
		}
		_, ok := millis(v, t.unit, unitMS)
		return ok
	case fTrace, fRequest, fInstance, fSpan:
		return v.s != "" && (v.kind == kString || v.kind == kNumber)
	}
	return v.kind == kString && v.s != ""
}

func unicodeless(s string) bool {
	_, ok := grpcCode(s)
	return ok
}

func (m *mapper) usableTime(v val) bool {
	m.timeKey = true
	var ok bool
	var st stamp
	switch v.kind {
	case kString:
		st, ok = m.zones.parse(v.text(&m.arena))
	case kNumber:
		st.ns, ok = epoch(v.s)
	case kObject:
		st.ns, ok = timePair(v.s)
	}
	if ok {
		m.time = st
	}
	return ok
}

// timePair reads {"epochSecond":…,"nanoOfSecond":…} and {"seconds":…,"nanos":…}.
func timePair(s string) (int64, bool) {
	o, _ := tree(s, nil).(map[string]any)
	sec, ok := o["epochSecond"].(int)
	nano, _ := o["nanoOfSecond"].(int)
	if !ok {
		sec, ok = o["seconds"].(int)
		nano, _ = o["nanos"].(int)
	}
	return int64(sec)*second + int64(nano), ok && sec < 1e10 && sec > -1e10
}

func (m *mapper) usableLevel(v val, r rank) bool {
	switch v.kind {
	case kString:
		if sev, ok := levelWord(v.text(&m.arena)); ok {
			m.sev = sev
			return true
		}
	case kNumber:
	default:
		return false
	}
	n, ok := integer(v.s)
	if !ok {
		return false
	}
	scale := scaleTens
	if r.row() == levelnoRank {
		scale = scalePython
	}
	sev, ok := levelNumber(n, scale)
	if ok {
		m.sev = sev
	}
	return ok
}

// levelnoRank is the row of Python's number, whose scale is its own.
var levelnoRank = func() int {
	for _, row := range keyTable {
		if row.field != fLevel {
			continue
		}
		for i, k := range strings.Fields(row.keys) {
			if k == "levelno" {
				return i + 1
			}
		}
	}
	return 0
}()

func (m *mapper) usableInt(f field, v val) bool {
	n, ok := integer(v.s)
	switch f {
	case fStatus:
		return ok && n >= 0 && n <= 999
	case fSeverity:
		return ok && n >= 1 && n <= 24
	case fNATSErrCode:
		return ok && n >= 10000 && n <= 10999
	}
	return ok
}

// text returns the text of a field's value and counts it as taken.
func (m *mapper) text(f field) string {
	m.taken |= 1 << f
	return m.vals[f].text(&m.arena)
}

func (m *mapper) int(f field) int {
	m.taken |= 1 << f
	n, _ := integer(m.vals[f].s)
	return int(n)
}

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
		ev.HTTP.Method = m.text(f)
	case fRoute:
		ev.HTTP.Route = m.text(f)
	case fPath:
		ev.HTTP.Path = urlPath(m.text(f))
	case fStatus:
		ev.HTTP.Status = m.int(f)
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
		return strings.TrimRight(s, "\r\n")
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

// genericContainer reports whether a container's name says nothing about what
// runs in it.
func genericContainer(name string) bool {
	switch name {
	case "server", "app", "main", "service", "container", "application", "web", "api", "worker":
		return true
	}
	return false
}

// workload strips what Kubernetes adds to a workload's name to name a pod: a
// replica set's hash and a random suffix, a daemon set's suffix, a stateful set's
// number.
func workload(pod string) string {
	i := strings.LastIndexByte(pod, '-')
	if i <= 0 {
		return pod
	}
	stem, last := pod[:i], pod[i+1:]
	if _, ok := integer(last); ok && len(last) <= 4 {
		return stem
	}
	if len(last) != 5 || !safeEncoded(last) {
		return pod
	}
	if j := strings.LastIndexByte(stem, '-'); j > 0 && len(stem)-j-1 >= 5 && len(stem)-j-1 <= 10 && safeEncoded(stem[j+1:]) {
		return stem[:j]
	}
	return stem
}

// safeEncoded reports whether s is of the alphabet Kubernetes takes for hashes:
// no vowels and nothing that looks like one.
func safeEncoded(s string) bool {
	for i := 0; i < len(s); i++ {
		if !strings.Contains("bcdfghjklmnpqrstvwxz2456789", s[i:i+1]) {
			return false
		}
	}
	return true
}

// fillTime sets the event's time from the record's own clock. Where there is none
// the caller knows what else may serve.
func (m *mapper) fillTime(ev *event.Event) {
	switch {
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

// fillAmbiguous uses keys that mean what they seem to only in company.
func (m *mapper) fillAmbiguous(ev *event.Event) {
	if m.has(fAnyMethod) {
		m.anyMethod(ev)
	}
	if m.has(fRequestLine) && ev.HTTP.Method == "" {
		m.requestLine(ev)
	}
	if m.has(fAnyStatus) {
		m.anyStatus(ev, fAnyStatus)
	}
	if m.has(fAnyCode) {
		m.anyStatus(ev, fAnyCode)
	}
	web := ev.HTTP.Method != "" || ev.HTTP.Status != 0 || ev.HTTP.Route != ""
	if m.has(fAnyPath) && web && ev.HTTP.Path == "" {
		ev.HTTP.Path = urlPath(m.vals[fAnyPath].text(&m.arena))
	}
	if m.has(fAnyDuration) {
		m.anyDuration(ev, web)
	}
	if m.has(fStack) && ev.Error == "" {
		ev.Error = stackError(m.vals[fStack].text(&m.arena))
	}
}

func (m *mapper) anyMethod(ev *event.Event) {
	s := m.vals[fAnyMethod].text(&m.arena)
	switch {
	case fullMethod(s):
		m.fillRPCMethod(ev, s)
	case ev.HTTP.Method == "":
		ev.HTTP.Method = s
	}
}

// requestLine reads "GET /path HTTP/1.1".
func (m *mapper) requestLine(ev *event.Event) {
	method, rest, ok := strings.Cut(m.vals[fRequestLine].text(&m.arena), " ")
	if !ok {
		return
	}
	ev.HTTP.Method = method
	path, _, _ := strings.Cut(rest, " ")
	ev.HTTP.Path = firstText(ev.HTTP.Path, urlPath(path))
}

func (m *mapper) anyStatus(ev *event.Event, f field) {
	s := m.vals[f].text(&m.arena)
	if n, ok := integer(s); ok {
		if ev.HTTP.Status == 0 && f == fAnyStatus {
			ev.HTTP.Status = int(n)
		}
		return
	}
	rpc := ev.RPC.System != "" || ev.RPC.Service != "" || ev.RPC.Method != ""
	if ev.RPC.Code == "" && (rpc || unmistakable(s)) {
		ev.RPC.Code, _ = grpcCode(s)
	}
}

func (m *mapper) anyDuration(ev *event.Event, web bool) {
	switch {
	case ev.RPC.Method != "" || ev.RPC.Service != "" || ev.RPC.System != "":
		if ev.RPC.DurationMS == 0 {
			ev.RPC.DurationMS = m.millis(fAnyDuration)
		}
	case web && ev.HTTP.DurationMS == 0:
		ev.HTTP.DurationMS = m.millis(fAnyDuration)
	}
	m.taken &^= 1 << fAnyDuration
}

// millis converts a duration to milliseconds. A number without unit is what its
// logger writes: zap's seconds, slog's nanoseconds, else milliseconds.
func (m *mapper) millis(f field) float64 {
	m.taken |= 1 << f
	guess := unitMS
	switch {
	case m.unit[f] != unitUnknown:
	case m.has(fTime) && m.vals[fTime].kind == kNumber && strings.IndexByte(m.vals[fTime].s, '.') >= 0:
		guess = unitSeconds
	case m.has(fTime) && m.has(fLevel) && upperLevel(m.vals[fLevel].s) && strings.IndexByte(m.vals[f].s, '.') < 0:
		guess = unitNanos
	}
	ms, _ := millis(m.vals[f], m.unit[f], guess)
	return ms
}

// upperLevel reports whether a level is written as slog does.
func upperLevel(s string) bool {
	return len(s) > 0 && s[0] >= 'A' && s[0] <= 'Z' && s[1:] != "" && s[1] <= 'Z'
}

// millis reads a duration in unit u, or in guess if a number has no unit.
func millis(v val, u, guess unit) (float64, bool) {
	if v.kind != kNumber && v.kind != kString || v.s == "" {
		return 0, false
	}
	if v.s[0]-'0' > 9 && v.s[0] != '-' && v.s[0] != '.' {
		return 0, false
	}
	f, ok := float(v.s)
	if !ok {
		d, err := time.ParseDuration(strings.ReplaceAll(v.s, " ", ""))
		return float64(d) / 1e6, err == nil
	}
	if u == unitUnknown {
		u = guess
	}
	switch u {
	case unitSeconds:
		return f * 1e3, true
	case unitMicros:
		return f / 1e3, true
	case unitNanos:
		return f / 1e6, true
	}
	return f, true
}

func float(s string) (float64, bool) {
	if f, ok := shortFloat(s); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// shortFloat parses plain decimals of few digits: both the digits and the power
// of ten they are divided by are exact in a float64, so the quotient is the
// nearest one.
func shortFloat(s string) (float64, bool) {
	if len(s) == 0 || len(s) > 16 {
		return 0, false
	}
	var n int64
	point := -1
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		switch {
		case c <= 9:
			n = n*10 + int64(c)
		case s[i] == '.' && point < 0 && i > 0:
			point = i
		default:
			return 0, false
		}
	}
	if point < 0 {
		return float64(n), true
	}
	return float64(n) / tenTo[len(s)-point-1], point < len(s)-1
}

var tenTo = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// httpVerb reports whether s is a request method.
func httpVerb(s string) bool {
	switch s {
	case "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE":
		return true
	}
	return false
}

// fullMethod reports whether s is gRPC's /package.Service/Method.
func fullMethod(s string) bool {
	if len(s) < 4 || s[0] != '/' {
		return false
	}
	i := strings.IndexByte(s[1:], '/') + 1
	return i > 1 && i < len(s)-1 && strings.IndexByte(s[i+1:], '/') < 0 && strings.IndexByte(s[:i], '.') > 0
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

// urlPath returns the path of a request target or URL, without its query.
func urlPath(s string) string {
	if i := strings.Index(clip(s, 10), "://"); i > 0 {
		rest := s[i+3:]
		j := strings.IndexByte(rest, '/')
		if j < 0 {
			return "/"
		}
		s = rest[j:]
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '?' || s[i] == '#' {
			return s[:i]
		}
	}
	return s
}

// hostOf returns the address of a "host:port", "[v6]:port" or list of them: the
// first, without port.
func hostOf(s string) string {
	if i := strings.IndexByte(s, ','); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexByte(s, ']'); i > 0 {
			return s[1:i]
		}
	}
	if i := strings.IndexByte(s, ':'); i >= 0 && strings.IndexByte(s[i+1:], ':') < 0 {
		return s[:i]
	}
	return s
}
