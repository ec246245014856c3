package rules

import (
	"strings"
	"testing"
)

func TestHashesIgnoreLayoutOnly(t *testing.T) {
	base := "version: 1\nrules:\n  - {id: a, title: T, match: 'service == \"x\" && level in [\"error\", \"fatal\"]', group_by: [service], threshold: {window: 5m, condition: count() > 5}}\n"
	same := []string{
		"rules:\n  - threshold:\n      condition: 'count()>5' # more\n      window: 300s\n    group_by: [service]\n    match: >\n      \"x\" == service\n      and level in [\"fatal\", \"error\", \"fatal\"]\n    title: T\n    id: a\n",
		"version: 1\ndefaults: {title: T, group_by: &g [service], severity: warning}\nrules:\n  - {id: a, keep_firing_for: 5m, match: 'service == \"x\" && level in lists.l', group_by: *g, threshold: {window: 5m, condition: count() > 5}}\nlists: {l: [error, fatal]}\n",
	}
	b := mustParse(t, base).Rules[0]
	for _, text := range same {
		r := mustParse(t, text).Rules[0]
		if r.LogicHash != b.LogicHash || r.TextHash != b.TextHash || r.SelectHash != b.SelectHash {
			t.Errorf("hashes differ for\n%s", text)
		}
	}
	for _, tt := range []struct {
		from, to            string
		logic, text, choice bool // what must change
	}{
		{"count() > 5", "count() > 6", true, false, false},
		{"window: 5m", "window: 6m", true, false, false},
		{"title: T", "title: U", false, true, false},
		{"title: T", "title: T, owner: x", false, true, false},
		{"title: T", "title: T, severity: error", true, false, false},
		{`"x"`, `"y"`, true, false, true},
		{"[service]", "[service, host]", true, false, true},
		{"count() > 5", "count(http.status > 1) > 5", true, false, false},
		{"count() > 5", "distinct(host) > 5", true, false, false},
		{"title: T", "title: '{{ distinct(host) }}'", false, true, false},
		{"count() > 5", "count() > previous(count())", true, false, true},
		{"5m,", "{tumbling: 5m},", true, false, true},
	} {
		r := mustParse(t, strings.Replace(base, tt.from, tt.to, 1)).Rules[0]
		if r.LogicHash != b.LogicHash != tt.logic || r.TextHash != b.TextHash != tt.text || r.SelectHash != b.SelectHash != tt.choice {
			t.Errorf("%s → %s: logic %v, text %v, selection %v", tt.from, tt.to, r.LogicHash != b.LogicHash, r.TextHash != b.TextHash, r.SelectHash != b.SelectHash)
		}
	}
}
