package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"corral/sinks"
)

// evil is what a sender puts into texts to take over the terminal of whoever reads
// them: escapes, a bell, a turned direction, bytes that are not UTF-8, a NUL.
const evil = "\x1b[2J\x1b]0;owned\x07\u202e\u009b31m"

// hostile lines come between events that count. Whatever they are, the events
// before and behind them are seen.
func hostile() map[string]string {
	deep := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	event := func(at, service, msg string) string {
		return fmt.Sprintf(`{"time":%q,"level":"error","service":%q,"msg":%q}`, at, service, msg)
	}
	const at = "2026-03-01T12:00:01Z"
	return map[string]string{
		"a line of 100 MB":       `{"time":"` + at + `","level":"error","service":"long","msg":"` + strings.Repeat("x", 100<<20) + `"}`,
		"deep JSON":              `{"time":"` + at + `","level":"error","service":"deep","x":` + deep + `}`,
		"many keys":              `{"time":"` + at + `","level":"error","service":"keys"` + manyKeys(50_000) + `}`,
		"invalid UTF-8":          "{\"time\":\"" + at + "\",\"level\":\"error\",\"service\":\"u\xff\xfe\",\"msg\":\"\xc3\x28\"}",
		"NUL":                    "{\"time\":\"" + at + "\",\"level\":\"error\",\"service\":\"nul\\u0000\",\"msg\":\"a\x00b\"}",
		"bytes":                  "\x00\x01\x02\x03\xff\xfe\xfd\x80\x81",
		"ANSI escapes":           event(at, "ansi", "x") + "\n" + `{"time":"` + at + `","level":"error","service":"e\u001b[31m","msg":"\u001b[2J\u001b]0;owned\u0007\u202e"}`,
		"raw ANSI escapes":       "2026-03-01T12:00:01Z ERROR service=raw " + evil,
		"a group key of 1 MB":    event(at, strings.Repeat("k", 1<<20), "x"),
		"year 1":                 event("0001-01-01T00:00:00Z", "past", "x"),
		"year 9999":              event("9999-12-31T23:59:59Z", "future", "x"),
		"a time before there is": event("-292277022399-01-01T00:00:00Z", "never", "x"),
		"a number beyond all":    `{"time":1e400,"level":"error","service":"n","msg":"x","n":123456789012345678901234567890}`,
		"brackets":               strings.Repeat("[", 1_000_000),
		"quotes":                 strings.Repeat(`"\`, 1_000_000),
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	return b.String()
}

const hostileRules = `version: 1
rules:
  - id: burst
    title: "errors of {{ service }}: {{ message }}"
    severity: error
    match: level == "error"
    group_by: [service]
    threshold: {window: 1h, condition: count() >= 2}
`

// printable fails where text holds what a terminal would obey.
func printable(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s prints what is not UTF-8", what)
	}
	for i, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control)) {
			t.Errorf("%s prints %U: %q", what, r, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
}

// TestHostileInput: nothing that is in a record crashes, hides the events beside it,
// disappears uncounted, or reaches the terminal as it is.
func TestHostileInput(t *testing.T) {
	rules := write(t, "rules.yaml", hostileRules)
	good := func(sec int) string {
		return fmt.Sprintf(`{"time":"2026-03-01T12:00:%02dZ","level":"error","service":"good","msg":"seen"}`, sec)
	}
	for name, line := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twice := line + "\n"
			if len(line) < 8<<20 {
				twice += line + "\n"
			}
			file := write(t, "events.ndjson", good(0)+"\n"+twice+good(2)+"\n")
			dead := filepath.Join(t.TempDir(), "dead.ndjson")
			var text, talk, ndjson strings.Builder
			left := "" // of a line that is too long, which is an error that says so
			if len(line) > 8<<20 {
				left = "bytes of it were left out"
			}
			code := run(t.Context(), []string{"batch", "--rules", rules, "--dead-letters", dead, file}, nil, &text, &talk)
			if (code != exitOK) != (left != "") || !strings.Contains(talk.String(), left) {
				t.Fatalf("batch: exit %d: %s", code, talk.String())
			}
			printable(t, "batch", text.String()+talk.String())
			if again := run(t.Context(), []string{"batch", "--rules", rules, "-o", "ndjson", file}, nil, &ndjson, io.Discard); again != code {
				t.Fatalf("batch: exit %d", again)
			}
			ts, err := sinks.ReadNDJSON(strings.NewReader(ndjson.String()))
			if err != nil {
				t.Fatal(err)
			}
			seen := false
			for _, tr := range ts {
				seen = seen || tr.Key["service"] == "good" && tr.EventCount == 2
				if len(tr.Title) > 4<<10 || len(tr.Key["service"]) > 4<<10 {
					t.Errorf("a title of %d bytes, a key of %d", len(tr.Title), len(tr.Key["service"]))
				}
				for _, e := range tr.Evidence {
					if len(e.Line) > 2<<10 || strings.ContainsAny(e.Line, "\x1b\x00\x07") {
						t.Errorf("evidence of %d bytes: %q", len(e.Line), e.Line[:min(len(e.Line), 100)])
					}
				}
			}
			if !seen {
				t.Errorf("the events beside it were not seen: %.300s", ndjson.String())
			}
			if len(line) > 1<<20 {
				return // the rest shows lines in full length
			}
			one := write(t, "one.ndjson", line+"\n")
			for _, args := range [][]string{{"parse", one}, {"explain", "--rules", rules, "--rule", "burst", "--event", one}} {
				var out strings.Builder
				if code := run(t.Context(), args, nil, &out, &out); code != exitOK && code != exitFindings && code != exitInfra {
					t.Errorf("%s: exit %d: %.300s", args[0], code, out.String())
				}
				printable(t, args[0], out.String())
			}
		})
	}
}

// TestHostileRules: what is in a rule file does not reach the terminal as it is
// either.
func TestHostileRules(t *testing.T) {
	for name, text := range map[string]string{
		"in an id":       "version: 1\nrules:\n  - id: \"a\\e[2J\"\n    match: level == 1\n    event: {}\n",
		"in a match":     "version: 1\nrules:\n  - id: a\n    match: \"levle == '\\e[2J'\"\n    event: {}\n",
		"raw in a match": "version: 1\nrules:\n  - id: a\n    match: levle == '" + evil + "'\n    event: {}\n",
		"as a key":       "version: 1\nrules:\n  - id: a\n    \"\\e]0;owned\\a\": 1\n    match: level == 'a'\n    event: {}\n",
		"bytes":          "version: 1\nrules:\n  - id: a\n    match: level == '\xff\xfe'\n    event: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "rules.yaml", text)
			for _, format := range []string{"text", "unix", "github"} {
				var out strings.Builder
				if code := run(t.Context(), []string{"check", "--format", format, file}, nil, &out, &out); code == exitOK {
					t.Errorf("no mistake was found:\n%s", out.String())
				}
				printable(t, "check --format "+format, out.String())
			}
		})
	}
}
