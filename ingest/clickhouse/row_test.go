package clickhouse

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzLine: whatever is in the columns, a row is one line of valid JSON, or the
// body itself, and nothing of it is lost.
func FuzzLine(f *testing.F) {
	f.Add("payment failed", "pay", "k", "v/w", int64(1795168682004000001))
	f.Add("a\nb\t\"c\" \\ \x00\x1b\xff\u2028", "s\x7f", "service.name", `\/`, int64(-1))
	f.Add(`{"level":"info","msg":"m","time":"2026-11-20T10:00:00Z"}`, "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, body, service, key, value string, at int64) {
		attrs, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			t.Skip(err)
		}
		e := newEncoder(&layout{flat: []string{"attrs"}, named: []named{{"scope.name", "scope"}}})
		r := row{time: at, body: body, service: service, number: 9, json: []string{strings.ReplaceAll(string(attrs), "/", `\/`), `"shop"`}}
		line := string(e.appendLine(nil, &r))
		if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
			t.Fatalf("not one line: %q", line)
		}
		if line == body+"\n" {
			t.Fatalf("the attributes are lost: %q", line)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := string([]rune(body)); body != "" && got["formattedMessage"] != want {
			t.Errorf("body %q, want %q", got["formattedMessage"], want)
		}
		switch key {
		case "service.name", "formattedMessage", "@timestamp", "severity_number", "scope.name", "source_type":
		default:
			if k := string([]rune(key)); got[k] != string([]rune(value)) {
				t.Errorf("attribute %q is %q, want %q", k, got[k], value)
			}
		}
	})
}

func TestAppendJSON(t *testing.T) {
	for in, want := range map[string]string{
		`"a\/b"`: `"a/b"`, `"a\\/b"`: `"a\\/b"`, `"\\\/"`: `"\\/"`, `"\n\""`: `"\n\""`, `\`: `\`, ``: ``,
	} {
		if got := string(appendJSON(nil, in)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestSplitKey(t *testing.T) {
	got := splitKey("toStartOfInterval(Timestamp, toIntervalMinute(5)), ServiceName, cityHash64(a, b)")
	if strings.Join(got, "|") != "toStartOfInterval(Timestamp, toIntervalMinute(5))|ServiceName|cityHash64(a, b)" {
		t.Errorf("got %q", got)
	}
	for part, column := range map[string]string{
		"toStartOfInterval(Timestamp, toIntervalMinute(5))": "Timestamp", "toDate(ts)": "ts", "toStartOfHour(ts, 'UTC')": "ts",
		"ServiceName": "", "toHour(ts)": "", "toDate(f(ts))": "", "negate(toDate(ts))": "",
	} {
		m := monotonic.FindStringSubmatch(part)
		if (m == nil) != (column == "") || m != nil && m[2] != column {
			t.Errorf("%s: %q, want %q", part, m, column)
		}
	}
}
