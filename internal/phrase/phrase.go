// Package phrase has the turns of phrase that commands and reports share.
package phrase

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Count is n with its noun, in the plural unless n is 1: "1 rule", "3 rules".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Key is a group key in the order of its names, a space before each:
// " env=prod service=pay". It is "" for a rule without group_by, so it can follow a rule's id.
func Key(key map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(key)) {
		fmt.Fprintf(&b, " %s=%s", name, key[name])
	}
	return b.String()
}
