package decode

import (
	"crypto/sha256"
	"strings"

	"corral/event"
)

// PollType begins the type of a record that our own poller of NATS servers made:
// what follows it is the event's type.
const PollType = "io.corral.poll.v1."

// natsClass is the kind of NATS event that a subject announces, for messages
// whose body does not say it.
type natsClass struct {
	typ     string // "" none
	account string // from the subject
	claims  bool   // the body is an account's JWT
}

// classOf reads a subject, whatever stands before what the server published:
// imports may put events under a prefix of their own.
func classOf(subject string) natsClass {
	t := strings.Split(subject, ".")
	n := len(t)
	c := natsClass{account: prefixAccount(t)}
	switch {
	case n >= 3 && t[n-3] == "CLIENT" && t[n-2] == "AUTH" && t[n-1] == "ERR":
		c.typ = "auth_error"
	case n >= 3 && t[n-3] == "SERVER" && (t[n-1] == "STATSZ" || t[n-1] == "SHUTDOWN" || t[n-1] == "LAMEDUCK"):
		c.typ = strings.ToLower(t[n-1])
	case n >= 2 && t[n-2] == "CLAIMS" && (t[n-1] == "UPDATE" || t[n-1] == "DELETE"):
		c.typ, c.claims = "account_claims_"+strings.ToLower(t[n-1]), true
		if n >= 4 && t[n-4] == "ACCOUNT" {
			c.account = t[n-3]
		}
	}
	return c
}

// prefixAccount finds the account whose events an import was given: the token in
// front of ADVISORY or METRIC, unless the subject is the server's own.
func prefixAccount(t []string) string {
	for i := 1; i+1 < len(t); i++ {
		if (t[i] == "ADVISORY" || t[i] == "METRIC") && t[i-1] != "EVENT" {
			return t[i-1]
		}
	}
	return ""
}

// class returns the class of the record's subject. Records come in runs of one
// subject.
func (d *Decoder) class(env *envelope) natsClass {
	subject := firstText(env.subject, d.rec.Subject)
	if subject == "" {
		return natsClass{}
	}
	if subject != d.lastSubject {
		d.lastSubject, d.lastClass = strings.Clone(subject), classOf(subject)
	}
	return d.lastClass
}

// natsEvent decodes an object that a NATS server published about itself.
func (d *Decoder) natsEvent(raw, s string, env *envelope) bool {
	if d.js.marked&(1<<markType|1<<markStatsz) == 0 && env.subject == "" && d.rec.Subject == "" {
		return false
	}
	c := d.class(env)
	var typ string
	switch {
	case d.js.has(markType) && (strings.HasPrefix(d.js.marks[markType].s, "io.nats.") || strings.HasPrefix(d.js.marks[markType].s, PollType)):
		typ = d.js.marks[markType].s
	case d.js.has(markServer) && d.js.has(markStatsz) && d.js.marks[markStatsz].kind == kObject:
		typ = "statsz"
	case c.typ == "shutdown" || c.typ == "lameduck" || c.typ == "auth_error":
		typ = c.typ
	default:
		return false
	}
	o, ok := tree(s, nil).(map[string]any)
	if !ok {
		return false
	}
	d.natsObject(raw, typ, c, o, env)
	return true
}

// natsObject fills the event from the decoded object. What goes into a named
// field is taken out of it; what is left are the attributes.
func (d *Decoder) natsObject(raw, typ string, c natsClass, o map[string]any, env *envelope) {
	ev := d.start()
	ev.Kind = "nats"
	ev.Type = shortType(typ)
	if c.typ == "auth_error" {
		ev.Type = "auth_error"
	}
	for _, secret := range dropJWT(o) {
		raw = strings.ReplaceAll(raw, secret, "[redacted]")
	}
	delete(o, "type")
	n := natsFields{o: o, ev: ev, micro: strings.HasPrefix(typ, "io.nats.micro.")}
	n.common(d)
	if f := natsDetails[ev.Type]; f != nil {
		f(&n)
	}
	n.describe()
	ev.NATS.Account = firstText(firstText(ev.NATS.Account, c.account), d.rec.Account)
	d.m.timeKey = true
	if d.collect != nil {
		d.collect.tree = o
	}
	in := *env
	in.eager = o
	d.finish(redact(raw), fmtNATSEvent, &in)
}

// claims makes an event of an account's new claims. The claims themselves are a
// token and are not kept.
func (d *Decoder) claims(c natsClass, env *envelope) {
	ev := d.start()
	ev.Kind, ev.Type, ev.NATS.Account = "nats", c.typ, c.account
	d.setLevel(severity{"info", 9})
	ev.Message = strings.TrimRight("claims of account "+c.account, " ") + " were sent"
	in := *env
	in.eager = map[string]any{}
	d.finish("[redacted]", fmtNATSEvent, &in)
}

// shortType takes the last part of a schema type: "max_deliver".
func shortType(s string) string { return s[strings.LastIndexByte(s, '.')+1:] }

// dropJWT removes tokens wherever they are and returns them.
func dropJWT(v any) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if s, ok := v[k].(string); ok && canonical(k) == "jwt" {
				delete(v, k)
				if s != "" {
					found = append(found, s)
				}
				continue
			}
			found = append(found, dropJWT(v[k])...)
		}
	case []any:
		for _, x := range v {
			found = append(found, dropJWT(x)...)
		}
	}
	return found
}

// natsFields takes fields out of a decoded NATS event.
type natsFields struct {
	o     map[string]any
	ev    *event.Event
	micro bool // an answer of a service of NATS' micro framework
}

// text takes the text at a path of keys.
func (n *natsFields) text(path ...string) string {
	s, ok := n.at(path).(string)
	if ok {
		n.drop(path)
	}
	return s
}

// num takes the whole number at a path of keys.
func (n *natsFields) num(path ...string) int {
	v, ok := n.at(path).(int)
	if ok {
		n.drop(path)
	}
	return v
}

func (n *natsFields) at(path []string) any {
	var v any = n.o
	for _, k := range path {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func (n *natsFields) drop(path []string) {
	m := n.o
	for _, k := range path[:len(path)-1] {
		m = m[k].(map[string]any)
	}
	delete(m, path[len(path)-1])
}

// common takes what most events carry.
func (n *natsFields) common(d *Decoder) {
	ev, f := n.ev, &n.ev.NATS
	if ev.ID = n.text("id"); n.micro { // a service's, which answers again and again
		ev.Service, ev.Instance, ev.ID = n.text("name"), ev.ID, ""
	}
	f.Account = firstText(n.text("account"), n.text("acc"))
	f.Stream, f.Consumer = n.text("stream"), n.text("consumer")
	f.Seq, f.Deliveries = n.num("stream_seq"), n.num("deliveries")
	f.Reason, f.Leader = n.text("reason"), n.text("leader")
	n.server()
	n.client("client")
	for _, key := range []string{"timestamp", "time"} {
		if st, ok := d.m.zones.parse(n.text(key)); ok && ev.Time == 0 {
			ev.Time, ev.TimeQuality = st.ns, st.quality
		}
	}
	if t, ok := n.at([]string{"server", "time"}).(string); ok && ev.Time == 0 {
		if st, ok := d.m.zones.parse(t); ok {
			ev.Time, ev.TimeQuality = st.ns, st.quality
		}
	}
}

// server takes the server's name: JetStream's advisories give it as a text, the
// system's events as an object, a few are such an object themselves.
func (n *natsFields) server() {
	f := &n.ev.NATS
	if f.Server = n.text("server"); f.Server == "" {
		f.Server, f.Cluster = n.text("server", "name"), n.text("server", "cluster")
	}
	if n.o["ver"] != nil && f.Server == "" {
		f.Server = n.text("name")
		f.Host = n.text("host")
		n.ev.ID = "" // the server's, not the event's
	}
	f.Cluster = firstText(f.Cluster, n.text("cluster"))
}

// client takes the connection an event is about.
func (n *natsFields) client(key string) {
	f := &n.ev.NATS
	if _, ok := n.o[key].(map[string]any); !ok {
		return
	}
	f.CID = n.num(key, "id")
	f.Client = n.text(key, "name")
	f.User = n.text(key, "user")
	f.Host = n.text(key, "host")
	acc := n.text(key, "acc")
	if tag := n.text(key, "name_tag"); tag != "" {
		if tag != acc && acc != "" {
			n.o[key].(map[string]any)["acc"] = acc // in operator mode a key
		}
		acc = tag
	}
	f.Account = firstText(f.Account, acc)
	if m := n.o[key].(map[string]any); len(m) == 0 {
		delete(n.o, key)
	}
}

// natsDetails take what events of one type say.
var natsDetails = map[string]func(*natsFields){
	"api_audit":           (*natsFields).apiAudit,
	"service_latency":     (*natsFields).latency,
	"account_connections": (*natsFields).connections,
	"snapshot_complete":   (*natsFields).failure,
	"restore_complete":    (*natsFields).failure,
	"poll_health":         (*natsFields).failure,
	"statsz":              (*natsFields).statsz,
	"poll_server":         (*natsFields).node,
	"shutdown":            (*natsFields).node,
	"lameduck":            (*natsFields).node,

	"domain_leader_elected": (*natsFields).metaLeader,
}

func (n *natsFields) failure() { n.ev.Error = n.text("error") }

// connections names the account as its owner does.
func (n *natsFields) connections() {
	if name := n.text("name"); name != "" {
		n.ev.NATS.Account = name
	}
}

// NodeHash is what Raft calls a server: its log lines, peers, and the leader of a
// meta group.
func NodeHash(server string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(server))
	var b [8]byte
	for i := range b {
		b[i] = digits[int(sum[i])%len(digits)]
	}
	return string(b[:])
}

// raftNode is the attribute of Raft's name for a server, here as in log lines, so
// that the two can be joined.
const raftNode = "raft.node"

func (n *natsFields) node() {
	if server := n.ev.NATS.Server; server != "" {
		n.o[raftNode] = NodeHash(server)
	}
}

// metaLeader gives the leader the name of the server, which is among the peers.
func (n *natsFields) metaLeader() {
	replicas, _ := n.o["replicas"].([]any)
	for _, x := range replicas {
		r, _ := x.(map[string]any)
		if name, _ := r["name"].(string); name != "" && r["peer"] == n.ev.NATS.Leader {
			n.ev.NATS.Leader = name
		}
	}
}

// statsz leaves everything an attribute, reachable as attrs.statsz.….
func (n *natsFields) statsz() {
	n.node()
	if l, ok := n.at([]string{"statsz", "jetstream", "meta", "leader"}).(string); ok {
		n.ev.NATS.Leader = l
	}
}

// apiAudit takes what was asked and how it ended.
func (n *natsFields) apiAudit() {
	f := &n.ev.NATS
	f.Subject = n.text("subject")
	stream, consumer := apiAssets(f.Subject)
	f.Stream, f.Consumer = firstText(f.Stream, stream), firstText(f.Consumer, consumer)
	response, _ := n.o["response"].(string)
	if end, k := endValue(bytesOf(response), 0, 0); end != len(response) || k != kObject {
		return
	}
	r := natsFields{o: tree(response, nil).(map[string]any)}
	f.ErrCode = r.num("error", "err_code")
	n.ev.Error = r.text("error", "description")
	errReason(n.ev, "description="+n.ev.Error)
	if f.ErrCode == 0 && n.ev.Error == "" {
		f.ErrCode = r.num("error", "code")
	}
}

// apiAssets reads stream and consumer off a JetStream API subject, whose prefix
// may be another domain's: ….API.STREAM.CREATE.ORDERS,
// ….API.CONSUMER.DURABLE.CREATE.ORDERS.proc.
func apiAssets(subject string) (stream, consumer string) {
	t := strings.Split(subject, ".")
	for i := 0; i+2 < len(t); i++ {
		if t[i] != "API" {
			continue
		}
		rest := t[i+2:]
		for len(rest) > 0 && upperToken(rest[0]) && len(rest) > 1 {
			rest = rest[1:]
		}
		switch {
		case t[i+1] == "STREAM" && len(rest) > 0 && !apiVerbs[rest[0]]:
			return rest[0], ""
		case t[i+1] == "CONSUMER" && len(rest) > 1:
			return rest[0], rest[1]
		}
		return "", ""
	}
	return "", ""
}

// apiVerbs are tokens of API subjects that name an operation.
var apiVerbs = map[string]bool{
	"CREATE": true, "UPDATE": true, "DELETE": true, "INFO": true, "PURGE": true, "NAMES": true, "LIST": true, "MSG": true, "GET": true,
	"SNAPSHOT": true, "RESTORE": true, "PEER": true, "REMOVE": true, "LEADER": true, "STEPDOWN": true, "DURABLE": true, "PAUSE": true,
	"RESET": true, "UNPIN": true, "CANCEL_MOVE": true, "NEXT": true,
}

func upperToken(s string) bool { return apiVerbs[s] }

// latency takes the answer to a sampled service request.
func (n *natsFields) latency() {
	f := &n.ev.NATS
	n.client("requestor")
	status, _ := n.o["status"].(int)
	if status >= 400 {
		n.ev.Error = n.text("description")
		f.Reason = n.ev.Error
	}
}
