package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/natssetup"
	"corral/internal/natstest"
)

// configured is a server set up as `corral nats-setup` prints it: in one of its
// two ways, with users that are the test's own beside.
type configured struct {
	*natstest.Server
	app, admin   nats.Option       // of the observed account, and of the observer's with all rights
	worker, poll nats.Option       // the users that were printed
	flags        map[string]string // with which corral connects as them
}

// printed is what nats-setup prints for the account APP.
func printed(t *testing.T, format string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"nats-setup", "--account", "APP", "--format", format}, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	return out.String()
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// byConfig boots a server with the printed configuration.
func byConfig(t *testing.T) *configured {
	t.Helper()
	t.Setenv(natssetup.WorkerSecret, "worker-secret")
	t.Setenv(natssetup.PollSecret, "poll-secret")
	text := strings.Replace(printed(t, "config"), "  APP {\n", "  APP {\n    users: [{user: app, password: s}]\n", 1)
	text = strings.Replace(text, "    users: [\n      {user: corral,", "    users: [\n      {user: admin, password: s}\n      {user: corral,", 1)
	return &configured{
		Server: natstest.Start(t, natstest.JetStream(), natstest.Config(text)),
		app:    nats.UserInfo("app", "s"), admin: nats.UserInfo("admin", "s"),
		worker: nats.UserInfo("corral", "worker-secret"), poll: nats.UserInfo("corral-poll", "poll-secret"),
		flags: map[string]string{
			"--user": "corral", "--password-file": secretFile(t, "worker-secret"),
			"--poll-user": "corral-poll", "--poll-password-file": secretFile(t, "poll-secret"),
		},
	}
}

// byNSC carries out the printed commands on a system in operator mode.
func byNSC(t *testing.T) *configured {
	t.Helper()
	o := natstest.NewOperated(t, "SYS", "APP")
	o.NSC(printed(t, "nsc"))
	creds := func(name string) string { return filepath.Join(o.Dir, name) }
	return &configured{
		Server: natstest.Start(t, natstest.JetStream(), o.Config()),
		app:    nats.UserCredentials(o.Account("APP").Creds(0)), admin: nats.UserCredentials(o.Account("OBS").Creds(0)),
		worker: nats.UserCredentials(creds("corral.creds")), poll: nats.UserCredentials(creds("corral-poll.creds")),
		flags: map[string]string{"--creds": creds("corral.creds"), "--poll-creds": creds("corral-poll.creds")},
	}
}

// setups are the ways to set up a system.
var setups = map[string]func(*testing.T) *configured{"config": byConfig, "nsc": byNSC}

// TestNATSPackNeedsAURLAndTwoCredentials: no rule written, no stream made, no
// subject named. One fault that the system account knows of, one that the users'
// account does, one that nobody announces.
func TestNATSPackNeedsAURLAndTwoCredentials(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) { findsFaults(t, setup(t)) })
	}
}

// TestNATSSetupIsAllAWorkerNeeds reads the printed stream, keeps its state in the
// printed bucket.
func TestNATSSetupIsAllAWorkerNeeds(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			srv := setup(t)
			if _, err := srv.JetStream(srv.admin).CreateStream(t.Context(), jetstream.StreamConfig{Name: "OBS", Subjects: []string{"obs.>"}}); err != nil {
				t.Fatal(err)
			}
			findsFaults(t, srv, "--stream", "OBS", "--subject", "obs.>", "--state", "kv:corral", "--snapshot-every", "200ms")
		})
	}
}

// findsFaults runs the worker with nothing but the pack, and makes faults.
func findsFaults(t *testing.T, srv *configured, more ...string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "incidents.ndjson")
	args := []string{"run", "--pack", "nats", "--nats", srv.URL(), "--no-context", "--lateness", "3s", "--poll", "1s", "--listen", "", "-o", "ndjson", out}
	for flag, value := range srv.flags {
		args = append(args, flag, value)
	}
	p := start(t, append(args, more...)...)
	until(t, "the worker runs", func() bool { return strings.Contains(p.log.String(), "msg=running") })
	for range 3 {
		if nc, err := nats.Connect(srv.URL(), nats.UserInfo("mallory", "guess"), nats.Name("mallory"), nats.Timeout(time.Minute)); err == nil {
			nc.Close()
			t.Fatal("logged in with a wrong password")
		}
	}
	poison(t, srv.JetStream(srv.app))
	for _, rule := range []string{"nats-auth-failure", "js-poison-message", "js-stream-full"} {
		until(t, "an incident of "+rule, func() bool {
			data, err := os.ReadFile(out)
			return err == nil && bytes.Contains(data, []byte(`"rule_id":"`+rule+`"`))
		})
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(strings.ToLower(line), "permission") || strings.Contains(line, "level=ERROR") {
			t.Errorf("the worker lacks something: %s", line)
		}
	}
}

// until is for what takes a second, on a machine that may be busy.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still waiting after two minutes: %s", what)
		}
	}
}

// poison fills a stream to its limit with messages, the first of which its
// consumer refuses until JetStream gives up.
func poison(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx := t.Context()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}, MaxMsgs: 2, Discard: jetstream.DiscardNew}); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "billing", MaxDeliver: 2, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := js.Publish(ctx, "orders", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(msgs.Stop)
	go func() {
		for {
			m, err := msgs.Next()
			if err != nil {
				return
			}
			if meta, err := m.Metadata(); err == nil && meta.Sequence.Stream == 1 {
				_ = m.Nak()
				continue
			}
			_ = m.Ack()
		}
	}()
}

// Neither user may publish or read anything that is not needed, whichever way it
// was made.
func TestNATSSetupGivesNoRightTooMany(t *testing.T) {
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			srv := setup(t)
			t.Run("corral", func(t *testing.T) {
				refuses(t, srv, srv.worker,
					[]string{"orders", "obs.sys.SERVER.X.SHUTDOWN", "$JS.API.STREAM.DELETE.OBS", "$JS.API.STREAM.PURGE.OBS", "$JS.API.STREAM.UPDATE.OBS", "$JS.API.STREAM.CREATE.OTHER", "$SYS.REQ.SERVER.PING.VARZ"},
					[]string{">", "orders", "$JS.API.>", "$JS.>", "alert.v1.>"})
			})
			t.Run("corral-poll", func(t *testing.T) {
				refuses(t, srv, srv.poll,
					[]string{"orders", "$SYS.REQ.SERVER.X.KICK", "$SYS.REQ.SERVER.X.LDM", "$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING.VARZ"},
					[]string{">", "$SYS.>", "$SYS.ACCOUNT.>", "$SYS.REQ.>"})
			})
		})
	}
}

// refuses checks that the server refuses a user these subjects.
func refuses(t *testing.T, srv *configured, user nats.Option, pub, sub []string) {
	t.Helper()
	refused := make(chan string, 100)
	nc := srv.Connect(user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() }))
	await := func(subject string, err error) {
		t.Helper()
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		until(t, "a refusal of "+subject, func() bool {
			select {
			case text := <-refused:
				return strings.Contains(text, `"`+subject+`"`)
			default:
				return false
			}
		})
	}
	for _, subject := range pub {
		await(subject, nc.Publish(subject, nil))
	}
	for _, subject := range sub {
		_, err := nc.SubscribeSync(subject)
		await(subject, err)
	}
}

func TestNATSSetupMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "corral nats-setup: no account is named whose JetStream is to be observed\n"},
		{[]string{"--account", "A B"}, "corral nats-setup: account name \"A B\": want letters, digits, _ and -\n"},
		{[]string{"--account", "SYS"}, "corral nats-setup: account \"SYS\" is named twice\n"},
		{[]string{"--account", "A", "--stream", "a.b"}, "corral nats-setup: name \"a.b\": want up to 32 letters, digits, _ and -\n"},
		{[]string{"--account", "A", "--format", "yaml"}, "corral nats-setup: format \"yaml\": want config or nsc\n"},
		{[]string{"--account", "A", "B"}, "corral nats-setup: unexpected argument \"B\"\n"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"nats-setup"}, tt.args...), strings.NewReader(""), &out, &errs)
		if code != exitUsage || errs.String() != tt.want || out.Len() > 0 {
			t.Errorf("%q: exit code %d, said %q, want %q", tt.args, code, errs.String(), tt.want)
		}
	}
}
