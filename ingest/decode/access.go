package decode

import (
	"net/netip"
	"strings"

	"corral/event"
)

func recogniseAccess(s string) format {
	if accessTime(s) >= 0 {
		return fmtAccess
	}
	return fmtText
}

// accessTime returns where the bracketed time of an access log line begins, -1 if it
// is none: "client ident user [07/Feb/2020:11:48:51 +0000] …".
func accessTime(s string) int {
	head := clip(firstLine(s), 512)
	i := 0
	if !strings.HasPrefix(head, "[") {
		if i = strings.Index(head, " [") + 1; i == 0 {
			return -1
		}
	}
	if _, n := commonLogTime(s[i+1:]); n == 0 || !strings.HasPrefix(strings.TrimLeft(head[min(i+1+n, len(head)):], "] "), `"`) {
		return -1
	}
	return i
}

// access reads the common and combined log formats of Apache and nginx, with a
// virtual host before them or nginx ingress's fields after them, Django's, which
// names no client, and Gin's.
func (d *Decoder) access(s string) bool {
	if rest, ok := strings.CutPrefix(s, "[GIN] "); ok {
		return d.gin(rest)
	}
	at := accessTime(s)
	if at < 0 {
		return false
	}
	c, n := commonLogTime(s[at+1:])
	f := cells(strings.TrimLeft(firstLine(s)[at+1+n:], "] "))
	if len(f) < 2 {
		return false
	}
	d.civilTime(&c, true)
	d.accessClient(strings.Fields(s[:at]))
	d.accessFields(f)
	d.ev.Message = strings.TrimRight(s[at+1+n:], " ")
	d.ev.Message = strings.TrimLeft(d.ev.Message, "] ")
	return true
}

// gin reads a line of the web framework's logger: "2026/11/22 - 08:34:01 | 500 |
// 1.5ms | 127.0.0.1 | GET      "/ping"".
func (d *Decoder) gin(s string) bool {
	var c civil
	n := c.match(s, "Y/N/D - h:m:s")
	f := strings.SplitN(firstLine(s)[n:], "|", 5)
	if n == 0 || len(f) < 5 {
		return false
	}
	d.civilTime(&c, true)
	d.status(strings.TrimSpace(f[1]))
	if ms, ok := millis(val{s: strings.TrimSpace(f[2]), kind: kString}, unitUnknown, unitMS); ok {
		d.ev.HTTP.DurationMS = ms
	}
	d.ev.HTTP.Client = hostOf(strings.TrimSpace(f[3]))
	method, path, _ := strings.Cut(strings.TrimSpace(f[4]), " ")
	d.ev.HTTP.Method, _ = httpVerb(method)
	d.ev.HTTP.Path = urlPath(strings.Trim(path, ` "`))
	d.ev.Message = strings.TrimLeft(s[n:], " |")
	return true
}

// accessClient reads what stands before the time: a virtual host, if there is
// one, the client, identity and user.
func (d *Decoder) accessClient(f []string) {
	if len(f) == 4 {
		d.pairText("vhost", f[0])
		f = f[1:]
	}
	if len(f) > 0 && f[0] != "-" {
		d.ev.HTTP.Client = hostOf(f[0])
	}
	if len(f) == 3 && f[2] != "-" {
		d.pairText("user", f[2])
	}
}

// accessFields reads request, status, size, referrer, agent and what follows.
func (d *Decoder) accessFields(f []string) {
	d.request(f[0])
	d.status(f[1])
	for i, name := range []string{"bytes", "referrer", "user_agent"} {
		if i+2 < len(f) && f[i+2] != "-" {
			d.pair(name, d.bare(f[i+2]))
		}
	}
	if len(f) > 5 {
		d.ingress(f[5:])
	}
}

// tailNames are the names that configurations give to nginx's variables behind the
// combined format, in full.
var tailNames = map[string]string{
	"rt": "request_time", "req_time": "request_time", "urt": "upstream_response_time", "uct": "upstream_connect_time",
	"uht": "upstream_header_time", "ua": "upstream_addr", "us": "upstream_status", "rid": "request_id",
}

// tail takes what stands behind the combined format: name=value, the addresses a
// request was forwarded for, a time.
func (d *Decoder) tail(f []string) {
	for _, x := range f {
		key, value, ok := cutKey(x)
		switch {
		case ok:
			if full := tailNames[key]; full != "" {
				key = full
			}
			d.pair(key, d.bare(strings.Trim(value, `"`)))
		case isAddresses(x):
			d.pairText("forwarded_for", x)
		}
	}
	if !d.m.has(fDuration) {
		d.lastSeconds(f)
	}
}

// isAddresses recognises a list of addresses.
func isAddresses(s string) bool {
	for _, x := range strings.Split(s, ",") {
		if _, err := netip.ParseAddr(strings.TrimSpace(x)); err != nil {
			return false
		}
	}
	return true
}

// ingress reads nginx ingress's fields: request length and time, [service],
// [alternative service], then upstream addresses, lengths, times and statuses,
// each a list if the request was tried more than once, and the request id. Other
// layouts end in a time in seconds, if anything is known of them at all.
func (d *Decoder) ingress(f []string) {
	up := -1
	for i, x := range f {
		if strings.HasPrefix(x, "[") && i >= 2 {
			up = i
			break
		}
	}
	if up < 0 || len(f) < up+7 {
		d.tail(f)
		return
	}
	d.seconds(f[up-1])
	if name := strings.Trim(f[up], "[]"); name != "" {
		d.ev.Service = serviceOfUpstream(name)
		d.pairText("upstream.name", name)
	}
	d.ev.RequestID = dash(f[len(f)-1])
	rest := f[up+2 : len(f)-1]
	for i, name := range []string{"upstream.addr", "upstream.length", "upstream.time", "upstream.status"} {
		if i < len(rest) && rest[i] != "-" {
			d.pairText(name, rest[i])
		}
	}
}

// lastSeconds takes the last field of an unknown layout for the request's time if
// it looks like one.
func (d *Decoder) lastSeconds(f []string) {
	for k, x := range f {
		if i := strings.IndexByte(x, '.'); i > 0 && len(x)-i == 4 {
			if k+1 < len(f) && f[k+1] == "ms" {
				x += "ms"
			}
			d.seconds(x)
			return
		}
		if strings.HasSuffix(x, "ms") && allDigits(x[:len(x)-2]) { // Traefik's
			d.seconds(x)
			return
		}
	}
}

func (d *Decoder) seconds(s string) {
	if ms, ok := millis(val{s: s, kind: kString}, unitSeconds, unitSeconds); ok {
		d.ev.HTTP.DurationMS = ms
	}
}

func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// serviceOfUpstream takes namespace and port off "default-web-8080". A namespace
// with a dash in it cannot be told from the service's name; then it stays.
func serviceOfUpstream(s string) string {
	if i := strings.LastIndexByte(s, '-'); i > 0 && allDigits(s[i+1:]) {
		s = s[:i]
	}
	if ns, rest, ok := strings.Cut(s, "-"); ok && (ns == "default" || strings.Count(s, "-") == 1) {
		return rest
	}
	return s
}

// bare types a value of a text format.
func (d *Decoder) bare(s string) val {
	v := bareValue(s)
	v.off = d.m.nextOff()
	return v
}

// request reads "GET /path HTTP/1.1".
func (d *Decoder) request(s string) {
	parts := strings.Fields(s)
	if len(parts) < 2 {
		return
	}
	d.ev.HTTP.Method, _ = httpVerb(parts[0])
	if parts[1] != "-" {
		d.ev.HTTP.Path = urlPath(parts[1])
	}
}

// status sets the status and the level it implies.
func (d *Decoder) status(s string) {
	n, ok := integer(s)
	if !ok || n < 0 || n > 999 {
		return
	}
	d.ev.HTTP.Status = int(n)
	d.setLevel(statusSeverity(int(n)))
}

// statusSeverity is the level a status implies: the server's errors are errors,
// and so is no answer (0), the caller's are warnings.
func statusSeverity(n int) severity {
	switch {
	case n >= 500 || n == 0:
		return severity{"error", 17}
	case n >= 400:
		return severity{"warn", 13}
	}
	return severity{"info", 9}
}

// cells splits a line at spaces; quoted and bracketed texts stay together, and so
// do lists ("a, b").
func cells(s string) []string {
	var f []string
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		var c string
		c, s = cell(s)
		if n := len(f); n > 0 && strings.HasSuffix(f[n-1], ",") {
			f[n-1] += " " + c
		} else {
			f = append(f, c)
		}
	}
	return f
}

func cell(s string) (c, rest string) {
	if s[0] == '"' {
		for i := 1; i < len(s); i++ {
			if s[i] == '\\' {
				i++
			} else if s[i] == '"' {
				return s[1:i], s[i+1:]
			}
		}
	}
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// requestInText finds a request that a text tells of, as uvicorn, chi and others
// write it: `… "GET /x HTTP/1.1" 500 …`, and the status and duration behind it.
func requestInText(ev *event.Event) {
	const mark = " HTTP/"
	s := ev.Message
	i := strings.Index(s, mark)
	if i < 0 {
		requestWords(ev)
		return
	}
	if len(s) > maxRequestText {
		return
	}
	open := strings.LastIndexByte(s[:i], '"') + 1
	verb, path, ok := strings.Cut(s[open:i], " ")
	verb, known := httpVerb(verb)
	_, rest, closed := strings.Cut(s[i:], `"`)
	if !ok || !known || !closed || open == 0 {
		return
	}
	ev.HTTP.Method, ev.HTTP.Path = verb, urlPath(path)
	words := strings.Fields(clip(rest, 160))
	for k, w := range words[:min(len(words), 6)] {
		if n, ok := integer(w); ok && len(w) == 3 && n >= 100 && n <= 599 && ev.HTTP.Status == 0 {
			ev.HTTP.Status = int(n)
		}
		if w == "in" && k+1 < len(words) {
			ev.HTTP.DurationMS, _ = millis(val{s: words[k+1], kind: kString}, unitUnknown, unitMS)
		}
	}
}

// requestWords reads the lines of morgan's short formats: "GET /x 200 12.345 ms - 5".
func requestWords(ev *event.Event) {
	s := ev.Message
	n := wordLen(s[:min(len(s), 8)])
	verb, known := httpVerb(s[:n])
	if !known || !strings.HasPrefix(s[n:], " /") {
		return
	}
	words := strings.Fields(clip(firstLine(s), maxRequestText))
	if len(words) < 4 {
		return
	}
	status, ok := integer(words[2])
	if !ok || status < 100 || status > 599 {
		return
	}
	ev.HTTP.Method, ev.HTTP.Path, ev.HTTP.Status = verb, urlPath(words[1]), int(status)
	for i := 3; i < len(words); i++ {
		if words[i] == "ms" {
			ev.HTTP.DurationMS, _ = float(words[i-1])
		}
	}
}

// maxRequestText is how long a text may be that is searched for a request.
const maxRequestText = 2048

// envoy reads Envoy's and Istio's default access log:
// [time] "GET /x HTTP/1.1" code flags … with the quoted texts at the end.
func (d *Decoder) envoy(s string) bool {
	c, n := isoTime(strings.TrimPrefix(s, "["))
	if n == 0 || s[0] != '[' || len(firstLine(s)) < n+4 {
		return false
	}
	f := cells(firstLine(s)[n+2:])
	if len(f) < 7 || !strings.Contains(f[0], " ") && f[0] != "-" {
		return false
	}
	d.civilTime(&c, true)
	d.request(f[0])
	d.status(f[1])
	d.envoyFlags(f)
	d.ev.Message = strings.TrimLeft(s[n+2:], " ")
	return true
}

// envoyFlags reads what follows the code. Istio has three texts between the
// response flags and the sizes.
func (d *Decoder) envoyFlags(f []string) {
	if f[2] != "-" {
		d.pairText("response_flags", f[2])
		d.setLevel(severity{"error", 17})
	}
	nums := f[3:]
	for len(nums) > 0 && !allDigits(nums[0]) {
		nums = nums[1:]
	}
	if len(nums) < 9 {
		return
	}
	if v, ok := float(nums[2]); ok {
		d.ev.HTTP.DurationMS = v
	}
	for i, name := range []string{"bytes_received", "bytes_sent"} {
		d.pair(name, d.bare(nums[i]))
	}
	d.ev.HTTP.Client = hostOf(dash(nums[4]))
	d.pairText("user_agent", dash(nums[5]))
	d.ev.RequestID = dash(nums[6])
	if strings.HasPrefix(nums[5], "grpc-") && fullMethod(d.ev.HTTP.Path) {
		d.m.fillRPCMethod(&d.ev, d.ev.HTTP.Path)
	}
	d.pairText("authority", dash(nums[7]))
	d.pairText("upstream.addr", dash(nums[8]))
	if len(nums) > 9 {
		d.pairText("upstream.cluster", dash(nums[9]))
	}
}
