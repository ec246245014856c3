package decode

import (
	"strings"

	"corral/event"
)

// natsLine is the head of a line of nats-server's log.
type natsLine struct {
	pid, level string
	time       civil
	text       string
}

// natsHead reads "[pid] 2026/11/22 08:28:28.560075 [INF] text"; level is "" if s
// is no such line.
func natsHead(s string) (l natsLine) {
	rest := s
	if strings.HasPrefix(rest, "[") {
		pid, after, ok := strings.Cut(rest[1:], "] ")
		if !ok || len(pid) > 10 || !isWordText(pid) {
			return l
		}
		l.pid, rest = pid, after
	}
	c, n := isoTime(rest)
	if n == 0 || rest[4] != '/' {
		return l
	}
	rest = strings.TrimLeft(rest[n:], " ")
	if len(rest) < 5 || rest[0] != '[' || rest[4] != ']' {
		return l
	}
	switch rest[1:4] {
	case "INF", "WRN", "ERR", "FTL", "DBG", "TRC":
		l.time, l.level, l.text = c, rest[1:4], strings.TrimPrefix(rest[5:], " ")
	}
	return l
}

func isWordText(s string) bool { return s != "" && wordLen(s) == len(s) }

// natsServer reads a line of nats-server's log: the connection it is about and
// the facts of the texts the server is known to write.
func (d *Decoder) natsServer(s string) bool {
	l := natsHead(s)
	if l.level == "" {
		return false
	}
	d.civilTime(&l.time, true)
	sev, _ := levelWord(l.level)
	d.setLevel(sev)
	d.ev.Service = natsService
	d.pairText("pid", l.pid)
	d.natsText(l.text)
	return true
}

// natsService is the service of the lines nats-server writes, and its tag in syslog.
const natsService = "nats-server"

// natsRelayed takes what a relay has put into its record as the message: a line of
// the server's as it is, or the text of one. The relay's own time stays.
func (d *Decoder) natsRelayed(l natsLine) {
	if l.level == "" {
		d.natsText(d.ev.Message)
		return
	}
	if d.ev.Time == 0 {
		d.civilTime(&l.time, true)
	}
	sev, _ := levelWord(l.level)
	d.setLevel(sev)
	d.ev.Service = natsService
	d.pairText("pid", l.pid)
	d.natsText(l.text)
}

// natsText takes a text of the server's, with the connection it is about before it.
func (d *Decoder) natsText(text string) {
	if len(text) > 6 && text[0] == '[' && text[4] == ']' { // relays of syslog keep what the server has no place for
		if sev, ok := levelWord(text[1:4]); ok {
			d.setLevel(sev)
			text = text[6:]
		}
	}
	text = strings.TrimRight(text, "\r\n ")
	if n := &d.ev.NATS; strings.Contains(firstLine(text), "id") {
		text = d.natsConnection(n, text)
	}
	d.ev.Message = redact(text)
	natsFacts(&d.ev, d.ev.Message)
	if d.ev.Level == "error" || d.ev.Level == "fatal" {
		d.ev.Error = d.ev.Message
	}
	d.raftFacts(text)
}

// natsConnection reads the prefix of lines about a connection and returns the
// text after it:
//
//	127.0.0.1:43924 - cid:36 - "v1.55.0:go:svc-orders" - "APP/user:app" - text
//
// Client and account are missing before login, the account before server 2.12.
func (d *Decoder) natsConnection(n *event.NATS, s string) string {
	peer, rest, ok := strings.Cut(s, " - ")
	if !ok || strings.IndexByte(peer, ' ') >= 0 {
		return s
	}
	id, text, ok := strings.Cut(rest, " - ")
	kind, num, isID := strings.Cut(id, ":")
	cid, isInt := integer(num)
	if !ok || !isID || !isInt || !strings.Contains(" cid wid mid mid_ws rid gid lid lid_ws ", " "+kind+" ") {
		return s
	}
	n.CID, n.Host = int(cid), hostOf(peer)
	if kind != "cid" {
		d.pairText("connection", kind)
	}
	client, text := quotedPart(text)
	account, text := quotedPart(text)
	n.Client = clientName(client)
	n.Account, n.User = accountUser(account)
	d.pairText("client_version", strings.TrimRight(strings.TrimSuffix(client, n.Client), ":"))
	return text
}

// quotedPart splits `"…" - ` off.
func quotedPart(s string) (part, rest string) {
	if !strings.HasPrefix(s, `"`) {
		return "", s
	}
	part, rest, ok := strings.Cut(s[1:], `" - `)
	if !ok {
		return "", s
	}
	return part, rest
}

// clientName takes the name out of version:language:name.
func clientName(s string) string {
	parts := strings.SplitN(s, ":", 3)
	return parts[len(parts)-1]
}

// accountUser reads "APP/user:app" and "<KEY>/APP/jwt:<KEY>". The readable name of
// an account counts, its key where there is none.
func accountUser(s string) (account, user string) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return s, ""
	}
	account, user = s[:i], s[i+1:]
	if j := strings.LastIndexByte(account, '/'); j >= 0 {
		account = account[j+1:]
	}
	if _, name, ok := strings.Cut(user, ":"); ok {
		user = name
	}
	return account, user
}

// natsFacts finds facts in a text of nats-server's. The texts name an asset as
// 'ACCOUNT > STREAM > CONSUMER' wherever they name one.
func natsFacts(ev *event.Event, s string) {
	n := &ev.NATS
	natsAsset(n, s)
	natsAccount(n, s)
	natsReason(n, s)
	if subject := after(s, `Subject "`); subject != "" {
		n.Subject = upTo(subject, `"`)
	} else if subject := after(s, `Internal subscription on "`); subject != "" {
		n.Subject = upTo(subject, `"`)
	}
	if user := after(s, `authentication error - User "`); user != "" {
		n.User = upTo(user, `"`)
	}
	if leader := after(s, "new metadata leader: "); leader != "" {
		n.Leader, n.Cluster, _ = strings.Cut(leader, "/")
	}
	if name := after(s, "Name:     "); name != "" && !strings.Contains(name, " ") {
		n.Server = name
	}
}

func after(s, mark string) string {
	if i := strings.Index(s, mark); i >= 0 {
		return s[i+len(mark):]
	}
	return ""
}

func upTo(s, mark string) string {
	s, _, _ = strings.Cut(s, mark)
	return s
}

// natsAsset reads 'APP > ORDERS > proc' and 'APP' > 'ORDERS'.
func natsAsset(n *event.NATS, s string) {
	i := strings.IndexByte(s, '\'')
	if i < 0 || strings.Index(s, " > ") < i {
		return
	}
	rest := strings.Replace(s[i+1:], "' > '", " > ", 1)
	name, _, ok := strings.Cut(rest, "'")
	if !ok {
		return
	}
	parts := strings.Split(name, " > ")
	if len(parts) < 2 || len(parts) > 3 {
		return
	}
	n.Account, n.Stream = parts[0], parts[1]
	if len(parts) == 3 {
		n.Consumer = parts[2]
	}
}

func natsAccount(n *event.NATS, s string) {
	if n.Account != "" {
		return
	}
	for _, mark := range []string{`for account: "`, `account="`, "account limits exceeded for '", " - Account:", "Account ["} {
		if a := after(s, mark); a != "" {
			n.Account = a[:nameLen(a)]
			return
		}
	}
}

func nameLen(s string) int {
	if i := strings.IndexAny(s, "\"' ]"); i >= 0 {
		return i
	}
	return len(s)
}

// natsReasons are texts that say why, in the words of the server's own events
// where it has some.
var natsReasons = []struct{ mark, reason string }{
	{"Slow Consumer Detected: MaxPending", "Slow Consumer (Pending Bytes)"},
	{"Slow Consumer Detected: WriteDeadline", "Slow Consumer (Write Deadline)"},
	{"Slow Consumer State: WriteDeadline", "Slow Consumer (Write Deadline)"},
	{"authentication error", "Authentication Failure"},
	{"authentication timeout", "Authentication Timeout"},
	{"maximum account active connections exceeded", "Maximum Account Connections Exceeded"},
	{"maximum connections exceeded", "Maximum Connections Exceeded"},
	{"maximum subscriptions exceeded", "Maximum Subscriptions Exceeded"},
	{"maximum payload exceeded", "Maximum Message Payload Exceeded"},
	{"User Authentication Expired", "Authentication Expired"},
	{"Client parser ERROR", "Protocol Violation"},
	{"TLS handshake timeout", "TLS Handshake Failure"},
	{"handshake error", "TLS Handshake Failure"},
	{"Publish Violation", "Permissions Violation"},
	{"Subscription Violation", "Permissions Violation"},
	{"has NO quorum", "No Quorum"},
	{"limit reached, dropping", "API Limit Reached"},
	{"no space left on device", "No Space Left On Device"},
}

func natsReason(n *event.NATS, s string) {
	if reason := after(s, "connection closed: "); reason != "" {
		n.Reason = upTo(firstLine(reason), " - Remote: ")
		n.Server = after(reason, " - Remote: ")
		return
	}
	for _, r := range natsReasons {
		if strings.Contains(s, r.mark) {
			n.Reason = r.reason
			return
		}
	}
}

// raftFacts keeps the node and group of Raft's lines: "RAFT [fjFyEjc1 - S-R3F-x] …".
func (d *Decoder) raftFacts(s string) {
	rest, ok := strings.CutPrefix(s, "RAFT [")
	if !ok {
		return
	}
	id, _, ok := strings.Cut(rest, "]")
	node, group, isPair := strings.Cut(id, " - ")
	if ok && isPair {
		d.pairText(raftNode, node)
		d.pairText("raft.group", group)
	}
}
