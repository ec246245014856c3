package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// The workloads. Everything is drawn from a seed, so two runs on two machines
// measure the same bytes.

const (
	services = 200
	words    = 50
	paths    = 1000
	users    = 5000
)

var (
	epoch  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	levels = []string{"DEBUG", "DEBUG", "INFO", "INFO", "INFO", "INFO", "INFO", "WARN", "WARN", "ERROR"}
	codes  = []int{200, 200, 200, 200, 200, 201, 204, 404, 429, 500}
)

// writer makes log lines as a service writes them: about 400 bytes each, a
// millisecond apart.
type writer struct {
	r   *rand.Rand
	at  time.Time
	buf []byte
}

func newWriter(seed uint64) *writer {
	return &writer{r: rand.New(rand.NewPCG(seed, 0)), at: epoch}
}

// line returns the next line, valid until the one after.
func (w *writer) line() []byte {
	w.at = w.at.Add(time.Millisecond)
	r := w.r
	b := append(w.buf[:0], `{"time":"`...)
	b = w.at.AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	b = fmt.Appendf(b, `","level":"%s","service":"svc-%d","instance":"pod-%d","msg":"request handled for user %d after word%02d took longer than usual, retrying upstream"`,
		levels[r.IntN(len(levels))], r.IntN(services), r.IntN(50), r.IntN(10000), r.IntN(words))
	b = fmt.Appendf(b, `,"trace_id":"%016x%016x","span_id":"%016x"`, r.Uint64(), r.Uint64(), r.Uint64())
	b = fmt.Appendf(b, `,"http":{"method":"%s","path":"/api/v1/items/%d","status":%d,"duration_ms":%d.%03d}`,
		[]string{"GET", "GET", "POST"}[r.IntN(3)], r.IntN(paths), codes[r.IntN(len(codes))], r.IntN(900), r.IntN(1000))
	b = fmt.Appendf(b, `,"attempt":%d,"region":"eu-west-%d","user":"u%d","bytes":%d}`, r.IntN(3), r.IntN(3), r.IntN(users), r.IntN(9000))
	w.buf = append(b, '\n')
	return w.buf
}

// writeLines writes a file of n lines.
func writeLines(path string, seed uint64, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 1<<20)
	for w := newWriter(seed); n > 0; n-- {
		_, _ = b.Write(w.line()) // Flush tells
	}
	return errors.Join(b.Flush(), f.Close())
}

// lines returns n lines.
func lines(seed uint64, n int) []byte {
	w := newWriter(seed)
	var out []byte
	for range n {
		out = append(out, w.line()...)
	}
	return out
}

// term is one condition of a rule, from which each engine's notation is written.
type term struct {
	field, op string
	value     any // string, int, float64, []string
	not       bool
}

// rule is what all engines are given.
type rule struct {
	id    string
	terms []term
}

// uniform are n rules of one form, selective and cheap: workload W2.
func uniform(n int) []rule {
	out := make([]rule, n)
	for i := range out {
		out[i] = named(i, term{field: "service", op: "==", value: fmt.Sprintf("svc-%d", i%services)},
			term{field: "level", op: "==", value: []string{"error", "warn"}[i%2]},
			term{field: "message", op: "contains", value: fmt.Sprintf("word%02d", (i/services*7+i)%words)})
	}
	return out
}

// mixed are n rules in the proportions met in practice: workload W3.
func mixed(n int) []rule {
	out := uniform(n)
	for i := range out {
		level := term{field: "level", op: "==", value: []string{"error", "warn", "info", "fatal"}[i%4]}
		switch k := i * 37 % 100; { // of ten rules, too, some are of each common form
		case k < 62:
		case k < 77:
			out[i] = named(i, term{field: "http.path", op: "==", value: fmt.Sprintf("/api/v1/items/%d", i%paths)}, term{field: "http.status", op: ">=", value: 500})
		case k < 89:
			out[i] = named(i, term{field: "message", op: "contains", value: fmt.Sprintf("rare needle %d", i)}, level)
		case k < 94:
			out[i] = named(i, term{field: "attrs.user", op: "in", value: []string{"u" + strconv.Itoa(i%users), "u" + strconv.Itoa((i+1)%users), "u" + strconv.Itoa((i+2)%users)}},
				term{field: "http.status", op: ">=", value: 400})
		case k < 99:
			out[i] = named(i, term{field: "http.duration_ms", op: ">", value: 880 + float64(i%40)}, term{field: "http.status", op: "==", value: 500 + i%5})
		default:
			out[i] = named(i, term{field: "message", op: "contains", value: "retrying", not: true}, term{field: "service", op: "==", value: fmt.Sprintf("svc-%d", i%services), not: true})
		}
	}
	return out
}

func named(i int, terms ...term) rule { return rule{fmt.Sprintf("r%d", i), terms} }

// text writes a rule's condition in the notation that n says.
func (r rule) text(n notation) string {
	var parts []string
	for _, t := range r.terms {
		s := n.term(t)
		if t.not {
			s = "!(" + s + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " && ")
}

// notation is how an engine writes a term.
type notation struct {
	name func(field string) string
	cel  bool
}

var (
	ours = notation{name: func(f string) string { return f }}
	flat = notation{name: flatName}
	cels = notation{name: flatName, cel: true}
)

// flatName is a field's name in the flat map that the peers are given: the form
// in which they are fastest.
func flatName(f string) string { return strings.ReplaceAll(f, ".", "_") }

func (n notation) term(t term) string {
	v := literal(t.value, n.cel)
	if n.cel && t.op == "contains" {
		return n.name(t.field) + ".contains(" + v + ")"
	}
	return n.name(t.field) + " " + t.op + " " + v
}

func literal(v any, point bool) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if point && !strings.Contains(s, ".") {
			s += ".0" // or it is an integer to CEL
		}
		return s
	}
	return fmt.Sprint(v)
}

// ruleFile writes corral's rules: so many matches of a key within an hour of event
// time.
func ruleFile(rs []rule, count int) []byte {
	var b bytes.Buffer
	b.WriteString("version: 1\nrules:\n")
	for _, r := range rs {
		fmt.Fprintf(&b, "  - id: %s\n    title: \"{{ count() }} of {{ http.method }}\"\n    match: '%s'\n    group_by: [http.method]\n    threshold: {window: 1h, condition: count() >= %d}\n",
			r.id, r.text(ours), count)
	}
	return b.Bytes()
}

// secFile writes the same rules for SEC, on the lines as they stand: the order of
// their keys is known, which is to SEC's advantage.
func secFile(rs []rule, count int) []byte {
	var b bytes.Buffer
	for _, r := range rs {
		var service, level, word string
		for _, t := range r.terms {
			switch t.field {
			case "service":
				service = t.value.(string)
			case "level":
				level = strings.ToUpper(t.value.(string))
			case "message":
				word = t.value.(string)
			}
		}
		fmt.Fprintf(&b, "type=SingleWithThreshold\nptype=RegExp\npattern=\"level\":\"%s\",\"service\":\"%s\",[^}]*%s[^}]*\"method\":\"([A-Z]+)\"\ndesc=%s $1\naction=write - fired %s $1\nwindow=3600\nthresh=%d\n\n",
			level, service, word, r.id, r.id, count)
	}
	return b.Bytes()
}
