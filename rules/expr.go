package rules

import "corral/event"

// Expr is a checked, compiled expression.
type Expr struct{ text string }

// Bool evaluates a condition. A failing evaluation (nil, wrong type) is false;
// failed reports it.
func (x *Expr) Bool(env *Env) (ok, failed bool) { panic("stub") }

// Value evaluates to a value; Nil if it fails.
func (x *Expr) Value(env *Env) event.Value { panic("stub") }

// Text is the expression as written.
func (x *Expr) Text() string { return x.text }

// Template is text with {{ expression }} in it.
type Template struct{ text string }

// Render never fails: an expression that does renders as "?".
func (t *Template) Render(env *Env) string { panic("stub") }

// Cron is a five-field schedule in a time zone; a local time that a clock
// change skips or repeats counts once.
type Cron struct{}

// Next returns the first instant strictly after t, nanoseconds since the epoch.
func (c *Cron) Next(t int64) int64 { panic("stub") }

// Schedule is when a rule is active: 'Mon-Fri 08:00-18:00' in a time zone.
type Schedule struct{}

// Active reports whether t is inside.
func (s *Schedule) Active(t int64) bool { panic("stub") }

// groupKey is one name of group_by with its expression, by step where steps differ.
type groupKey struct{}

type matcherState struct{}

// File is the content of a rule file.
type File struct {
	Name string
	Data []byte
}

// Diagnostic is one finding of the checker, with the place it is about.
type Diagnostic struct {
	File                       string
	Line, Col, EndLine, EndCol int    // 1-based, columns in runes; End exclusive
	Level                      string // error, warning
	Code                       string // E103
	Message                    string
	Note                       string   // under the caret: did you mean "status"?
	Help                       string   // = help: …
	Source                     []string // the source lines Line…EndLine (and what must stand before them to be read)
	SourceLine                 int      // number of Source[0]
}

// Load reads files and directories (*.yaml, *.yml; tests *_test.yaml left out)
// and compiles what is in them. The Set is nil if any diagnostic is an error; err
// is for files that could not be read, none at all, and zero rules.
func Load(paths []string) (*Set, []Diagnostic, error) { panic("stub") }

// Parse is Load for content already read.
func Parse(files []File) (*Set, []Diagnostic) { panic("stub") }

// EncodeKey makes one string of group key values, length-prefixed, and DecodeKey
// the values of it again.
func EncodeKey(values []string) string { panic("stub") }

// DecodeKey is EncodeKey's inverse.
func DecodeKey(key string) []string { panic("stub") }

// Matcher returns a new matcher for one goroutine.
func (s *Set) Matcher() *Matcher { panic("stub") }

// Match appends to out the rules that ev concerns, by Rule.Index. Keys and
// string args may be views on ev: use them before ev's buffer goes, or make the
// matches anew from a clone.
func (m *Matcher) Match(ev *event.Event, out []Match) []Match { panic("stub") }
