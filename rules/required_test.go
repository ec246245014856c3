package rules

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRequiredTexts(t *testing.T) {
	for pattern, want := range map[string][]string{
		`user [0-9]+ after (word|time)`: {" after ", "user "},
		`^time(out|d) (in)+ \w{2,3}x`:   {"time", "in", " ", "x"},
		`(?i)timeout`:                   nil,
		`a(?i)b(?-i)c`:                  {"a", "c"},
		`(failed)?(refused)*`:           nil,
		`(no){0,3}(yes){2}`:             {"yes"},
		"bad \uFFFD byte":               nil,
		`one|two`:                       nil,
		`[e]rror\.`:                     {"error."},
		``:                              nil,
	} {
		re := regexp.MustCompile(pattern)
		got := requiredTexts(re)
		if !slices.Equal(got, want) {
			t.Errorf("%q requires %q, want %q", pattern, got, want)
		}
	}
}

// A byte that is no UTF-8 matches U+FFFD, so that text may not be asked for.
func TestPatternOnBrokenText(t *testing.T) {
	re := regexp.MustCompile("bad \uFFFD byte")
	if !re.MatchString("bad \xff byte") {
		t.Fatal("the regexp package reads it otherwise")
	}
	for _, text := range requiredTexts(re) {
		if !strings.Contains("bad \xff byte", text) {
			t.Errorf("a match need not contain %q", text)
		}
	}
}
