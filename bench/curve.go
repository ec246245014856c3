package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"corral/event"
	"corral/ingest"
	"corral/ingest/decode"
	"corral/rules"
)

const curveLines = 40_000

// limits are what this machine can do with lines at all.
func limits(data []byte) []contender {
	n := bytes.Count(data, []byte{'\n'})
	var parser fastjson.Parser
	return []contender{
		{"newlines found, nothing else", func() int {
			count := 0
			for range 4 {
				for rest := data; len(rest) > 0; count++ {
					rest = rest[bytes.IndexByte(rest, '\n')+1:]
				}
			}
			return count
		}},
		{"scan only: JSON checked, nothing taken", func() int {
			for rest := data; len(rest) > 0; {
				end := bytes.IndexByte(rest, '\n')
				if decode.ValueLen(rest[:end]) != end {
					panic("no JSON")
				}
				rest = rest[end+1:]
			}
			return n
		}},
		{"fastjson, 8 fields taken", func() int {
			size := 0
			for rest := data; len(rest) > 0; {
				end := bytes.IndexByte(rest, '\n')
				v, err := parser.ParseBytes(rest[:end])
				if err != nil {
					panic(err)
				}
				for _, name := range []string{"time", "level", "service", "instance", "msg", "user"} {
					size += len(v.GetStringBytes(name))
				}
				size += v.GetInt("http", "status") + len(v.GetStringBytes("http", "path"))
				rest = rest[end+1:]
			}
			return n
		}},
	}
}

// decodeOnly is corral's own reading of lines, with times, levels and names, for
// rules that read some attributes.
func decodeOnly(name string, data []byte, attrs ...string) contender {
	d := decode.New(decode.Options{AttrPaths: attrs})
	records := pieces(data, turn)
	return contender{name, func() int {
		n := 0
		for _, r := range records {
			d.Decode(ingest.Record{Data: r, Lines: true, Seq: 1}, func(*event.Event) { n++ }, nil)
		}
		return n
	}}
}

// curveSection is the price of rules: lines to incidents on one core.
func curveSection(context.Context, *lab) (*result, error) {
	data := lines(1, curveLines)
	r := &result{}
	allocs, err := noMatchAllocs(data)
	if err != nil {
		return nil, err
	}
	r.verdict("allocations per event, no match", "0", fmt.Sprintf("%.4g", allocs), allocs == 0)
	for _, w := range []struct {
		name string
		make func(int) []rule
	}{{"uniform rules (W2)", uniform}, {"mixed rules (W3)", mixed}} {
		if err := r.curve(w.name, w.make, data); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *result) curve(name string, make func(int) []rule, data []byte) error {
	records := pieces(data, turn)
	cs := append(limits(data), decodeOnly("decode, no rules", data, "user"))
	base := len(cs)
	sizes := []int{10, 100, 1_000, 10_000}
	var paths []*path
	for _, n := range sizes {
		set, err := compile(ruleFile(make(n), 12))
		if err != nil {
			return err
		}
		p := newPath(set)
		paths = append(paths, p)
		cs = append(cs, play(fmt.Sprintf("%d rules", n), p, records))
	}
	fs := rounds(7, cs...)
	t := table{Title: "Lines to incidents on one core, " + name, Head: []string{"what", "per event", "GB/s", "events/s", "matches/event", "of 10 rules"}}
	bytesPer := float64(len(data)) / curveLines
	for i, c := range cs {
		cells := []string{c.name, spread(fs[i], " ns", 0), fmt.Sprintf("%.2f", bytesPer/fs[i].Median), rate(1e9 / fs[i].Median), "", ""}
		if i >= base {
			p := paths[i-base]
			cells[4] = fmt.Sprintf("%.4f", float64(p.matched)/float64(p.events))
			cells[5] = times(ratioOf(fs[i], fs[base]))
		}
		t.add(cells...)
	}
	peers, err := r.peers(make, data)
	if err != nil {
		return err
	}
	t.Rows = append(t.Rows, peers...)
	t.note("%.0f bytes a line. Peers are given decoded fields, so their parsing costs nothing; which rules met which event was compared.", bytesPer)
	r.Tables = append(r.Tables, t)
	r.verdict("1,000 rules : 10 rules, one core, "+name, "≤ 2 ×", fmt.Sprintf("%s: %.0f → %.0f ns", times(ratioOf(fs[base+2], fs[base])), fs[base].Median, fs[base+2].Median), ratioOf(fs[base+2], fs[base]) <= 2)
	return nil
}

// noMatchAllocs is how many objects an event costs that meets no rule.
func noMatchAllocs(data []byte) (float64, error) {
	rs := mixed(1000)
	for i := range rs {
		rs[i].terms = append(rs[i].terms, term{field: "env", op: "==", value: "nowhere"})
	}
	set, err := compile(ruleFile(rs, 1))
	if err != nil {
		return 0, err
	}
	p := newPath(set)
	again := play("", p, pieces(data, turn)).run
	again()
	least := mallocs(func() { again() })
	for range 4 { // the runtime allocates now and then
		least = min(least, mallocs(func() { again() }))
	}
	if p.matched > 0 {
		return 0, fmt.Errorf("%d matches where there should be none", p.matched)
	}
	return float64(least) / curveLines, nil
}

// decodeSection is W1: what it costs to read lines of several shapes.
func decodeSection(context.Context, *lab) (*result, error) {
	r := &result{}
	t := table{Title: "Reading lines (W1)", Head: []string{"lines", "bytes", "scan only", "decode", "GB/s", "fastjson, 8 fields"}}
	for _, s := range shapes() {
		cs := limits(s.data)[1:]
		fs := rounds(5, cs[0], decodeOnly("", s.data, s.attrs...), cs[1])
		per := float64(len(s.data)) / float64(bytes.Count(s.data, []byte{'\n'}))
		t.add(s.name, fmt.Sprintf("%.0f", per), nanos(fs[0]), nanos(fs[1]), fmt.Sprintf("%.2f", per/fs[1].Median), nanos(fs[2]))
	}
	t.note("Decode checks the whole line as encoding/json does, reads time and level, and fills the named fields.")
	r.Tables = append(r.Tables, t)
	return r, nil
}

type shape struct {
	name  string
	data  []byte
	attrs []string
}

// shapes are lines that are hard in different ways.
func shapes() []shape {
	base := lines(1, 10_000)
	replaced := func(old, new string) []byte { return bytes.ReplaceAll(base, []byte(old), []byte(new)) }
	var wide, long bytes.Buffer
	for i := range 60 {
		fmt.Fprintf(&wide, `"field_%02d":"value of field %d",`, i, i)
	}
	for i := range 20 {
		fmt.Fprintf(&long, `"detail_%02d":%q,`, i, strings.Repeat("lorem ipsum ", 7))
	}
	return []shape{
		{"as a service writes them", base, []string{"user"}},
		{"no attribute wanted", base, nil},
		{"six attributes wanted", base, []string{"user", "attempt", "region", "bytes", "trace", "http.method"}},
		{"two of sixty fields wanted", replaced(`"attempt"`, wide.String()+`"attempt"`), []string{"user", "field_30"}},
		{"messages with escapes", replaced("took longer", `took \"longer\"\n\tthan \u00e9ver`), []string{"user"}},
		{"nested three deep", replaced(`"attempt"`, `"k8s":{"pod":{"name":"p-1","labels":{"app":"shop","tier":"web"}},"node":"n-7"},"attempt"`), []string{"k8s.pod.labels.app"}},
		{"keys in another order each line", shuffled(base), []string{"user"}},
		{"2.4 KB", replaced(`"attempt"`, long.String()+`"attempt"`), []string{"user"}},
		{"spaces after colons and commas", bytes.ReplaceAll(replaced(`":`, `": `), []byte(`,"`), []byte(`, "`)), []string{"user"}},
	}
}

// shuffled turns the keys of each line round by another number of places.
func shuffled(data []byte) []byte {
	var out []byte
	n := 0
	for line := range bytes.Lines(data) {
		body := string(line[1 : len(line)-2])
		at := strings.Index(body, `,"http":`)
		end := at + strings.Index(body[at:], "}") + 1
		parts := strings.Split(body[:at]+body[end:], `,"`)
		for i := range parts {
			if i > 0 {
				parts[i] = `"` + parts[i]
			}
		}
		parts = append(parts, body[at+1:end])
		n++
		k := n % len(parts)
		out = append(out, "{"+strings.Join(parts[k:], ",")+","+strings.Join(parts[:k], ",")+"}\n"...)
	}
	return bytes.ReplaceAll(out, []byte(",}"), []byte("}"))
}

// adversarialSection is W4: a thousand rules made to be hard.
func adversarialSection(context.Context, *lab) (*result, error) {
	data := lines(1, 10_000)
	records := pieces(data, turn)
	r := &result{}
	t := table{Title: "A thousand rules made to be hard (W4)", Head: []string{"rules", "per event", "events/s", "matches/event"}}
	for _, c := range []struct {
		name string
		cond func(i int) string
	}{
		{"all name the same service", func(i int) string {
			return fmt.Sprintf(`service == "svc-7" && message contains "word%02d" && http.duration_ms > %d`, i%words, i)
		}},
		{"level first, then a rare word", func(i int) string { return fmt.Sprintf(`level == "info" && message contains "rare%d"`, i) }},
		{"negation only, 1 %", func(i int) string {
			if i%100 == 0 {
				return fmt.Sprintf(`message not contains "retrying" && service != "svc-%d"`, i)
			}
			return fmt.Sprintf(`service == "svc-%d" && level == "error" && http.path == "/x%d"`, i%services, i)
		}},
		{"negation only, 10 %", func(i int) string {
			if i%10 == 0 {
				return fmt.Sprintf(`message not contains "retrying" && service != "svc-%d"`, i)
			}
			return fmt.Sprintf(`service == "svc-%d" && level == "error" && http.path == "/x%d"`, i%services, i)
		}},
		{"negation only, all", func(i int) string {
			return fmt.Sprintf(`not (message contains "retrying") && not (service == "svc-%d")`, i)
		}},
		{"numeric ranges only", func(i int) string {
			return fmt.Sprintf(`http.duration_ms > %d && http.status > %d`, 700+i%200, 590+i%9)
		}},
		{"patterns only", func(i int) string {
			return fmt.Sprintf(`message matches "user [0-9]+ after word%02d .* never%d"`, i%words, i)
		}},
		{"needles that begin each other", func(i int) string {
			return fmt.Sprintf(`message contains %q`, "request handled for user "+strings.Repeat("0", i%64)+fmt.Sprint(i)+"x")
		}},
		{"every tenth event meets ten", func(i int) string { return fmt.Sprintf(`level == "error" && http.status >= %d`, 200+i/10*10%400) }},
	} {
		var b bytes.Buffer
		b.WriteString("version: 1\nrules:\n")
		for i := range 1000 {
			fmt.Fprintf(&b, "  - id: r%d\n    match: '%s'\n    group_by: [http.method]\n    threshold: {window: 1h, condition: count() >= 1000000}\n", i, c.cond(i))
		}
		set, err := compile(b.Bytes())
		if err != nil {
			return nil, err
		}
		p := newPath(set)
		f := rounds(3, play(c.name, p, records))[0]
		t.add(c.name, nanos(f), rate(1e9/f.Median), fmt.Sprintf("%.3f", float64(p.matched)/float64(p.events)))
	}
	r.Tables = append(r.Tables, t)
	return r, nil
}

// startSection is W13: loading rules, and the whole program with a thousand.
func startSection(ctx context.Context, l *lab) (*result, error) {
	r := &result{}
	t := table{Title: "Loading rules (W13)", Head: []string{"mixed rules", "time, all cores", "a rule", "memory a rule"}}
	for _, n := range []int{1_000, 10_000} {
		text := ruleFile(mixed(n), 12)
		var took []float64
		var set *rules.Set
		var perRule float64
		for range 3 {
			set = nil
			before := liveHeap()
			begin := time.Now()
			var err error
			if set, err = compile(text); err != nil {
				return nil, err
			}
			took = append(took, float64(time.Since(begin).Microseconds())/1e3)
			perRule = float64(liveHeap()-before) / float64(n)
		}
		runtime.KeepAlive(set)
		f := figureOf(took)
		t.add(fmt.Sprint(n), spread(f, " ms", 0), fmt.Sprintf("%.0f µs", 1e3*f.Median/float64(n)), fmt.Sprintf("%.1f KB", perRule/1e3))
	}
	r.Tables = append(r.Tables, t)
	return r, start(ctx, l, r)
}
