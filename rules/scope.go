package rules

import (
	"slices"
	"strconv"

	"corral/event"
)

// scope says which names an expression may read and where their values are.
type scope struct {
	what string // "`match`": what the expression is, for messages

	event    bool // the event at hand
	incident bool // incident.*: the rule reads incidents
	hop      bool // hop.*: the rule reads hops
	window   bool // window.duration
	aggs     *aggregates
	counts   map[string]int // temporal event types: index into Env.Aggs
	steps    []string       // earlier steps of a sequence, by Env.Steps index
	keys     []keyName      // group keys, by Env.Key index
	lists    map[string][]any
	slots    *slots   // of the Set, for what the matcher evaluates; nil: by path
	later    []string // steps that come later: to say so
}

// hides says whether a group of fields is one that what the rule reads has not.
func (sc *scope) hides(group string) bool {
	return group == "incident" && !sc.incident || group == "hop" && !sc.hop
}

// keyName is a group key as later expressions may name it.
type keyName struct {
	name  string // as expressions may say it: of the list form the path, attrs.user.id
	path  bool   // list form: name is an expression of the event
	field *Field
}

// slots numbers the attribute paths the rules of a set read.
type slots struct {
	paths []string
	index map[string]int
}

func newSlots() *slots { return &slots{index: map[string]int{}} }

func (s *slots) of(path string) int {
	i, ok := s.index[path]
	if !ok {
		i = len(s.paths)
		s.paths = append(s.paths, path)
		s.index[path] = i
	}
	return i
}

// ident is one name an expression reads, with how it is read.
type ident struct {
	name    string // unique in the expression: "http.status", "attrs.user", "agg:0"
	typ     FieldType
	nilable bool
	field   *Field // of the event at hand
	path    string // attribute path, with slot; "" else
	slot    int
	agg     int // index into Env.Aggs, -1
	get     func(*Env) event.Value
}

func fieldIdent(f *Field) *ident {
	id := &ident{name: f.Name, typ: f.Type, field: f, agg: -1, nilable: f.Type == TimeField || f.Type == MapField}
	id.get = func(env *Env) event.Value {
		if env.Event == nil {
			return zero(f.Type)
		}
		return f.value(env.Event)
	}
	return id
}

// zero is what a typed field reads as where there is no event.
func zero(t FieldType) event.Value {
	switch t {
	case StringField:
		return strValue("")
	case IntField:
		return intValue(0)
	case FloatField:
		return numValue(0)
	}
	return event.Value{}
}

func isZero(v event.Value) bool {
	switch v.Kind {
	case event.Nil:
		return true
	case event.String:
		return v.Str == ""
	case event.Int:
		return v.Int == 0
	case event.Float:
		return v.Float == 0
	}
	return false
}

func attrIdent(path string, sl *slots) *ident {
	id := &ident{name: "attrs." + path, typ: AnyField, nilable: true, path: path, agg: -1, slot: -1}
	id.get = func(env *Env) event.Value {
		if env.Event == nil {
			return event.Value{}
		}
		return event.Of(env.Event.Attr(path))
	}
	if sl == nil {
		return id
	}
	slot := sl.of(path)
	id.slot = slot
	id.get = func(env *Env) event.Value {
		if env.Event == nil {
			return event.Value{}
		}
		return env.Event.Slot(slot, path)
	}
	return id
}

func attrsIdent() *ident {
	return &ident{name: "attrs", typ: MapField, nilable: true, agg: -1, get: func(env *Env) event.Value {
		if env.Event == nil {
			return event.Value{}
		}
		return treeValue(env.Event.Attrs())
	}}
}

func treeValue(tree map[string]any) event.Value {
	if tree == nil {
		return event.Value{}
	}
	return event.Value{Kind: event.Tree, Any: tree}
}

func aggIdent(i int, typ FieldType) *ident {
	return &ident{
		name: "agg:" + strconv.Itoa(i), typ: typ, nilable: typ != IntField, agg: i,
		get: func(env *Env) event.Value {
			if i >= len(env.Aggs) {
				return zero(typ)
			}
			return env.Aggs[i]
		},
	}
}

// keyIdent reads a group key. A key that is an expression of the event reads the
// event where the scope has one, so that it keeps its type.
func keyIdent(i int, k keyName, fromEvent *ident) *ident {
	id := &ident{name: "key:" + k.name, typ: StringField, agg: -1}
	if k.field != nil {
		id.typ = k.field.Type
	}
	id.nilable = k.field == nil && k.path && fromEvent != nil || id.typ == TimeField || id.typ == MapField
	if fromEvent != nil {
		id.typ = fromEvent.typ
	}
	id.get = func(env *Env) event.Value {
		if fromEvent != nil && env.Event != nil {
			if v := fromEvent.get(env); !isZero(v) {
				return v
			}
		}
		if i >= len(env.Key) {
			return zero(id.typ)
		}
		return parseKey(env.Key[i], id.typ)
	}
	return id
}

// parseKey gives a key's text the type of the field it came from.
func parseKey(s string, t FieldType) event.Value {
	switch t {
	case IntField:
		n, _ := strconv.Atoi(s)
		return intValue(n)
	case FloatField:
		f, _ := strconv.ParseFloat(s, 64)
		return numValue(f)
	}
	return strValue(s)
}

// stepIdent reads a field of the first event of a step; f nil: an attribute path.
func stepIdent(step int, name string, f *Field, path string) *ident {
	id := &ident{typ: AnyField, nilable: true, agg: -1}
	if f != nil {
		id.name, id.typ = "step:"+name+"."+f.Name, f.Type
	} else {
		id.name = "step:" + name + ".attrs." + path
	}
	id.get = func(env *Env) event.Value {
		if step >= len(env.Steps) || len(env.Steps[step]) == 0 {
			return event.Value{}
		}
		first := env.Steps[step][0]
		switch {
		case f != nil:
			return f.value(first)
		case path == "":
			return treeValue(first.Attrs())
		}
		return event.Of(first.Attr(path))
	}
	return id
}

// stepAllIdent reads every event of a step so far, as a list.
func stepAllIdent(step int, name string) *ident {
	return &ident{name: "step:" + name + ".all", typ: ListField, agg: -1, get: func(env *Env) event.Value {
		if step >= len(env.Steps) {
			return event.Value{Kind: event.Tree, Any: []any{}}
		}
		all := make([]any, len(env.Steps[step]))
		for i, e := range env.Steps[step] {
			all[i] = eventTree(e)
		}
		return event.Value{Kind: event.Tree, Any: all}
	}}
}

func windowIdent() *ident {
	return &ident{name: "window.duration", typ: DurationField, agg: -1, get: func(env *Env) event.Value {
		return event.Value{Kind: event.Tree, Any: env.Window}
	}}
}

// keyed says whether key.NAME is a group key here: a count, a step or a key that
// is itself called so comes first.
func (sc *scope) keyed() bool {
	_, counted := sc.counts["key"]
	return len(sc.keys) > 0 && !counted && !slices.Contains(sc.steps, "key") && !slices.Contains(sc.keyNames(), "key")
}

func (sc *scope) keyNames() []string {
	names := make([]string, len(sc.keys))
	for i, k := range sc.keys {
		names[i] = k.name
	}
	return names
}

// names lists what may stand at the start of a name, for suggestions.
func (sc *scope) names() []string {
	var names []string
	for name := range sc.counts {
		names = append(names, name)
	}
	names = append(names, sc.steps...)
	for _, k := range sc.keys {
		if !k.path {
			names = append(names, k.name)
		}
	}
	if sc.window {
		names = append(names, "window")
	}
	names = sorted(names)
	if sc.event {
		names = append(names, fieldNames...)
	}
	return append(names, "lists")
}
