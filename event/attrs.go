package event

import (
	"maps"
	"strings"
)

// Attributes are the fields of a record that have no name of their own in the
// rule language, nested as they came. They are decoded when first asked for.
type Attributes struct {
	tree map[string]any
	raw  Lazy
	data string
}

// Lazy decodes the attributes of a record from its bytes, leaving out what was
// taken into named fields. Values are nil, bool, int, float64, string, []any or
// map[string]any. It must not keep data.
type Lazy interface {
	DecodeAttrs(data string) map[string]any
}

// SetAttrs gives the event its attributes, decoded.
func (e *Event) SetAttrs(tree map[string]any) { e.attrs = Attributes{tree: tree} }

// SetLazyAttrs gives the event its attributes as a record still to be decoded.
// data may be a view on the record's buffer.
func (e *Event) SetLazyAttrs(d Lazy, data string) { e.attrs = Attributes{raw: d, data: data} }

// Attrs returns the attributes as a tree, decoding them at the first call.
// The caller must not change it.
func (e *Event) Attrs() map[string]any {
	if e.attrs.tree == nil && e.attrs.raw != nil {
		// A decoder's strings may be views on data; the tree outlives a callback
		// only through Clone, which copies.
		e.attrs.tree = e.attrs.raw.DecodeAttrs(e.attrs.data)
		e.attrs.raw, e.attrs.data = nil, ""
	}
	return e.attrs.tree
}

// Attr returns the attribute at a dotted path: first as one key ("user.id"),
// else level by level. It returns nil where there is none.
func (e *Event) Attr(path string) any { return Lookup(e.Attrs(), path) }

// Lookup finds a dotted path in a tree of attributes: at each level the longest
// key that is there wins.
func Lookup(tree map[string]any, path string) any {
	if v, ok := tree[path]; ok {
		return v
	}
	for end := strings.LastIndexByte(path, '.'); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		if sub, ok := tree[path[:end]].(map[string]any); ok {
			if v := Lookup(sub, path[end+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// clone returns attributes that share nothing with a record's buffer. The
// undecoded ones are mostly the record itself: then its copy serves.
func (a Attributes) clone(raw, copied string) Attributes {
	if a.tree == nil && a.raw != nil {
		if a.data == raw {
			return Attributes{raw: a.raw, data: copied}
		}
		return Attributes{raw: a.raw, data: strings.Clone(a.data)}
	}
	return Attributes{tree: cloneTree(a.tree)}
}

func cloneTree(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	c := maps.Clone(m)
	for k, v := range c {
		c[k] = cloneAny(v)
	}
	return c
}

func cloneAny(v any) any {
	switch v := v.(type) {
	case string:
		return strings.Clone(v)
	case map[string]any:
		return cloneTree(v)
	case []any:
		c := make([]any, len(v))
		for i, x := range v {
			c[i] = cloneAny(x)
		}
		return c
	}
	return v
}
