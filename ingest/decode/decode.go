// Package decode turns records into events: it finds out what format a record
// has, takes it out of its envelopes and maps its fields to the names of the rule
// language.
//
// What a record decodes to depends on the record and the options alone, never on
// what was decoded before or on the wall clock, so a replay, another number of
// workers and a restart give the same events.
package decode

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leodido/go-syslog/v4"

	"corral/event"
	"corral/ingest"
)

// Options say how records are read. The zero value reads everything it knows.
type Options struct {
	// Format is one of Formats; "" and "auto" find it out per record.
	Format string
	// AttrPaths are the attribute paths whose values events shall carry in slots
	// (rules.Set.AttrPaths).
	AttrPaths []string
	// Location is the zone of times written without one; nil is UTC.
	Location *time.Location
	// Reference is the time that years are guessed from where a record has no
	// arrival time of its own, and the time beyond which (plus a day) times are
	// not believed. Zero: dates without a year have no time.
	Reference time.Time
	// Today is what years are guessed from, and what events without a time have, where
	// neither the record nor Reference says anything: lines from standard input.
	Today time.Time
	// Map overrides where a field comes from: "service=attrs.app". The names are
	// those of the rule language. With a file, a stream or a subject before it, each
	// perhaps with wildcards, it holds for these only: "pay.log:service=attrs.team".
	Map []string
	// TimeLayout is tried first on times, in Go's or strftime's notation.
	TimeLayout string
	// Service is the service of events that name none.
	Service string
	// Origins makes decoders note where fields came from: see Decoder.Origins.
	Origins bool
}

// Check reports what is wrong with the options.
func (o Options) Check() error {
	_, err := o.compile()
	return err
}

// DeadRecord is a record, or a part of one, that cannot be read at all.
type DeadRecord struct {
	Reason  string // "undecodable" or "oversize"
	Error   string // what was wrong, at most 200 bytes
	Data    []byte // may be a view on the record; valid until the callback returns
	Subject string
	Seq     uint64
	Sub     uint32
}

// Decoder decodes records. It is for one goroutine; it reuses the event it hands
// out and its buffers.
type Decoder struct {
	*shared
	js jscan
	m  mapper
	ev event.Event

	counts *Counters
	emit   func(*event.Event)
	dead   func(DeadRecord)

	rec    ingest.Record
	sub    uint32 // position of the next event in a message
	line   uint64 // number of the current line of a Lines record
	prev   int64  // time of the event before in this record, 0: none yet
	now    int64  // see Options.Reference
	groups groups
	unzip  unzipper
	csv    *csvTable // of the file read last
	sys    syslog.Machine

	lastSubject string
	lastClass   natsClass
	sources     map[field]string // which attribute an OTLP record's field came from

	inputs    byInput
	pairSlots pairSlots
	origins   map[string]string
	collect   *collector // not nil: attributes are wanted, not events
	spans     *spans     // not nil: where events begin and end is wanted
}

// shared is what all decoders of one New, and the attributes not decoded yet,
// have in common. It is not changed after New.
type shared struct {
	opt    Options
	tab    *table
	layout string
	pool   sync.Pool // *Decoder, for attributes
	lazy   *lazy
	lazies map[string]*lazy // by the container runtime's stream
	only   format           // the one Options.Format names, or auto

	everyMap []string // Options.Map without
	perInput []inputMap
}

// New makes a decoder. Options that Check refuses make it panic.
func New(o Options) *Decoder {
	sh, err := o.compile()
	if err != nil {
		panic("decode: " + err.Error())
	}
	return sh.decoder()
}

func (o Options) compile() (*shared, error) {
	every, inputs, err := splitMaps(o.Map)
	if err != nil {
		return nil, err
	}
	for _, in := range inputs {
		if _, err := newTable(nil, in.maps); err != nil {
			return nil, fmt.Errorf("%s: %w", in.name, err)
		}
	}
	tab, err := newTable(o.AttrPaths, every)
	if err != nil {
		return nil, err
	}
	sh := &shared{opt: o, tab: tab, layout: goLayout(o.TimeLayout), lazies: map[string]*lazy{}, everyMap: every, perInput: inputs}
	sh.lazy = &lazy{shared: sh}
	for _, stream := range []string{"stdout", "stderr"} {
		sh.lazies[stream] = &lazy{shared: sh, stream: stream}
	}
	if sh.only, err = formatNamed(o.Format); err != nil {
		return nil, err
	}
	sh.pool.New = func() any { return sh.decoder() }
	return sh, nil
}

func (sh *shared) decoder() *Decoder {
	d := &Decoder{shared: sh, counts: new(Counters)}
	d.m.tab = sh.tab
	d.m.zones = zones{loc: sh.opt.Location, layout: sh.layout}
	d.js = newJSCAN(sh.tab, &d.m)
	return d
}

// Counts returns what was counted since New. The caller may read it between
// calls of Decode.
func (d *Decoder) Counts() *Counters { return d.counts }

// Decode calls emit for each event of the record, in the record's order, and dead
// for each part of it that cannot be read. What emit is given is valid until emit
// returns; Event.Clone makes it last. The caller sets Pos.Partition.
//
// In a Lines record Pos.Seq is the number of the line the event begins in (of
// lines cut in pieces by a container runtime: ends in), in a message the
// message's sequence, and Pos.Sub tells its events apart.
func (d *Decoder) Decode(rec ingest.Record, emit func(*event.Event), dead func(DeadRecord)) {
	if len(d.perInput) > 0 {
		if x := d.decoderFor(&rec); x != d {
			x.Decode(rec, emit, dead)
			return
		}
	}
	d.begin(rec, emit, dead)
	data, ok := d.plain(rec)
	switch {
	case !ok:
	case rec.Lines:
		d.lines(data)
	default:
		d.message(data)
	}
}

func (d *Decoder) begin(rec ingest.Record, emit func(*event.Event), dead func(DeadRecord)) {
	d.rec, d.emit, d.dead = rec, emit, dead
	d.sub, d.line, d.prev = 0, rec.Seq, 0
	d.m.arena.reset()
	d.now = rec.Observed
	if d.now == 0 {
		d.now = rec.Reference
	}
	if d.now == 0 && !d.opt.Reference.IsZero() {
		d.now = d.opt.Reference.UnixNano()
	}
	d.m.zones.ref = d.now
	if d.now == 0 && !d.opt.Today.IsZero() {
		d.m.zones.ref = d.opt.Today.UnixNano()
	}
}

// start makes the event ready for the next record.
func (d *Decoder) start() *event.Event {
	d.ev.Reset()
	d.ev.Kind = "log"
	d.m.reset()
	d.pairSlots.reset(d.tab.nSlots)
	return &d.ev
}

// envelope is what is known of a record from what it came in.
type envelope struct {
	time                    int64 // 0: none
	service, instance, host string
	env                     string // the deployment's
	stream                  string // "stdout" or "stderr"
	trace, span             string
	subject, account        string
	level                   severity
	id                      string
	attrs                   map[string]any // further fields, nil: none
	eager                   map[string]any // the event's attributes, where they are decoded already
	outer                   string         // the whole record, if it is to give the attributes
	given                   *event.Event   // further fields, for what the record itself does not say; nil: none
	depth                   int            // envelopes around the record
}

const maxEnvelopes = 3

// finish completes the event from its envelope and hands it out. raw is the
// record without its envelope.
func (d *Decoder) finish(raw string, format format, env *envelope) {
	ev := &d.ev
	ev.Raw, ev.Format = raw, formatNames[format]
	if ev.Subject == "" {
		ev.Subject = firstText(env.subject, d.rec.Subject)
	}
	ev.Observed = d.rec.Observed
	d.trace(ev, ownOrigin)
	d.fromEnvelope(ev, env)
	d.trace(ev, "envelope")
	textFacts(ev, &d.m)
	d.trace(ev, "words of the text")
	d.implied(ev, env)
	d.trace(ev, "implied")
	if d.collect != nil {
		return
	}
	d.fixTime(ev, env)
	d.traceTime(ev)
	d.setAttrs(ev, raw, env)
	d.place(ev)
	d.counts.formats[format]++
	d.emit(ev)
}

// fromEnvelope fills what the record itself does not say.
func (d *Decoder) fromEnvelope(ev *event.Event, env *envelope) {
	ev.Service = firstText(ev.Service, env.service)
	if ev.Service == "" {
		ev.Service = workload(env.instance)
	}
	ev.Instance = firstText(ev.Instance, env.instance)
	ev.Host = firstText(ev.Host, env.host)
	ev.Env = firstText(ev.Env, env.env)
	ev.TraceID = firstText(ev.TraceID, env.trace)
	ev.SpanID = firstText(ev.SpanID, env.span)
	ev.ID = firstText(ev.ID, env.id)
	ev.NATS.Account = firstText(ev.NATS.Account, env.account)
	if env.given != nil {
		fillGaps(ev, env.given)
	}
	if tp := d.rec.Headers; tp != nil && ev.TraceID == "" {
		trace, span := splitTraceparent(header(tp, "traceparent"))
		ev.TraceID, ev.SpanID = d.m.traceID(trace), firstText(ev.SpanID, span)
	}
}

// fillGaps takes from given what ev has none of.
func fillGaps(ev, given *event.Event) {
	ev.Env, ev.Logger = firstText(ev.Env, given.Env), firstText(ev.Logger, given.Logger)
	ev.Error, ev.RequestID = firstText(ev.Error, given.Error), firstText(ev.RequestID, given.RequestID)
	ev.TraceID, ev.SpanID = firstText(ev.TraceID, given.TraceID), firstText(ev.SpanID, given.SpanID)
	if ev.HTTP == (event.HTTP{}) {
		ev.HTTP = given.HTTP
	}
	if ev.RPC == (event.RPC{}) {
		ev.RPC = given.RPC
	}
	if ev.NATS == (event.NATS{}) {
		ev.NATS = given.NATS
	}
}

func firstText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// implied fills what other fields imply.
func (d *Decoder) implied(ev *event.Event, env *envelope) {
	if d.m.has(fName) {
		d.name(ev)
	}
	ev.Service = firstText(ev.Service, d.opt.Service)
	if ev.RPC.System == "" && (ev.RPC.Code != "" || ev.RPC.Method != "") {
		ev.RPC.System = "grpc"
	}
	if ev.Level == "" {
		d.impliedLevel(ev, env)
	}
	if ev.Message == "" && ev.HTTP.Method != "" {
		ev.Message = d.m.arena.join(ev.HTTP.Method, " ", firstText(ev.HTTP.Path, ev.HTTP.Route))
	}
}

// impliedLevel is for records that do not say how bad they are.
func (d *Decoder) impliedLevel(ev *event.Event, env *envelope) {
	switch {
	case env.level.level != "":
		d.setLevel(env.level)
	case d.js.has(markTemplate): // CLEF leaves out what is information
		d.setLevel(severity{"info", 9})
	case ev.HTTP.Status != 0 && ev.HTTP.Method != "":
		d.setLevel(statusSeverity(ev.HTTP.Status))
	case env.stream == "stdout":
		// What a container writes to its ordinary output without saying how bad it
		// is, is information. Standard error says nothing: many loggers write
		// everything there.
		d.setLevel(severity{"info", 9})
	}
}

// name decides what a key "name" is: pino and bunyan call the service so,
// others the logger.
func (d *Decoder) name(ev *event.Event) {
	v := d.m.vals[fName]
	if !d.js.has(markPID) || !d.js.has(markHostname) {
		ev.Logger = firstText(ev.Logger, v.text(&d.m.arena))
		return
	}
	ev.Service = firstText(ev.Service, v.text(&d.m.arena))
}

// fixTime decides which clock counts: the record's own where it is complete,
// else the envelope's, else arrival.
func (d *Decoder) fixTime(ev *event.Event, env *envelope) {
	own := ev.Time != 0 && d.believable(ev.Time)
	if d.m.timeKey && !own {
		d.counts.BadTime++
	}
	switch {
	case own && (ev.TimeQuality == event.TimeExact || env.time == 0):
	case env.time != 0 && d.believable(env.time):
		ev.Time, ev.TimeQuality = env.time, event.TimeEnvelope
	case own:
	default:
		d.arrivalTime(ev)
	}
	if ev.TimeQuality == event.TimeNoZone || ev.TimeQuality == event.TimeNoYear {
		d.counts.NoZone++
	}
	d.prev = ev.Time
}

// arrivalTime is for events without a usable clock: when they arrived, in files
// when the event before happened.
func (d *Decoder) arrivalTime(ev *event.Event) {
	ev.TimeQuality = event.TimeObserved
	d.counts.NoTime++
	switch {
	case d.rec.Observed != 0:
		ev.Time = d.rec.Observed
	case d.prev != 0:
		ev.Time = d.prev
	default:
		ev.Time = d.m.zones.ref
	}
}

// believable reports whether a time can be one of a log: zero times, wrong units
// and clocks that are days ahead cannot.
func (d *Decoder) believable(ns int64) bool {
	if ns < earliest {
		return false
	}
	if d.now != 0 {
		return ns <= d.now+day
	}
	return ns <= latest
}

// place sets the event's position.
func (d *Decoder) place(ev *event.Event) {
	if d.rec.Lines {
		ev.Pos = event.Pos{Seq: d.line, Sub: d.sub}
		d.sub++ // of several events on one line
		return
	}
	ev.Pos = event.Pos{Seq: d.rec.Seq, Sub: d.sub}
	d.sub++
}

// kill hands out data that cannot be read.
func (d *Decoder) kill(reason, err string, data []byte) {
	d.counts.Undecodable++
	dl := DeadRecord{Reason: reason, Error: clip(err, 200), Data: data, Subject: d.rec.Subject, Seq: d.rec.Seq, Sub: d.sub}
	if d.rec.Lines {
		dl.Seq = d.line
	}
	d.sub++
	if d.dead != nil {
		d.dead(dl)
	}
}

// clip cuts a text to n bytes, not inside a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func header(h map[string][]string, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	for k, v := range h {
		if len(v) > 0 && strings.EqualFold(k, name) {
			return v[0]
		}
	}
	return ""
}
