package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"corral/internal/natssetup"
	"corral/internal/natstest"
)

// setUp boots a server with the printed configuration and two users that are the
// test's own: one of the observed account, one who may make the stream.
func setUp(t *testing.T) *natstest.Server {
	t.Helper()
	t.Setenv(natssetup.WorkerSecret, "worker-secret")
	t.Setenv(natssetup.PollSecret, "poll-secret")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"nats-setup", "--account", "APP"}, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	text := strings.Replace(out.String(), "  APP {\n", "  APP {\n    users: [{user: app, password: s}]\n", 1)
	text = strings.Replace(text, "    users: [\n      {user: corral,", "    users: [\n      {user: admin, password: s}\n      {user: corral,", 1)
	srv := natstest.Start(t, natstest.JetStream(), natstest.Config(text))
	js := srv.JetStream(nats.UserInfo("admin", "s"))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OBS", Subjects: []string{"obs.>"}}); err != nil {
		t.Fatal(err)
	}
	return srv
}

func TestNATSSetupIsAllAWorkerNeeds(t *testing.T) {
	srv := setUp(t)
	dir := t.TempDir()
	password := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out := filepath.Join(dir, "incidents.ndjson")
	p := start(t, "run", "--pack", "nats", "--nats", srv.URL(), "--no-context",
		"--user", "corral", "--password-file", password("worker", "worker-secret"),
		"--stream", "OBS", "--subject", "obs.>", "--state", "kv:corral", "--snapshot-every", "200ms", "--lateness", "200ms",
		"--poll", "1s", "--poll-user", "corral-poll", "--poll-password-file", password("poll", "poll-secret"),
		"--listen", "", "-o", "ndjson", out)
	natstest.Eventually(t, "the worker runs", func() bool { return strings.Contains(p.log.String(), "msg=running") })

	// One fault that the system account knows of, one that the users' account
	// does, one that nobody announces.
	for range 3 {
		if nc, err := nats.Connect(srv.URL(), nats.UserInfo("mallory", "guess"), nats.Name("mallory")); err == nil {
			nc.Close()
			t.Fatal("logged in with a wrong password")
		}
	}
	poison(t, srv.JetStream(nats.UserInfo("app", "s")))
	for _, rule := range []string{"nats-auth-failure", "js-poison-message", "js-stream-full"} {
		natstest.Eventually(t, "an incident of "+rule, func() bool {
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

func TestNATSSetupGivesNoRightTooMany(t *testing.T) {
	srv := setUp(t)
	users := map[string]struct {
		password string
		pub, sub []string
	}{
		"corral": {
			"worker-secret",
			[]string{"orders", "obs.sys.SERVER.X.SHUTDOWN", "$JS.API.STREAM.DELETE.OBS", "$JS.API.STREAM.PURGE.OBS", "$JS.API.STREAM.UPDATE.OBS", "$JS.API.STREAM.CREATE.OTHER", "$SYS.REQ.SERVER.PING.VARZ"},
			[]string{">", "orders", "$JS.API.>", "alert.v1.>"},
		},
		"corral-poll": {
			"poll-secret",
			[]string{"orders", "$SYS.REQ.SERVER.X.KICK", "$SYS.REQ.SERVER.X.LDM", "$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING.VARZ"},
			[]string{">", "$SYS.>", "$SYS.ACCOUNT.>"},
		},
	}
	for user, u := range users {
		t.Run(user, func(t *testing.T) {
			refused := make(chan string, 100)
			nc := srv.Connect(nats.UserInfo(user, u.password), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				refused <- err.Error()
			}))
			await := func(subject string) {
				t.Helper()
				if err := nc.Flush(); err != nil {
					t.Fatal(err)
				}
				natstest.Eventually(t, "a refusal of "+subject, func() bool {
					select {
					case text := <-refused:
						return strings.Contains(text, `"`+subject+`"`)
					default:
						return false
					}
				})
			}
			for _, subject := range u.pub {
				if err := nc.Publish(subject, nil); err != nil {
					t.Fatal(err)
				}
				await(subject)
			}
			for _, subject := range u.sub {
				if _, err := nc.SubscribeSync(subject); err != nil {
					t.Fatal(err)
				}
				await(subject)
			}
		})
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
