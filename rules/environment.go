package rules

import (
	"reflect"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
)

// defaults are expr's own settings. Its tables are only read: all expressions share
// them, for filling one of its own costs more than parsing does.
var defaults = conf.CreateNew()

// exprConfig has expr know these functions and its own.
func exprConfig(functions conf.FunctionsTable) *conf.Config {
	return &conf.Config{
		ShortCircuit: defaults.ShortCircuit, MaxNodes: defaults.MaxNodes,
		ConstFns: defaults.ConstFns, Functions: functions, Builtins: defaults.Builtins, Disabled: defaults.Disabled,
	}
}

// config is what expr's checker and compiler need to know of a resolved tree.
func (a *analysis) config() *conf.Config {
	c := exprConfig(checkedFunctions)
	c.Env = flatEnv(a.idents)
	return c
}

// checkedFunctions are ownFunctions with their types.
var checkedFunctions = func() conf.FunctionsTable {
	t := conf.FunctionsTable{}
	for name, types := range ownFunctions {
		t[name] = typedFunction(name, types)
	}
	return t
}()

func typedFunction(name string, types []any) *builtin.Function {
	f := &builtin.Function{Name: name, Func: func(...any) (any, error) { return nil, nil }}
	for _, t := range types {
		f.Types = append(f.Types, reflect.TypeOf(t))
	}
	return f
}

var fieldNatures = map[FieldType]reflect.Type{
	StringField:   reflect.TypeFor[string](),
	IntField:      reflect.TypeFor[int](),
	FloatField:    reflect.TypeFor[float64](),
	BoolField:     reflect.TypeFor[bool](),
	TimeField:     reflect.TypeFor[time.Time](),
	DurationField: reflect.TypeFor[time.Duration](),
	ListField:     reflect.TypeFor[[]any](),
}

// flatEnv types the names a resolved tree reads: one flat map, because names are
// resolved to "http.status" before expr sees them.
func flatEnv(idents map[string]*ident) nature.Nature {
	env := nature.FromType(reflect.TypeFor[map[string]any]())
	env.TypeData = &nature.TypeData{Fields: map[string]nature.Nature{}}
	for name, id := range idents {
		env.Fields[name] = nature.FromType(fieldNatures[id.typ]) // of nil: any
	}
	return env
}

// vmEnv types the names of a lowered tree: what may be nil is of any type.
func vmEnv(idents map[string]*ident) nature.Nature {
	env := nature.FromType(reflect.TypeFor[map[string]any]())
	env.TypeData = &nature.TypeData{Fields: map[string]nature.Nature{}}
	for name, id := range idents {
		if !id.nilable {
			env.Fields[name] = nature.FromType(fieldNatures[id.typ])
		}
	}
	return env
}
