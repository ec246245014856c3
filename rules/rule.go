// Package rules reads rule files, checks them and compiles them into a Set: what
// an event must be to concern a rule (Matcher), and the parameters from which
// package correlate keeps its state. It holds no state itself and does no I/O
// beyond reading the files it is told to.
package rules

import (
	"time"

	"go.yaml.in/yaml/v4"

	"corral/event"
)

// Kind is the operator of a rule.
type Kind uint8

const (
	EventKind Kind = iota + 1
	ThresholdKind
	AbsenceKind
	ChangeKind
	TemporalKind
	SequenceKind
)

var kindNames = [...]string{"", "event", "threshold", "absence", "change", "temporal", "sequence"}

func (k Kind) String() string { return kindNames[k] }

// Severity of an incident; ordered.
type Severity uint8

const (
	Info Severity = iota + 1
	Warning
	Error
	Critical
)

var severityNames = [...]string{"", "info", "warning", "error", "critical"}

func (s Severity) String() string { return severityNames[s] }

// Set is every rule of a load, checked and compiled. It is immutable and may be
// used by any number of goroutines; each needs its own Matcher.
type Set struct {
	Rules []*Rule // by file order; Rule.Index is the position
	// AttrPaths are the attribute paths the rules read, in slot order: what
	// decode.New wants to know (event.Event.Slot).
	AttrPaths []string
	byID      map[string]*Rule

	plans     []plan // by Rule.Index
	atoms     *atomTable
	events    *index // of the rules that read events
	incidents *index // of those that read incidents
	hops      *index // of those that read hops
	hopping   *Rule  // one of those, nil: there are none
}

// Rule looks a rule up by its id; nil if there is none.
func (s *Set) Rule(id string) *Rule { return s.byID[id] }

// ReadsHops reports whether there are rules with `from: hops`.
func (s *Set) ReadsHops() bool { return s.hopping != nil }

// Rule is one checked and compiled rule.
type Rule struct {
	Index int
	ID    string
	Kind  Kind
	File  string // as given on the command line
	Line  int    // of its `- id:`

	Title, Summary *Template // never nil; default title is the id
	Severity       []SeverityStep
	Owner, Runbook string
	Labels         map[string]*Template // values may be templates
	RenamedFrom    string

	FromIncidents bool     // reads transitions of other rules instead of events
	FromHops      bool     // reads pairs of neighbouring events of traces
	KeyNames      []string // group key names in order; empty: one group

	For            time.Duration
	KeepFiringFor  time.Duration // default of its kind filled in
	ResolveWhen    *Expr         // nil: none
	ResolveMax     time.Duration // 0: never rotates
	Refire         Refire
	Suppress       time.Duration
	UpdateEvery    time.Duration // growth revisions, default 5m
	Limits         Limits
	InhibitedBy    []Inhibition
	Signal         bool
	Context        time.Duration // its firings show in incidents of other rules that start within this long; 0: nowhere
	Evidence       int           // events an incident keeps
	Active         *Schedule
	NotifyResolved bool

	// Parts are the named selections of the rule: the steps of a sequence, the
	// event types of a temporal rule, the predicates of count(pred), the start and
	// end of a window, `until`. Match.Parts has a bit for each. At most 64.
	Parts []Part
	// Args are the expressions whose values the state keeps: arguments of
	// aggregates, `of` of a change rule. Match.Args has a value for each.
	Args []*Expr
	// Aggs are the aggregates read by Condition, Clear, Severity and templates,
	// each once. Env.Aggs has a value for each.
	Aggs []Agg

	Threshold *Threshold
	Absence   *Absence
	Change    *Change
	Temporal  *Temporal
	Sequence  *Sequence

	// LogicHash changes when state or decisions would differ, TextHash when only
	// what is said about an incident does. Both ignore layout and comments.
	LogicHash, TextHash string
	// SelectHash covers what state is made of (match, from, group_by, steps, kind of
	// window, aggregates that look back): if it changes, state cannot be carried over.
	SelectHash string
	Text       string // the rule's YAML as written

	// Tests is the rule's inline `tests:`, nil if it has none.
	Tests *yaml.Node

	match     *Expr // nil: everything
	groupBy   []groupKey
	doc       *ruleDoc
	inhibitAt []*yaml.Node // of each Inhibition.Rule
}

// SeverityStep is one step of a severity ladder: the first whose When holds.
type SeverityStep struct {
	When *Expr // nil: always
	Is   Severity
}

// Refire says what happens after a rule has fired.
type Refire uint8

const (
	Edge  Refire = iota // once until the condition was false
	Reset               // state cleared after firing
	Level               // at every evaluation
)

// Limits bound a rule's state.
type Limits struct{ Groups, Open, Partials int }

// Inhibition keeps a rule from notifying while an incident of Rule is open whose
// values of the keys Same are its own.
type Inhibition struct {
	Rule string
	Same []string
}

// Part is a named selection.
type Part struct {
	Name string
	Expr *Expr
}

// AggFn is an aggregate function.
type AggFn uint8

const (
	Count AggFn = iota + 1
	Sum
	Avg
	Min
	Max
	Stddev // population
	Quantile
	Distinct
	Rate // events per second of window
	First
	Last
	Previous // Of over the adjacent window before
	Baseline // mean of Of at the same time 1…N Offsets ago
)

// Agg is one aggregate over a rule's window.
type Agg struct {
	Fn     AggFn
	Text   string        // as written, normalised: "count(http.status >= 500)"; key of the incident's vars
	Arg    int           // index into Rule.Args, -1: none
	Part   int           // only events with this part's bit count, -1: all
	Q      float64       // Quantile
	Of     int           // Previous, Baseline: index of the aggregate meant
	Offset time.Duration // Baseline
	N      int           // Baseline
}

// WindowKind is the shape of a threshold window.
type WindowKind uint8

const (
	Sliding WindowKind = iota + 1
	Tumbling
	Session
	LastN
	Bounded // from a start event to an end event
)

// Threshold compares aggregates over one window.
type Threshold struct {
	Window    WindowKind
	Size      time.Duration  // sliding, tumbling: length; session: gap
	Max       time.Duration  // session, bounded: longest
	N         int            // LastN
	Location  *time.Location // tumbling: aligned to midnight there; nil: to the epoch
	StartPart int            // Bounded: part indexes
	EndPart   int
	Condition *Expr
	Clear     *Expr // nil: not Condition
	// AtClose: the condition is one that absence could make true, so it is decided
	// when the window ends (never for sliding ones: a load error).
	AtClose bool
}

// Absence fires when too few events came by a deadline.
type Absence struct {
	Every       time.Duration // or Schedule
	Schedule    *Cron
	Grace       time.Duration
	Min         int
	Expect      [][]string // group keys that must report, values in KeyNames order; nil: those seen
	Remember    time.Duration
	ForgetAfter time.Duration
}

// Detect is what a change rule looks for.
type Detect uint8

const (
	Changed Detect = iota + 1
	FirstSeen
	Flapping
)

// Change compares Args[0] with what is remembered of it for the key.
type Change struct {
	Detect        Detect
	Memory, Learn time.Duration // first_seen
	Changes       int           // flapping
	Within        time.Duration
}

// Temporal is the block of a rule that waits for events of several types within
// a window, whatever their order. Each type is a Part, and a count by its name.
type Temporal struct {
	Window    time.Duration
	Events    []int // part index of each event type
	Condition *Expr // never nil
	AtClose   bool  // decided when the window closes (docs/rules.md, section on time)
}

// Contiguity says what other events of the key do to a partial match.
type Contiguity uint8

const (
	Relaxed  Contiguity = iota // skipped
	Strict                     // kill it
	AnyMatch                   // skipped, and all combinations are found
)

// Skip says which partial matches go on after a match.
type Skip uint8

const (
	PastLast Skip = iota // none that began before the match ended
	Next                 // those that began after the match's first event
	NoSkip               // all
)

// Sequence is the block of a rule whose events must come in the order of Steps.
type Sequence struct {
	Within        time.Duration // 0: every step has its own
	Steps         []Step
	UntilPart     int // -1: none
	Contiguity    Contiguity
	Skip          Skip
	EmitOnTimeout bool
}

// Step of a sequence. Parts[i] of the rule is the selection of step i.
type Step struct {
	Name     string
	Part     int
	Where    *Expr // nil: none. May read earlier steps
	Min, Max int   // times; Max 0: unbounded
	Optional bool
	Greedy   bool
	Absent   bool
	Within   time.Duration // from the previous step; 0: none
}

// Match says that an event concerns a rule. It is made without state, so by any
// number of goroutines.
type Match struct {
	Rule *Rule
	// Selected: the event is one of those the rule counts (`match` holds; for
	// temporal and sequence rules also at least one part).
	Selected bool
	// Resolve: `resolve.when` holds. Such an event need not be Selected.
	Resolve bool
	// Hops: the event is of a trace, and there are rules that read hops. Nothing else
	// is set then but Rule, one of them.
	Hops  bool
	Parts uint64 // bit i: Rule.Parts[i] holds
	Key   string // group key, EncodeKey form: equal keys are equal strings
	Hash  uint64 // of Key; decides the shard
	Args  []event.Value
}

// Matcher finds the rules an event concerns. One per goroutine.
//
//	m := set.Matcher()
//	matches = m.Match(ev, matches[:0])
type Matcher struct {
	set *Set
	// Errors counts, by Rule.Index, events on which a comparison met nil or a wrong
	// type, so that the rule did not match for it; NoKey those dropped because a
	// group key was absent.
	Errors, NoKey []uint64
	matcherState
}

// Env is what an expression is evaluated against.
type Env struct {
	Event  *event.Event
	Aggs   []event.Value    // values of Rule.Aggs; Nil: undefined, comparisons are false
	Steps  [][]*event.Event // sequence: the events of each step so far, by step index
	Key    []string         // group key values, by KeyNames
	Window time.Duration    // span of the window content, for window.duration
}
