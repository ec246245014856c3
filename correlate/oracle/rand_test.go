package oracle_test

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"corral/event"
)

// scale is what one tick of a random case is: rule durations are whole ticks and
// events come on them, a nanosecond beside them, or between.
type scale struct {
	tick time.Duration
	base time.Time
}

// The bases lie before an hour and before midnight, so that schedules and
// tumbling windows have their edges inside a stream. Long ticks keep an incident
// from flapping (four opens in an hour); short ones make it.
var scales = []scale{
	{time.Second, time.Date(2026, 3, 2, 7, 59, 50, 0, time.UTC)},
	{7 * time.Minute, time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)},
	{25 * time.Minute, time.Date(2026, 3, 27, 21, 0, 0, 0, time.UTC)},
}

// maker draws a case.
type maker struct {
	*rapid.T
	scale
	collapses bool // few incidents of the rule may be open at a time
	most      int  // what counts are compared with at most, 0: no window bounds it
}

func (m maker) int(lo, hi int) int { return rapid.IntRange(lo, hi).Draw(m.T, "n") }

// oneIn is true once in n times.
func (m maker) oneIn(n int) bool { return m.int(1, n) == n }

func (m maker) of(options ...string) string {
	return options[m.int(0, len(options)-1)]
}

// ticks is a duration of lo to hi ticks, as YAML.
func (m maker) ticks(lo, hi int) string { return (time.Duration(m.int(lo, hi)) * m.tick).String() }

// ruleText is the YAML of one rule as it grows.
type ruleText struct {
	strings.Builder
	depth int
}

func (r *ruleText) line(format string, args ...any) {
	fmt.Fprintf(r, "%s%s\n", strings.Repeat("  ", r.depth), fmt.Sprintf(format, args...))
}

// rulesText draws a rule file: one rule of any kind, and sometimes one that
// inhibits it and one that reads its incidents.
func (m maker) rulesText() string {
	var r ruleText
	r.line("version: 1")
	r.line("rules:")
	if m.oneIn(6) {
		m.rule(&r, "other", m.of("event", "threshold", "absence"), false)
	}
	m.rule(&r, "main", m.of(kinds...), false)
	if m.oneIn(6) {
		m.rule(&r, "upper", m.of(kinds...), true)
	}
	return r.String()
}

var kinds = []string{"event", "threshold", "threshold", "absence", "change", "temporal", "sequence", "sequence"}

// rule draws one rule. upper ones read the incidents of main.
func (m maker) rule(r *ruleText, id, kind string, upper bool) {
	r.depth = 1
	r.line("- id: %s", id)
	r.depth = 2
	defer func() { r.depth = 0 }()
	if upper {
		r.line("from: incidents")
		r.line(`match: incident.rule == "main"`)
		r.line("group_by: %s", m.of("[]", "[incident.key.service]"))
	} else {
		if kind != "temporal" && kind != "sequence" || m.oneIn(5) {
			r.line("match: %s", m.of("attrs.v != 9", `message != "z"`, `message in ["x", "y"]`))
		}
		r.line("group_by: %s", m.groupBy(kind))
	}
	atClose := false
	switch kind {
	case "event":
		r.line("event: {}")
	case "threshold":
		atClose = m.threshold(r, upper)
	case "absence":
		m.absence(r, upper)
	case "change":
		m.change(r, upper)
	case "temporal":
		atClose = m.temporal(r, upper)
	case "sequence":
		m.sequence(r, upper)
	}
	m.envelope(r, id, kind, atClose, upper)
}

func (m maker) envelope(r *ruleText, id, kind string, atClose, upper bool) {
	windowed := kind == "threshold" || kind == "temporal"
	if m.oneIn(3) && (windowed && !atClose || kind == "absence") {
		r.line("for: %s", m.ticks(1, 4))
	}
	if m.oneIn(2) {
		r.line("keep_firing_for: %s", m.ticks(0, 4))
	}
	if m.oneIn(2) && !m.collapses {
		refire := m.of("edge", "level", "reset")
		if kind == "absence" && refire == "reset" {
			refire = "edge" // an absence is not over because it was told
		}
		r.line("refire: %s", refire)
	}
	if m.oneIn(3) {
		r.line("suppress: %s", m.ticks(1, 6))
	}
	if m.oneIn(2) && !m.collapses {
		when := ""
		if !upper && m.oneIn(2) {
			when = `when: message == "ok", `
		}
		r.line("resolve: {%smax: %s}", when, m.ticks(4, 30))
	}
	limits := []string{}
	if m.collapses && id == "main" {
		limits = append(limits, fmt.Sprintf("open: %d", m.int(1, 2)))
	}
	if kind == "sequence" { // how it thins them out is its own affair
		limits = append(limits, "partials: 100000")
	}
	if len(limits) > 0 {
		r.line("limits: {%s}", strings.Join(limits, ", "))
	}
	switch {
	case windowed && m.oneIn(2):
		r.line("severity: [{when: '%s', is: critical}, {when: '%s', is: error}, {is: info}]", m.measure(kind, upper), m.measure(kind, upper))
	case m.oneIn(3) && !upper && kind != "absence":
		r.line("severity: [{when: 'attrs.v >= 3', is: critical}, {is: warning}]")
	case m.oneIn(3):
		r.line("severity: %s", m.of("info", "warning", "error", "critical"))
	}
	if m.oneIn(3) {
		r.line("update_every: %s", m.ticks(1, 4))
	}
	if m.oneIn(10) {
		r.line("notify: {resolved: false}")
	}
	if m.oneIn(8) {
		r.line("signal: true")
	}
	if m.oneIn(8) && !upper {
		r.line("active: {schedule: '%s', timezone: %s}", m.of("Mon-Fri 08:00-18:00", "Mon-Sun 02:30-08:00", "Sat,Sun 00:00-24:00"), m.of("UTC", "Europe/Berlin"))
	}
	if m.oneIn(3) && id != "other" && strings.Contains(r.String(), "- id: other") {
		same := "[]"
		if !upper && strings.Count(r.String(), "group_by: [service") == 2 { // both have it
			same = m.of("[]", "[service]")
		}
		r.line("inhibited_by: [{rule: other, same: %s}]", same)
	}
}

// measure is a condition on the aggregates of a threshold or temporal rule.
func (m maker) measure(kind string, upper bool) string {
	if kind == "temporal" {
		return fmt.Sprintf("%s >= %d", m.of("ex", "why"), m.int(1, 4))
	}
	return m.aggregate(upper, false)
}

func (m maker) threshold(r *ruleText, upper bool) (atClose bool) {
	shape := m.of("sliding", "sliding", "tumbling", "session", "last", "bounded")
	if upper && shape == "bounded" {
		shape = "sliding"
	}
	r.line("threshold:")
	r.depth++
	defer func() { r.depth-- }()
	switch shape {
	case "sliding":
		r.line("window: %s", m.ticks(1, 6))
	case "tumbling":
		zone := m.of("", "", ", timezone: Europe/Berlin")
		r.line("window: {tumbling: %s%s}", m.ticks(1, 6), zone)
	case "session":
		gap := m.int(1, 3)
		r.line("window: {session: %s, max: %s}", time.Duration(gap)*m.tick, m.ticks(gap, 9))
	case "last":
		last := m.int(2, 5)
		m.most = last - 1 // more than so many events are not in it
		r.line("window: {last: %d}", last)
	case "bounded":
		r.line(`window: {start: '%s', end: '%s', max: %s}`, m.of(`message == "x"`, `message == "z"`), m.of(`message == "y"`, "attrs.v == 9", `message == "ok"`), m.ticks(1, 9))
	}
	history := shape == "sliding" || shape == "tumbling"
	if shape != "sliding" && shape != "last" && m.oneIn(3) {
		low := m.of("count() < %d", "count() <= %d", `count(message == "x") < %d`, "sum(attrs.v) < %d", "distinct(attrs.v) <= %d")
		if upper {
			low = "count() < %d"
		}
		r.line("condition: %s", fmt.Sprintf(low, m.int(1, 5)))
		return true
	}
	cond := m.aggregate(upper, history)
	if m.oneIn(3) {
		cond = fmt.Sprintf("%s %s %s", cond, m.of("&&", "||"), m.aggregate(upper, false))
	}
	r.line("condition: %s", cond)
	if m.oneIn(3) {
		low := m.of("count() < %d", "count() <= %d", "avg(attrs.v) < %d", "max(attrs.v) < %d", "sum(attrs.v) < %d")
		if upper {
			low = "count() < %d"
		}
		r.line("clear: %s", fmt.Sprintf(low, m.int(1, 4)))
	}
	return false
}

// aggregate is a condition that more events can only... make true: none that
// absence could.
func (m maker) aggregate(upper, history bool) string {
	n := m.int(1, cmp.Or(m.most, 4))
	if upper {
		return fmt.Sprintf(m.of("count() >= %d", `count(incident.state == "open") >= %d`), n)
	}
	options := []string{
		"count() >= %d", "count() >= %d", "count() >= %d", "count() > %d",
		`count(message == "x") >= %d`, "sum(attrs.v) >= %d", "distinct(attrs.v) >= %d", "distinct(message) >= %d",
		"avg(attrs.v) > %d.1", "min(attrs.v) >= %d", "max(attrs.v) >= %d", "stddev(attrs.v) > %d.37",
		"quantile(0.5, attrs.v) >= %d", "quantile(0.9, attrs.v) > %d.03", "first(attrs.v) == %d", "last(attrs.v) >= %d",
		`count(message == "x") / count() > 0.%d7`, "rate() > 0.%d1", `last(message) == "x" && count() >= %d`,
	}
	if history {
		options = append(options,
			"count() > %d * previous(count())", "count() > %d * previous(count())", "avg(attrs.v) > previous(avg(attrs.v)) + %d.2",
			fmt.Sprintf("count() >= baseline(count(), %s, 2) * %%d", m.ticks(6, 9)),
			fmt.Sprintf("avg(attrs.v) > baseline(avg(attrs.v), %s, 3) + 0.%%d3", m.ticks(6, 7)))
	}
	return fmt.Sprintf(m.of(options...), n)
}

func (m maker) absence(r *ruleText, upper bool) {
	every := m.int(1, 6)
	field := []string{fmt.Sprintf("every: %s", time.Duration(every)*m.tick)}
	scheduled := !upper && m.oneIn(4)
	if scheduled {
		cron := m.of("0 * * * *", "*/20 7-9 * * *", "30 2 * * *")
		if m.tick == time.Second {
			cron = "* * * * *"
		}
		field[0] = fmt.Sprintf("every: {schedule: '%s', timezone: %s", cron, m.of("UTC", "Europe/Berlin"))
		if m.oneIn(2) {
			field[0] += ", grace: " + m.ticks(1, 5)
		}
		field[0] += "}"
	}
	if m.oneIn(2) {
		field = append(field, fmt.Sprintf("min: %d", m.int(1, 3)))
	}
	// Both must outlast the silence that is looked for: a few ticks, or the longest
	// time of a schedule, for which they keep their defaults.
	if !scheduled && m.oneIn(3) {
		field = append(field, fmt.Sprintf("remember: %s", m.ticks(every+4, every+9)))
	}
	if !scheduled && m.oneIn(3) {
		field = append(field, fmt.Sprintf("forget_after: %s", m.ticks(every+4, every+12)))
	}
	if keys := expected[r.keys()]; keys != "" && m.oneIn(3) {
		field = append(field, "expect: "+keys)
	}
	r.line("absence: {%s}", strings.Join(field, ", "))
}

// groupBy is the key of a rule that reads events, sometimes called differently by
// the parts of a temporal rule.
func (m maker) groupBy(kind string) string {
	if kind == "temporal" && m.oneIn(4) {
		return "{who: {ex: service, why: host}}"
	}
	return m.of("[service]", "[service]", "[service, host]", "[]", "{svc: service}")
}

// expected are keys that an absence rule may expect, by its group_by: one that
// comes and one that never does.
var expected = map[string]string{
	"group_by: [service]":       "[a, never]",
	"group_by: [service, host]": "[[a, h], [never, h]]",
}

// keys is the group_by line of the rule being written.
func (r *ruleText) keys() string {
	text := r.String()
	text = text[strings.LastIndex(text, "group_by:"):]
	return text[:strings.IndexByte(text, '\n')]
}

func (m maker) change(r *ruleText, upper bool) {
	of := m.of("attrs.v", "message", "attrs.u")
	if upper {
		of = "incident.state"
	}
	switch m.int(1, 3) {
	case 1:
		r.line("change: {of: %s, detect: changed}", of)
	case 2:
		r.line("change: {of: %s, detect: first_seen, memory: %s, learn: %s}", of, m.ticks(4, 12), m.ticks(0, 3))
	case 3:
		r.line("change: {of: %s, detect: flapping, changes: %d, within: %s}", of, m.int(2, 4), m.ticks(1, 8))
	}
}

func (m maker) temporal(r *ruleText, upper bool) (atClose bool) {
	r.line("temporal:")
	r.depth++
	defer func() { r.depth-- }()
	r.line("window: %s", m.ticks(1, 6))
	if upper {
		r.line(`events: {ex: 'incident.state == "open"', why: 'incident.state == "resolved"'}`)
	} else {
		r.line("events: {ex: 'message == \"x\"', why: '%s'}", m.of(`message == "y"`, "attrs.v >= 2"))
	}
	switch m.int(1, 4) {
	case 1:
		r.line("condition: ex >= %d && why > %d", m.int(1, 3), m.int(0, 2))
	case 2:
		r.line("condition: ex >= %d || why >= %d", m.int(1, 4), m.int(1, 3))
	case 3:
		r.line("condition: ex >= %d && why %s", m.int(1, 2), m.of("== 0", "< 2", "<= 1"))
		return true
	}
	return false
}

func (m maker) sequence(r *ruleText, upper bool) {
	r.line("sequence:")
	r.depth++
	defer func() { r.depth-- }()
	r.line("within: %s", m.ticks(5, 12))
	contiguity := m.of("relaxed", "relaxed", "strict", "any")
	if upper && contiguity == "strict" {
		contiguity = "relaxed"
	}
	r.line("contiguity: %s", contiguity)
	r.line("skip: %s", m.of("past_last", "past_last", "next", "none"))
	emit := m.oneIn(3)
	if m.oneIn(5) && !upper {
		r.line("until: attrs.v == 4")
	}
	n := m.int(1, 4)
	absentAt := -1
	if m.oneIn(2) && n > 1 {
		absentAt = m.int(0, n-1)
	}
	if emit {
		r.line("on_timeout: emit")
	}
	r.line("steps:")
	r.depth++
	var named []string // steps that later ones may read
	for i := range n {
		r.line("- {%s}", m.step(i, i == absentAt, n == 1 || i == firstPresent(absentAt) || i == lastPresent(n, absentAt), upper, named))
		if i != absentAt {
			named = append(named, fmt.Sprintf("s%d", i))
		}
	}
	r.depth--
}

func firstPresent(absent int) int {
	if absent == 0 {
		return 1
	}
	return 0
}

func lastPresent(n, absent int) int {
	if absent == n-1 {
		return n - 2
	}
	return n - 1
}

func (m maker) step(i int, absent, must, upper bool, named []string) string {
	match := m.of(`message == "x"`, `message == "y"`, `message == "z"`, "attrs.v >= 2")
	if upper {
		match = m.of(`incident.state == "open"`, `incident.state == "resolved"`)
	}
	field := []string{fmt.Sprintf("name: s%d, match: '%s'", i, match)}
	if absent {
		field = append(field, "absent: true")
		if i == 0 || m.oneIn(2) {
			field = append(field, "within: "+m.ticks(1, 5))
		}
		return strings.Join(field, ", ")
	}
	switch m.int(1, 6) {
	case 1:
		field = append(field, fmt.Sprintf("times: %d", m.int(2, 3)))
	case 2:
		low := m.int(1, 2)
		field = append(field, fmt.Sprintf("times: {min: %d, max: %d}", low, low+m.int(1, 2)))
	}
	if !must && m.oneIn(3) {
		field = append(field, "optional: true")
	}
	if m.oneIn(4) {
		field = append(field, "greedy: true")
	}
	if i > 0 && m.oneIn(3) {
		field = append(field, "within: "+m.ticks(1, 5))
	}
	if len(named) > 0 && !upper && m.oneIn(4) {
		if m.oneIn(4) {
			field = append(field, fmt.Sprintf("where: 'len(%s.all) >= %d'", m.of(named...), m.int(0, 2)))
		} else {
			field = append(field, fmt.Sprintf("where: 'attrs.v %s %s.attrs.v'", m.of("==", ">=", "!="), m.of(named...)))
		}
	}
	return strings.Join(field, ", ")
}

// events draws a stream of n events, in order.
func (m maker) events(n int) []*event.Event {
	out := make([]*event.Event, n)
	t := m.base
	for i := range out {
		t = t.Add(time.Duration(m.int(0, 12)/3) * m.tick) // mostly close together
		if m.oneIn(25) {
			t = t.Add(time.Duration(m.int(5, 30)) * m.tick)
		}
		at := t
		switch m.int(1, 10) {
		case 1:
			at = at.Add(1)
		case 2:
			at = at.Add(-1)
		case 3:
			at = at.Add(m.tick / 2)
		}
		out[i] = m.event(at, i)
	}
	return out
}

func (m maker) event(at time.Time, i int) *event.Event {
	e := &event.Event{
		Time: at.UnixNano(), Kind: "log", Level: "error",
		Service: m.of("a", "a", "a", "b", "c", ""),
		Host:    m.of("h", "h", "h", "i"),
		Message: m.of("x", "x", "y", "y", "z", "ok"),
		Pos:     event.Pos{Seq: uint64(i + 1)},
	}
	e.Raw = fmt.Sprintf("%s %d", e.Message, i)
	attrs := map[string]any{"u": m.of("p", "q")}
	switch v := m.int(0, 6); v {
	case 5: // no v
	case 6:
		attrs["v"] = "text"
	default:
		attrs["v"] = v
	}
	e.SetAttrs(attrs)
	return e
}
