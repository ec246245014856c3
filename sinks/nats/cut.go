package nats

import (
	"maps"
	"slices"
	"strings"

	"corral/correlate"
)

// What a revision too large for the wire loses, in this order. A cut is repeated
// as long as it says that it may help further. It gets a copy, and must not
// change what that shares with the original.
var cuts = []func(*correlate.Transition) bool{
	cutEvidence, shortenEvidence, cutTopKeys, cutRelated, cutVars, shortenTexts, bareBones,
}

// cutEvidence drops the last event that did not trigger the revision.
func cutEvidence(t *correlate.Transition) bool {
	t.Context = nil
	for i, e := range slices.Backward(t.Evidence) {
		if e.Role != "trigger" {
			t.Evidence = slices.Delete(slices.Clone(t.Evidence), i, i+1)
			return true
		}
	}
	return false
}

func shortenEvidence(t *correlate.Transition) bool {
	t.Evidence = slices.Clone(t.Evidence[:min(len(t.Evidence), 1)])
	for i := range t.Evidence {
		e := &t.Evidence[i]
		e.Line, e.EventID = shorten(e.Line, 256), shorten(e.EventID, 256)
		e.Service, e.TraceID, e.Step = shorten(e.Service, 256), shorten(e.TraceID, 256), shorten(e.Step, 256)
	}
	return false
}

func cutTopKeys(t *correlate.Transition) bool {
	t.TopKeys = nil
	return false
}

func cutRelated(t *correlate.Transition) bool {
	t.ChildIDs, t.Suspects, t.Steps, t.TraceIDs, t.SuppressedBy = nil, nil, nil, nil, nil
	return false
}

func cutVars(t *correlate.Transition) bool {
	t.Vars = nil
	return false
}

// shortenTexts leaves enough to know what it is about; the identity is in the
// fingerprint.
func shortenTexts(t *correlate.Transition) bool {
	for _, s := range []*string{&t.Title, &t.Summary, &t.RuleTitle, &t.RuleFile, &t.RunbookURL, &t.Owner} {
		*s = shorten(*s, 1024)
	}
	t.Key, t.Labels = shortenMap(t.Key), shortenMap(t.Labels)
	return false
}

// bareBones is for servers that allow messages of few kilobytes only.
func bareBones(t *correlate.Transition) bool {
	t.Evidence = nil
	for _, s := range []*string{&t.Title, &t.Summary, &t.RuleTitle, &t.RuleFile, &t.RunbookURL, &t.Owner} {
		*s = shorten(*s, 64)
	}
	for _, m := range []*map[string]string{&t.Key, &t.Labels} {
		few := map[string]string{}
		for _, k := range slices.Sorted(maps.Keys(*m))[:min(len(*m), 4)] {
			few[shorten(k, 32)] = shorten((*m)[k], 64)
		}
		*m = few
	}
	return false
}

// shortenMap keeps the first entries in the order of their names.
func shortenMap(m map[string]string) map[string]string {
	const most = 32
	short := make(map[string]string, min(len(m), most))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(short) == most {
			break
		}
		short[shorten(k, 128)] = shorten(m[k], 256)
	}
	return short
}

// shorten cuts s to n bytes, at a rune, and says so.
func shorten(s string, n int) string {
	const mark = "…"
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len(mark)], "") + mark
}
