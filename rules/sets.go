package rules

import (
	"net/netip"
	"strings"

	"github.com/expr-lang/expr/vm/runtime"

	"corral/event"
)

// constSet is a list of constants on the right of `in`.
type constSet struct {
	values []any
	texts  map[string]struct{}
	ints   map[int64]struct{}
	rest   []event.Value // floats, bools
}

func newConstSet(values []any) *constSet {
	s := &constSet{values: values, texts: map[string]struct{}{}, ints: map[int64]struct{}{}}
	for _, x := range values {
		switch v := event.Of(x); v.Kind {
		case event.String:
			s.texts[v.Str] = struct{}{}
		case event.Int:
			s.ints[v.Int] = struct{}{}
		default:
			s.rest = append(s.rest, v)
		}
	}
	return s
}

func (s *constSet) has(v event.Value) tri {
	switch v.Kind {
	case event.Nil:
		return tUnknown
	case event.String:
		_, ok := s.texts[v.Str]
		return triOf(ok)
	case event.Int:
		if _, ok := s.ints[v.Int]; ok {
			return tTrue
		}
	case event.Float:
		if i := int64(v.Float); float64(i) == v.Float {
			if _, ok := s.ints[i]; ok {
				return tTrue
			}
		}
	}
	for _, x := range s.rest {
		if equal(x, v) {
			return tTrue
		}
	}
	return tFalse
}

// within is `a in b` for a b that is no constant.
func within(a, b event.Value) tri {
	if a.Kind == event.Nil || b.Kind != event.Tree {
		return tUnknown
	}
	switch list := b.Any.(type) {
	case []any:
		for _, x := range list {
			if equal(a, event.Of(x)) {
				return tTrue
			}
		}
		return tFalse
	case map[string]any:
		if a.Kind != event.String {
			return tUnknown
		}
		_, ok := list[a.Str]
		return triOf(ok)
	case map[string]string:
		if a.Kind != event.String {
			return tUnknown
		}
		_, ok := list[a.Str]
		return triOf(ok)
	}
	return withinReflect(a, b.Any)
}

// withinReflect serves the typed slices that expr's own functions return.
func withinReflect(a event.Value, list any) (t tri) {
	defer func() {
		if recover() != nil { // the VM's primitives report a wrong type by panic only
			t = tUnknown
		}
	}()
	return triOf(runtime.In(a.Box(), list))
}

// prefixes are the networks of a cidr call.
type prefixes []netip.Prefix

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// has says whether the address, with or without a port, is in one of the networks.
func (p prefixes) has(v event.Value) tri {
	if v.Kind != event.String {
		return tUnknown
	}
	a, ok := parseAddr(v.Str)
	if !ok {
		return tUnknown
	}
	for _, n := range p {
		if n.Contains(a) {
			return tTrue
		}
	}
	return tFalse
}

func parseAddr(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
