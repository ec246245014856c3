package rules

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A search finds what strings.Contains finds, whatever the number of needles, their
// lengths and what they have in common.
func TestNeedlesAgreeWithContains(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	letters := []string{"ab", "abcdefgh", "time out\xff\x80é"}
	word := func(from string, least, most int) string {
		b := make([]byte, least+r.IntN(most-least+1))
		for i := range b {
			b[i] = from[r.IntN(len(from))]
		}
		return string(b)
	}
	found := 0
	for range 3000 {
		from := letters[r.IntN(len(letters))]
		least := 1 + r.IntN(8)
		var n needles
		for range 1 + r.IntN(40) {
			if w := word(from, least, least+r.IntN(12)); !slices.Contains(n.texts, w) {
				n.texts = append(n.texts, w)
			}
		}
		if r.IntN(20) == 0 {
			n.texts = append(n.texts, strings.Repeat(word(from, 1, 1), 300))
		}
		n.prepare()
		for range 10 {
			text := word(from, 1, 60) + n.texts[r.IntN(len(n.texts))][:1] + word(from, 0, 400)
			if r.IntN(2) == 0 {
				text += n.texts[r.IntN(len(n.texts))] + word(from, 0, 3)
			}
			got := n.find(text, nil)
			slices.Sort(got)
			got = slices.Compact(got)
			var want []int32
			for i, w := range n.texts {
				if strings.Contains(text, w) {
					want = append(want, int32(i))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q in %q: found %v, want %v", n.texts, text, got, want)
			}
			found += len(want)
		}
	}
	if found < 1000 {
		t.Errorf("only %d found: the test says little", found)
	}
}
