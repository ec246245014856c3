package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"corral/event"
)

// The closures and expr's VM must agree on every expression and event. These
// tests compare the two: on expressions that were chosen for their traps, and on
// ones made up.

var trapExpressions = []string{
	`service == "checkout" && http.status >= 500`,
	`attrs.amount > 100`,
	`!(attrs.amount > 100)`,
	`not (attrs.amount > 100 && service == "pay")`,
	`attrs.amount > 100 || service == "pay"`,
	`attrs.amount >= 1.5 and attrs.amount <= 99`,
	`attrs.name contains "err"`,
	`not (attrs.name contains "err")`,
	`attrs.name not contains "err"`,
	`attrs.name startsWith "a" || attrs.name endsWith "z"`,
	`message matches "^time(out|d out)"`,
	`not (attrs.name matches "x+")`,
	`re(message, "time") && re(attrs.name, "a")`,
	`attrs.user in ["a", "b", 3]`,
	`attrs.user not in ["a", "b", 3]`,
	`attrs.user in lists.users`,
	`service in lists.users`,
	`http.status in [500, 502, 503]`,
	`http.status in 500..599`,
	`attrs.amount in 1..5`,
	`attrs.user in attrs.list`,
	`"k" in attrs.tree`,
	`attrs.flag`,
	`!attrs.flag`,
	`attrs.flag && attrs.amount > 1`,
	`attrs.flag == true || attrs.flag != false`,
	`attrs.x == nil`,
	`attrs.x != "a"`,
	`attrs.amount == 5`,
	`attrs.amount == 5.0`,
	`attrs.amount + 1 > 5`,
	`attrs.amount / attrs.count > 0.5`,
	`!(attrs.amount / attrs.count > 0.5)`,
	`attrs.amount % attrs.count == 1`,
	`-attrs.amount < 0`,
	`+attrs.amount > 0`,
	`attrs.amount ** 2 > 4`,
	`(attrs.amount > 5 ? attrs.name : "none") == "none"`,
	`attrs.amount > 5 ? attrs.flag : service == "pay"`,
	`!(attrs.amount > 5 ? attrs.flag : service == "pay")`,
	`(attrs.name ?? "none") == "none"`,
	`(attrs.amount > 3) == false`,
	`len(attrs.list) > 1`,
	`len(attrs.name) == 3`,
	`len(message) > 3 && lower(service) == "pay" && upper(attrs.name) == "ERR"`,
	`trim(attrs.name) == "err"`,
	`attrs.tree.k == "v"`,
	`attrs.tree["k"] contains "v"`,
	`attrs.list[0] == "a"`,
	`attrs.list[-1] == 3`,
	`attrs.list[attrs.count] == 3`,
	`attrs[service] == "v"`,
	`attrs?.tree?.k == "v"`,
	`any(attrs.list, # == "a")`,
	`not any(attrs.list, # == "a")`,
	`all(attrs.list, # != nil)`,
	`!all(attrs.list, # > 2)`,
	`none(attrs.list, # == 3)`,
	`not none(attrs.list, # == 3)`,
	`one(attrs.list, # == 3)`,
	`count(attrs.list, # == 3) > 0`,
	`len(filter(attrs.list, # in ["a", 3])) == 2`,
	`any(map(attrs.list, #), # == "a")`,
	`any(attrs.list, {# == "a" || # == 3})`,
	`let n = attrs.amount; n > 3 && n < 50`,
	`let l = filter(attrs.list, # != nil); len(l) > 1 && service != ""`,
	`has(attrs.name) && has(service) && has(http.status) && has(http.duration_ms)`,
	`not has(attrs.name)`,
	`cidr(http.client, "10.0.0.0/8")`,
	`not cidr(http.client, "10.0.0.0/8")`,
	`cidr(attrs.ip, lists.nets)`,
	`cidr(attrs.ip, ["10.0.0.0/8", "192.168.1.1"])`,
	`hour(time, "Europe/Berlin") >= 8 && weekday(time, "Europe/Berlin") in ["Mon", "Thu"]`,
	`time > date("1970-01-01") && time - observed < 5m`,
	`time - observed > duration("-10m")`,
	`duration(attrs.name) > duration("1s")`,
	`get(attrs.tree, "k") == "v"`,
	`http.duration_ms > 12.5 && rpc.duration_ms < 1`,
	`http.status + 1 > 500 && http.status * 2 - 3 < 2000`,
	`service + "x" == "payx" && service < "z"`,
	`int(attrs.name) == 5`,
	`string(attrs.amount) == "5"`,
	`float(attrs.name) > 1`,
	`split(message, " ")[0] == "timeout"`,
	`join(attrs.list, ",") == "a"`,
	`keys(attrs.tree)[0] == "k"`,
	`1 < attrs.amount < 10`,
	`1 < http.status < 500`,
	`(service == "pay") != (level == "error")`,
	`attrs.amount > attrs.count`,
	`attrs.name > attrs.user`,
	`attrs.tree == attrs.tree`,
	`attrs.list == attrs.list`,
	`[attrs.amount, service] == [5, "pay"]`,
	`{"a": attrs.amount}.a == 5`,
	`attrs.list[0:1] == ["a"]`,
	`attrs.name[0:2] == "er"`,
	`max(attrs.amount, 3) > 3 && min(http.status, 3) == 3`,
	`abs(attrs.amount) > 3`,
	`attrs.amount`,
	`service == "pay" && (level == "error" || attrs.amount > 5) && not (message contains "ok")`,
	`message contains attrs.name`,
	`true`,
	`attrs.a.b.c == 1 && attrs["a.b"].c == 1`,
	`find(attrs.list, # == 3) == 3`,
	`sum(attrs.nums) > 3`,
	`sum(map(attrs.nums, # * 2)) > 3`,
	`sortBy(attrs.list, #)[0] == "a"`,
	`sortBy(attrs.nums, -#, "asc")[0] == 3`,
	`sum(attrs.list, # + 1) > 3 || service == "pay"`,
	`reduce(attrs.nums, #acc + #, 0) > 3`,
	`indexOf(message, "out") > 2`,
	`replace(service, "a", "b") == "pby"`,
	`time.Hour() == 12`,
	`trimPrefix(service, "p") == "ay"`,
	`nats.seq > 5 and nats.deliveries != 0 or nats.reason == ""`,
	`first(attrs.list) == "a" or last(attrs.list) == 3`,
	`sort(attrs.nums)[0] == 1`,
	`attrs.amount > 5m`,
	`type(attrs.amount) == "int"`,
}

func testScope() *scope {
	return &scope{
		what: "`match`", event: true, slots: newSlots(),
		lists: map[string][]any{"users": {"a", "b", 3, 2.5, true}, "nets": {"10.0.0.0/8", "::1"}},
	}
}

// compileTest compiles an expression that must be right.
func compileTest(t testing.TB, text string, sc *scope, w want) *Expr {
	t.Helper()
	rep := &report{}
	x := compileExpr(rep, exprText{src: newSource("test", nil), text: text}, sc, w)
	if x == nil {
		t.Fatalf("%s: %v", text, rep.diags)
	}
	return x
}

// anyValue makes attribute values of every kind, nil and odd ones among them.
func anyValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(13); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n <= 3:
		return r.IntN(8)
	case n == 4:
		return float64(r.IntN(16)) / 2
	case n <= 7:
		return []string{"a", "b", "err", "", "timeout", "5", "10.1.2.3", "127.0.0.1:80", "::1"}[r.IntN(9)]
	case n <= 9 && depth > 0:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = anyValue(r, depth-1)
		}
		return list
	case n <= 11 && depth > 0:
		tree := map[string]any{}
		for _, k := range []string{"k", "b", "c"} {
			if r.IntN(2) == 0 {
				tree[k] = anyValue(r, depth-1)
			}
		}
		return tree
	}
	return 1000 + r.IntN(10)
}

var attrNames = []string{"amount", "name", "user", "list", "nums", "tree", "flag", "x", "count", "ip", "a", "a.b", "pay"}

func anyEvent(r *rand.Rand) *event.Event {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	ev := &event.Event{
		Kind: pick("log", "nats"), Time: r.Int64N(1e18), Observed: r.Int64N(1e18),
		Service: pick("", "pay", "checkout", "Pay"), Level: pick("", "error", "info"), Message: pick("", "timeout in pay", "timed out", "ok err"),
		HTTP: event.HTTP{Status: []int{0, 200, 500, 503}[r.IntN(4)], DurationMS: float64(r.IntN(40)), Client: pick("", "10.0.0.1", "8.8.8.8", "x")},
		NATS: event.NATS{Seq: r.IntN(10), Deliveries: r.IntN(2)},
	}
	attrs := map[string]any{}
	for _, name := range attrNames {
		if r.IntN(3) > 0 {
			attrs[name] = anyValue(r, 2)
		}
	}
	if r.IntN(3) == 0 {
		attrs["list"], attrs["nums"] = []any{"a", 3, "b"}, []any{1, 2.5, 3}
	}
	ev.SetAttrs(attrs)
	return ev
}

// agree compares both paths on one event.
func agree(t testing.TB, x *Expr, ev *event.Event) {
	t.Helper()
	env := &Env{Event: ev}
	want, err := x.runVM(env)
	if err != nil {
		t.Fatalf("%s: %v", x.text, err)
	}
	got := x.Value(env)
	if !same(got, want) {
		t.Fatalf("%s\n lowered %s\n closures say %+v, the VM %+v\n attrs %v\n event %+v", x.text, x.canon, got, want, ev.Attrs(), ev)
	}
	ok, failed := x.Bool(env)
	if truth(want) == tTrue != ok || failed != (truth(want) == tUnknown) {
		t.Fatalf("%s: Bool is %v, %v; the value %+v", x.text, ok, failed, want)
	}
}

// same is equality of kind and value.
func same(a, b event.Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	return fmt.Sprintf("%#v", a.Box()) == fmt.Sprintf("%#v", b.Box())
}

// Both paths agreeing says nothing where both are wrong: these hold.
func TestExpressionsThatHold(t *testing.T) {
	ev := &event.Event{
		Kind: "log", Service: "pay", Message: "timed out", Time: 1767618000e9, Observed: 1767618001e9, // a Monday, 13:00 UTC
		HTTP: event.HTTP{Status: 503, Client: "10.1.2.3:80", DurationMS: 12.5},
	}
	ev.SetAttrs(map[string]any{
		"n": 5, "f": 2.5, "s": "text", "flag": true, "list": []any{1, 2, "x"}, "tree": map[string]any{"k": "v", "user.id": "u"}, "dotted.key": "d", "took": "1.5s", "kept": "2d", "items": []any{map[string]any{"p": 3}},
	})
	for _, text := range []string{
		`time.Hour() == 13`, `time.Format("15:04") == "13:00"`, `hour(time, "Europe/Berlin") == 14`, `hour(time) == 13`, `weekday(time, "Asia/Tokyo") == "Mon"`,
		`observed - time == 1s`, `observed - time < duration("1m")`, `time > date("2026-01-01")`, `attrs.n == 5.0 && attrs.f == 2.5 && attrs.n > attrs.f`,
		`attrs.n in [1, 5]`, `attrs.n in 1..9`, `attrs.f not in 1..9`, `attrs["dotted.key"] == "d" && attrs.dotted.key == "d"`, `attrs.tree["user.id"] == "u"`, `attrs.tree.user.id == "u"`,
		`attrs.list[2] == "x" && attrs.list[-1] == "x" && attrs.list[9] == nil`, `"x" in attrs.list`, `any(attrs.items, .p == 3)`, `not any(attrs.items, .p == 4)`,
		`cidr(http.client, "10.0.0.0/8")`, `not cidr(http.client, lists.nets) == false || true`, `attrs.nothing == nil`, `attrs.nothing != "x"`, `attrs.flag`, `has(attrs.s) && !has(attrs.nothing) && has(http.status) && !has(nats.seq)`,
		`((attrs.nothing > 5) ?? false) == false`, `(attrs.nothing ?? "d") == "d"`, `len(attrs.list) == 3 && len(message) == 9`, `upper(service) == "PAY"`, `message matches "^time" && re(message, "out$")`,
		`sum(map(attrs.items, .p)) == 3`, `1 < attrs.n < 9`, `attrs.n % 2 == 1`, `attrs.n / 2 == 2.5`, `service in lists.users || service == "pay"`, `split(message, " ")[1] == "out"`,
		`duration(attrs.took) > 1s && duration(attrs.kept) == 48h && duration(attrs.s) == nil && duration(attrs.n) == nil`,
		`(attrs.list | first()) == 1 && (attrs.list | last()) == "x" && (attrs.items | map(.p) | sum()) == 3`, `len(groupBy(attrs.items, .p)) == 1`,
		`get(attrs, "n") == 5 && get(attrs, attrs.nothing) == nil && get(attrs.list, 1) == 2`,
		`attrs.tree == {"k": "v", "user.id": "u"}`, `join(sort(map(attrs.tree | keys(), #)), ",") == "k,user.id"`, `let s = attrs.s; s startsWith "te" and s endsWith "xt"`,
	} {
		x := compileTest(t, text, testScope(), wantBool)
		if ok, failed := x.Bool(&Env{Event: ev}); !ok || failed {
			t.Errorf("%s does not hold (failed %v)\n%s", text, failed, tree(x.Explain(&Env{Event: ev})))
		}
		agree(t, x, ev)
	}
}

func TestClosuresAgreeWithVM(t *testing.T) {
	sc := testScope()
	r := rand.New(rand.NewPCG(1, 2))
	events := make([]*event.Event, 400)
	for i := range events {
		events[i] = anyEvent(r)
	}
	for _, text := range trapExpressions {
		t.Run(text, func(t *testing.T) {
			x := compileTest(t, text, sc, wantAny)
			for _, ev := range events {
				agree(t, x, ev)
			}
		})
	}
}

// anExpression makes up an expression of the given type: b, n, s or any value.
func anExpression(rt *rapid.T, typ string, depth int) string {
	pick := func(options ...string) string { return rapid.SampledFrom(options).Draw(rt, "pick") }
	sub := func(typ string) string { return anExpression(rt, typ, depth-1) }
	if depth == 0 {
		switch typ {
		case "b":
			return pick("true", `service == "pay"`, "attrs.flag", "attrs.amount > 3", `attrs.name contains "r"`, "has(attrs.x)", "http.status >= 500")
		case "n":
			return pick("1", "2.5", "0", "http.status", "attrs.amount", "attrs.count", "http.duration_ms", "len(message)", "attrs.list[1]")
		case "s":
			return pick(`"a"`, `"err"`, "service", "attrs.name", "attrs.user", "message", "lower(attrs.name)")
		}
		return pick("attrs.x", "attrs.tree", "attrs.list", "attrs.amount", "attrs.name", "nil", "attrs.tree.k")
	}
	switch typ {
	case "b":
		switch rapid.IntRange(0, 9).Draw(rt, "form") {
		case 0, 1:
			return "(" + sub("b") + pick(" && ", " || ", " and ", " or ") + sub("b") + ")"
		case 2:
			return pick("!", "not ") + "(" + sub("b") + ")"
		case 3:
			return "(" + sub("n") + pick(" < ", " <= ", " > ", " >= ", " == ", " != ") + sub("n") + ")"
		case 4:
			return "(" + sub("s") + pick(" contains ", " startsWith ", " endsWith ", " == ", " != ", " < ", " in attrs.list or '' == ") + sub("s") + ")"
		case 5:
			return "(" + sub("any") + pick(" == ", " != ") + sub("any") + ")"
		case 6:
			return "(" + sub("b") + " ? " + sub("b") + " : " + sub("b") + ")"
		case 7:
			return "(" + sub("s") + pick(` in ["a", "b"]`, ` not in ["err", "a"]`, ` in lists.users`) + ")"
		case 8:
			return pick("any", "all", "none", "one") + "(attrs.list, # " + pick("==", "!=", ">", "<") + " " + sub("n") + ")"
		}
		return "(" + sub("s") + ` matches "e.?r"` + ")"
	case "n":
		return "(" + sub("n") + pick(" + ", " - ", " * ", " / ", " % ", " ** ") + sub("n") + ")"
	case "s":
		return pick("(", "lower(", "upper(", "trim(") + sub("s") + ")"
	}
	return "(" + sub("b") + " ? " + sub("any") + " : " + sub("any") + ")"
}

func TestMadeUpExpressionsAgree(t *testing.T) {
	sc := testScope()
	rapid.Check(t, func(rt *rapid.T) {
		text := anExpression(rt, rapid.SampledFrom([]string{"b", "b", "n", "any"}).Draw(rt, "type"), rapid.IntRange(0, 4).Draw(rt, "depth"))
		rep := &report{}
		x := compileExpr(rep, exprText{src: newSource("test", nil), text: text}, sc, wantAny)
		if x == nil {
			if strings.Contains(rep.diags[0].Message, "lowered") {
				t.Fatal(text, rep.diags)
			}
			rt.Skip("type error")
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for range 20 {
			agree(t, x, anyEvent(r))
		}
	})
}
