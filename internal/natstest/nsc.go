package natstest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operated is a NATS system in operator mode before it is started: accounts that
// nsc commands change.
type Operated struct {
	Dir      string // where commands write files
	t        testing.TB
	operator nkeys.KeyPair
	system   string
	accounts map[string]*operated
	vars     map[string]string
}

type operated struct {
	key    nkeys.KeyPair
	claims *jwt.AccountClaims
	users  map[string]*jwt.UserClaims
	seeds  map[string][]byte
}

// NewOperated has a system account and others, which may use JetStream.
func NewOperated(t testing.TB, system string, others ...string) *Operated {
	t.Helper()
	o := &Operated{Dir: t.TempDir(), t: t, operator: key(t, nkeys.CreateOperator), system: system, accounts: map[string]*operated{}, vars: map[string]string{}}
	o.add(system)
	for _, name := range others {
		o.add(name).claims.Limits.JetStreamLimits = unlimited
	}
	return o
}

var unlimited = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}

func (o *Operated) add(name string) *operated {
	k := key(o.t, nkeys.CreateAccount)
	a := &operated{key: k, claims: jwt.NewAccountClaims(public(o.t, k)), users: map[string]*jwt.UserClaims{}, seeds: map[string][]byte{}}
	a.claims.Name = name
	o.accounts[name] = a
	return a
}

// Account signs further users of an account, who may do anything.
func (o *Operated) Account(name string) *Account { return &Account{t: o.t, key: o.account(name).key} }

func (o *Operated) account(name string) *operated {
	o.t.Helper()
	a := o.accounts[name]
	if a == nil {
		o.t.Fatalf("nsc: there is no account %q", name)
	}
	return a
}

// Config is the server that has these accounts.
func (o *Operated) Config() Option {
	claims := jwt.NewOperatorClaims(public(o.t, o.operator))
	claims.SystemAccount = o.account(o.system).claims.Subject
	text := fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", sign(o.t, claims, o.operator), claims.SystemAccount)
	for _, a := range o.accounts {
		text += fmt.Sprintf("  %s: %s\n", a.claims.Subject, sign(o.t, a.claims, o.operator))
	}
	return Config(text + "}\n")
}

// NSC carries out a script of nsc commands, as far as corral prints any, on these
// accounts. What it does not know fails the test.
func (o *Operated) NSC(script string) {
	o.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, command, ok := strings.Cut(line, "=$("); ok {
			command, _, _ = strings.Cut(command, " | ")
			c := o.command(command)
			if c.verb != "describe account" {
				o.t.Fatalf("nsc: %s", line)
			}
			o.vars["$"+name] = o.account(c.flags["name"]).claims.Subject
			continue
		}
		o.run(o.command(line))
	}
}

// command is "nsc VERB NOUN --flag value …", with `> file` as a flag.
type command struct {
	line, verb string
	flags      map[string]string
}

func (o *Operated) command(line string) command {
	o.t.Helper()
	words := shellWords(line)
	if len(words) < 2 || words[0] != "nsc" {
		o.t.Fatalf("nsc: not a command: %s", line)
	}
	c := command{line: line, flags: map[string]string{}}
	i := 1
	for ; i < len(words) && !strings.HasPrefix(words[i], "--"); i++ {
		c.verb = strings.TrimSpace(c.verb + " " + words[i])
	}
	for i < len(words) {
		name := strings.TrimPrefix(words[i], "--")
		i++
		if name == "private" || name == "all" {
			c.flags[name] = "true"
			continue
		}
		if i == len(words) {
			o.t.Fatalf("nsc: no value for --%s: %s", name, line)
		}
		c.flags[name] = words[i]
		if v, ok := o.vars[words[i]]; ok {
			c.flags[name] = v
		}
		i++
	}
	return c
}

// shellWords splits at spaces outside quotes.
func shellWords(s string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	for _, r := range s + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote == 0 && r == ' ':
			if word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	return words
}

func (o *Operated) run(c command) {
	o.t.Helper()
	f := c.flags
	switch c.verb {
	case "add account":
		o.add(f["name"])
	case "edit account":
		o.account(f["name"]).claims.Limits.JetStreamLimits = unlimited
	case "add export":
		a := o.account(f["account"])
		a.claims.Exports.Add(&jwt.Export{Name: f["name"], Subject: jwt.Subject(f["subject"]), Type: jwt.Stream, TokenReq: f["private"] != ""})
	case "generate activation":
		o.activation(c)
	case "add import":
		o.importStream(c)
	case "add user":
		o.user(c)
	case "generate creds":
		a := o.account(f["account"])
		text, err := jwt.FormatUserConfig(sign(o.t, a.users[f["name"]], a.key), a.seeds[f["name"]])
		o.write(f[">"], text, err)
	case "push":
	default:
		o.t.Fatalf("nsc: unknown command: %s", c.line)
	}
}

func (o *Operated) activation(c command) {
	a := o.account(c.flags["account"])
	subject := jwt.Subject(c.flags["subject"])
	if !slices.ContainsFunc(a.claims.Exports, func(e *jwt.Export) bool { return e.Subject == subject }) {
		o.t.Fatalf("nsc: %s is not exported: %s", subject, c.line)
	}
	act := jwt.NewActivationClaims(c.flags["target-account"])
	act.Name, act.ImportSubject, act.ImportType = string(subject), subject, jwt.Stream
	o.write(c.flags["output-file"], []byte(sign(o.t, act, a.key)), nil)
}

func (o *Operated) importStream(c command) {
	token, err := os.ReadFile(filepath.Join(o.Dir, c.flags["token"]))
	if err != nil {
		o.t.Fatal(err)
	}
	act, err := jwt.DecodeActivationClaims(string(token))
	if err != nil {
		o.t.Fatal(err)
	}
	o.account(c.flags["account"]).claims.Imports.Add(&jwt.Import{
		Name: c.flags["name"], Subject: act.ImportSubject, Account: act.Issuer, Token: string(token),
		LocalSubject: jwt.RenamingSubject(c.flags["local-subject"]), Type: jwt.Stream,
	})
}

func (o *Operated) user(c command) {
	k := key(o.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(o.t, k))
	claims.Name = c.flags["name"]
	claims.Pub.Allow.Add(strings.Split(c.flags["allow-pub"], ",")...)
	claims.Sub.Allow.Add(strings.Split(c.flags["allow-sub"], ",")...)
	seed, err := k.Seed()
	if err != nil {
		o.t.Fatal(err)
	}
	a := o.account(c.flags["account"])
	a.users[claims.Name], a.seeds[claims.Name] = claims, seed
}

func (o *Operated) write(name string, data []byte, err error) {
	o.t.Helper()
	if err == nil {
		err = os.WriteFile(filepath.Join(o.Dir, name), data, 0o600)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}
