// Package natssetup writes the configuration with which one account of a NATS
// system sees what all of them announce, and the users a worker needs for it.
//
// No account sees everything by itself: the system account knows of connections,
// servers and lost quorums, but not of what JetStream tells the users' accounts
// about their streams and consumers. So they all export it, an account for
// observability imports it under obs.>, and a stream there keeps it.
package natssetup

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Options name the accounts. Empty names are System "SYS", Observer "OBS", Stream
// "OBS" and Bucket "corral".
type Options struct {
	Accounts []string // whose JetStream is observed
	System   string
	Observer string
	Stream   string // keeps obs.>
	Bucket   string // of a worker's state (--state kv:BUCKET)
}

var (
	accountName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	assetName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
)

// complete fills in the names that are missing and refuses those that would not
// be one token of a subject or one word of a command.
func (o Options) complete() (Options, error) {
	set := func(to *string, name string) {
		if *to == "" {
			*to = name
		}
	}
	set(&o.System, "SYS")
	set(&o.Observer, "OBS")
	set(&o.Stream, "OBS")
	set(&o.Bucket, "corral")
	if len(o.Accounts) == 0 {
		return o, errors.New("no account is named whose JetStream is to be observed")
	}
	seen := map[string]bool{}
	for _, name := range append([]string{o.System, o.Observer}, o.Accounts...) {
		if !accountName.MatchString(name) {
			return o, fmt.Errorf("account name %q: want letters, digits, _ and -", name)
		}
		if seen[name] {
			return o, fmt.Errorf("account %q is named twice", name)
		}
		seen[name] = true
	}
	for _, name := range []string{o.Stream, o.Bucket} {
		if !assetName.MatchString(name) {
			return o, fmt.Errorf("name %q: want up to 32 letters, digits, _ and -", name)
		}
	}
	return o, nil
}

// importOf is one stream of events that the observer imports.
type importOf struct{ account, subject, to string }

func (o Options) imports() []importOf {
	all := []importOf{
		{o.System, "$SYS.ACCOUNT.>", "obs.sys.ACCOUNT.>"},
		{o.System, "$SYS.SERVER.>", "obs.sys.SERVER.>"},
		{o.System, "$JS.EVENT.>", "obs.js." + o.System + ".>"},
	}
	for _, a := range o.Accounts {
		all = append(all, importOf{a, "$JS.EVENT.>", "obs.js." + a + ".>"})
	}
	return all
}

// exports are what an account lets the observer import.
func (o Options) exports(account string) (subjects []string) {
	for _, i := range o.imports() {
		if i.account == account {
			subjects = append(subjects, i.subject)
		}
	}
	return subjects
}

// workerPub is all that `corral run` publishes to: it reads one stream, writes
// incidents and alerts, creates their streams and keeps its state in a bucket.
func (o Options) workerPub() []string {
	subjects := []string{"$JS.API.INFO", "$JS.API.STREAM.NAMES", userInfo, "incident.v1.>", "alert.v1.>"}
	subjects = append(subjects,
		"$JS.API.STREAM.INFO."+o.Stream,
		"$JS.API.CONSUMER.CREATE."+o.Stream+".>",
		"$JS.API.CONSUMER.INFO."+o.Stream+".>",
		"$JS.API.CONSUMER.DELETE."+o.Stream+".>",
		"$JS.API.CONSUMER.RESET."+o.Stream+".>",
		"$JS.API.CONSUMER.MSG.NEXT."+o.Stream+".>",
		"$JS.ACK."+o.Stream+".>",
	)
	for _, s := range []string{"INCIDENTS", "ALERTS", "INCIDENTS_OPEN"} {
		subjects = append(subjects, "$JS.API.STREAM.CREATE."+s, "$JS.API.STREAM.INFO."+s)
	}
	bucket := "OBJ_" + o.Bucket
	return append(subjects,
		"$JS.API.STREAM.CREATE."+bucket, "$JS.API.STREAM.INFO."+bucket, "$JS.API.STREAM.PURGE."+bucket, "$JS.API.STREAM.MSG.GET."+bucket,
		"$JS.API.DIRECT.GET."+bucket+".>", "$JS.API.CONSUMER.CREATE."+bucket+".>", "$JS.API.CONSUMER.DELETE."+bucket+".>",
		"$O."+o.Bucket+".>",
	)
}

// userInfo is where a user asks who it is: advisories do not name the account they
// are published in.
const userInfo = "$SYS.REQ.USER.INFO"

// AccountSubjects are what an account can be told of its JetStream, and of the
// others where it imports it as printed here.
func AccountSubjects() []string {
	return []string{"obs.>", "$JS.EVENT.>", "$SYS.ACCOUNT.CLIENT.AUTH.ERR"}
}

// SystemSubjects are what only the system account is told.
func SystemSubjects() []string {
	return []string{
		"$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT", "$SYS.ACCOUNT.*.SERVER.CONNS", "$SYS.ACCOUNT.*.CLAIMS.UPDATE",
		"$SYS.SERVER.*.CLIENT.AUTH.ERR", "$SYS.SERVER.*.STATSZ", "$SYS.SERVER.*.SHUTDOWN", "$SYS.SERVER.*.LAMEDUCK", "$SYS.SERVER.*.OCSP.PEER.>",
	}
}

func (o Options) workerSub() []string { return append([]string{"_INBOX.>"}, AccountSubjects()...) }

// pollSub is what the user of the system account listens to: events that no
// stream can keep while JetStream has lost its quorum.
func pollSub() []string { return append([]string{"_INBOX.>", "$JS.EVENT.>"}, SystemSubjects()...) }

// pollPub is what `corral run --poll` asks for: nothing that changes anything.
func pollPub() []string {
	return []string{
		"$SYS.REQ.SERVER.PING.STATSZ", "$SYS.REQ.SERVER.PING.HEALTHZ", "$SYS.REQ.SERVER.PING.JSZ",
		"$SYS.REQ.SERVER.*.JSZ", "$SYS.REQ.SERVER.*.CONNZ", userInfo,
	}
}

// Secrets are the environment variables that a printed configuration takes the
// users' passwords from.
const (
	WorkerSecret = "CORRAL_NATS_PASSWORD"
	PollSecret   = "CORRAL_POLL_PASSWORD"
)

// Config is text for nats-server's configuration file.
func Config(o Options) (string, error) {
	o, err := o.complete()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# What corral needs to see everything that happens in this NATS system.")
	p("# Merge the accounts into those you have: exports into %s and %s, and the", o.System, strings.Join(o.Accounts, ", "))
	p("# account %s as it is. nats-server takes the passwords from its environment.", o.Observer)
	p("system_account: %s", word(o.System))
	p("accounts {")
	p("  %s {", word(o.System))
	p("    users: [")
	p("      {user: corral-poll, password: $%s, permissions: {", PollSecret)
	p("        publish: {allow: %s}", list(pollPub(), 10))
	p("        subscribe: {allow: %s}", list(pollSub(), 10))
	p("      }}")
	p("    ]")
	o.configExports(p, o.System)
	p("  }")
	for _, a := range o.Accounts {
		p("  %s {", word(a))
		p("    jetstream: enabled")
		o.configExports(p, a)
		p("  }")
	}
	p("  %s {", word(o.Observer))
	p("    jetstream: enabled")
	p("    users: [")
	p("      {user: corral, password: $%s, permissions: {", WorkerSecret)
	p("        publish: {allow: %s}", list(o.workerPub(), 10))
	p("        subscribe: {allow: %s}", list(o.workerSub(), 10))
	p("      }}")
	p("    ]")
	p("    imports: [")
	for _, i := range o.imports() {
		p(`      {stream: {account: %s, subject: "%s"}, to: "%s"}`, word(i.account), i.subject, i.to)
	}
	p("    ]")
	p("  }")
	p("}")
	p("")
	o.stream(p)
	return b.String(), nil
}

// plain are names that the configuration language takes for nothing else: 2K is a
// number there, on a truth.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// word is a name as the configuration has it, in quotes where it needs them.
func word(name string) string {
	switch strings.ToLower(name) {
	case "true", "false", "on", "off", "yes", "no", "include":
		return strconv.Quote(name)
	}
	if !plain.MatchString(name) {
		return strconv.Quote(name)
	}
	return name
}

func (o Options) configExports(p func(string, ...any), account string) {
	p("    exports: [")
	for _, subject := range o.exports(account) {
		p(`      {stream: "%s", accounts: [%s]}`, subject, word(o.Observer))
	}
	p("    ]")
}

// stream says how the stream is made and the worker started.
func (o Options) stream(p func(string, ...any)) {
	p("# Once, as an administrator of %s:", o.Observer)
	p("#   nats stream add %s --subjects 'obs.>' --retention limits --discard old --max-age 7d --max-bytes 2GB --dupe-window 2m --storage file --defaults", o.Stream)
	p("# The worker. The subscription beside the stream is for what JetStream cannot keep")
	p("# when it has lost its quorum; what comes both ways counts once:")
	p("#   corral run --pack nats --user corral --stream %s --subject 'obs.>' --poll 30s --poll-user corral-poll --poll-password-file FILE --state kv:%s", o.Stream, o.Bucket)
}

func list(subjects []string, indent int) string {
	var b strings.Builder
	b.WriteString("[")
	for _, s := range subjects {
		fmt.Fprintf(&b, "\n%s%q", strings.Repeat(" ", indent), s)
	}
	b.WriteString("]")
	return b.String()
}

// NSC is a shell script of nsc commands, for systems in operator mode. The
// operator and the accounts other than the observer must exist.
func NSC(o Options) (string, error) {
	o, err := o.complete()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("#!/bin/sh -e")
	p("# What corral needs to see everything that happens in this NATS system.")
	p("nsc add account --name %s", o.Observer)
	p("nsc edit account --name %s --js-tier 0 --js-disk-storage -1 --js-mem-storage -1 --js-streams -1 --js-consumer -1", o.Observer)
	p(`OBS=$(nsc describe account --name %s --field sub | tr -d '"')`, o.Observer)
	p("")
	p("# Exports that only %s may import.", o.Observer)
	for n, i := range o.imports() {
		p("nsc add export --account %s --name corral-%d --subject '%s' --private", i.account, n+1, i.subject)
	}
	p("")
	p("# Under obs.> there, with a token of the exporter's for each.")
	for n, i := range o.imports() {
		p(`nsc generate activation --account %s --subject '%s' --target-account "$OBS" --output-file corral-%d.act`, i.account, i.subject, n+1)
		p("nsc add import --account %s --name corral-%d --token corral-%d.act --local-subject '%s'", o.Observer, n+1, n+1, i.to)
	}
	p("")
	p("# The worker, and the one who asks the servers.")
	p("nsc add user --account %s --name corral --allow-pub '%s' --allow-sub '%s'", o.Observer, strings.Join(o.workerPub(), ","), strings.Join(o.workerSub(), ","))
	p("nsc add user --account %s --name corral-poll --allow-pub '%s' --allow-sub '%s'", o.System, strings.Join(pollPub(), ","), strings.Join(pollSub(), ","))
	p("nsc generate creds --account %s --name corral > corral.creds", o.Observer)
	p("nsc generate creds --account %s --name corral-poll > corral-poll.creds", o.System)
	p("nsc push --all")
	p("")
	o.stream(p)
	return strings.NewReplacer("--user corral ", "--creds corral.creds ", "--poll-user corral-poll --poll-password-file FILE", "--poll-creds corral-poll.creds").Replace(b.String()), nil
}

// Formats are the names of what can be printed.
func Formats() []string { return []string{"config", "nsc"} }

// Print is Config or NSC by name.
func Print(format string, o Options) (string, error) {
	switch {
	case format == "nsc":
		return NSC(o)
	case slices.Contains(Formats(), format):
		return Config(o)
	}
	return "", fmt.Errorf("format %q: want %s", format, strings.Join(Formats(), " or "))
}
