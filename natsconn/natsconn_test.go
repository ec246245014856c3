package natsconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corral/internal/natstest"
	"corral/internal/testlog"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"
)

// noEnv is an environment without anything in it.
func noEnv(string) string { return "" }

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// connect resolves o without the environment of the test and connects.
func connect(t *testing.T, o *Options) (*nats.Conn, error) {
	t.Helper()
	o.FailFast = true
	if err := o.resolve(noEnv); err != nil {
		return nil, err
	}
	nc, err := o.Connect(t.Context(), quiet())
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

func tempFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAuthentication(t *testing.T) {
	operator, account := natstest.Operator(t)
	token, seed := account.User(0)
	_, otherSeed := account.User(0)
	nkeyFile, nkeyUser := natstest.NKey(t)
	strangeKey, _ := natstest.NKey(t)
	password := natstest.Config(`authorization { users [{user: a, password: secret}] }`)
	tokens := natstest.Config(`authorization { token: "t0ken" }`)
	nkey := natstest.Config(fmt.Sprintf(`authorization { users [{nkey: %s}] }`, nkeyUser))
	tests := []struct {
		name   string
		server natstest.Option
		good   Options
		bad    Options
	}{
		{"password", password, Options{User: "a", Password: "secret"}, Options{User: "a", Password: "wrong"}},
		{"password file", password, Options{User: "a", PasswordFile: tempFile(t, "secret\n")}, Options{User: "a", PasswordFile: tempFile(t, "wrong")}},
		{"token", tokens, Options{Token: "t0ken"}, Options{Token: "wrong"}},
		{"token file", tokens, Options{TokenFile: tempFile(t, "t0ken\n")}, Options{}},
		{"token as user", tokens, Options{User: "t0ken"}, Options{User: "wrong"}},
		{"nkey", nkey, Options{NKey: nkeyFile}, Options{NKey: strangeKey}},
		{"creds", operator, Options{Creds: account.Creds(0)}, Options{}},
		{"jwt", operator, Options{JWT: token, Seed: seed}, Options{JWT: token, Seed: otherSeed}},
		{"jwt in files", operator, Options{JWT: tempFile(t, token), Seed: tempFile(t, seed+"\n")}, Options{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := natstest.Start(t, tt.server).URL()
			tt.good.URL, tt.bad.URL = url, url
			nc, err := connect(t, &tt.good)
			if err != nil {
				t.Fatalf("connect: %v", err)
			}
			if err := nc.Flush(); err != nil {
				t.Error(err)
			}
			if _, err := connect(t, &tt.bad); !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("with the wrong secret: %v, want an authorization violation", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	certs, others := natstest.NewCerts(t), natstest.NewCerts(t)
	config := func(more string) natstest.Option {
		return natstest.Config(fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, %s }", certs.Cert, certs.Key, certs.CA, more))
	}
	tests := []struct {
		name   string
		server natstest.Option
		opts   Options
		want   string // in the error
	}{
		{"trusted authority", config(""), Options{CA: certs.CA}, ""},
		{"unknown authority", config(""), Options{CA: others.CA}, "unknown authority"},
		{"client certificate", config("verify: true"), Options{CA: certs.CA, Cert: certs.Cert, Key: certs.Key}, ""},
		{"no client certificate", config("verify: true"), Options{CA: certs.CA}, "tls"},
		{"handshake first", config("handshake_first: true"), Options{CA: certs.CA, TLSFirst: true}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.URL = natstest.Start(t, tt.server).URL()
			nc, err := connect(t, &tt.opts)
			if err == nil {
				err = nc.Flush()
			}
			if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestResolveOrder(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "nats", "context")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	creds := tempFile(t, "creds")
	for name, text := range map[string]string{
		"context/prod.json":  `{"url":"nats://prod:4222","creds":"` + creds + `","jetstream_domain":"hub","inbox_prefix":"_X","description":"d"}`,
		"context/dev.json":   `{"url":"nats://dev:4222","user":"dev","password":"d","tls_first":true}`,
		"context/nsc.json":   `{"nsc":"nsc://o/a/u"}`,
		"context/wrong.json": `{`,
		"context.txt":        "dev\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "nats", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home := map[string]string{"XDG_CONFIG_HOME": dir}
	with := func(kv ...string) map[string]string {
		m := map[string]string{"XDG_CONFIG_HOME": dir}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	tests := []struct {
		name string
		args string
		env  map[string]string
		want string // url, credentials, domain, inbox, TLS first
		err  string
	}{
		{"nothing", "", nil, "nats://127.0.0.1:4222    false", ""},
		{"the selected context", "", home, "nats://dev:4222 dev:d   true", ""},
		{"not the selected context", "--no-context", home, "nats://127.0.0.1:4222    false", ""},
		{"a URL needs no context", "--nats nats://x", home, "nats://x    false", ""},
		{"a context by flag", "--context prod", home, "nats://prod:4222 creds hub _X false", ""},
		{"a context by environment", "", with("NATS_CONTEXT", "prod"), "nats://prod:4222 creds hub _X false", ""},
		{"flags before the context", "--context prod --user u --nats nats://y --js-domain d", home, "nats://y u: d _X false", ""},
		{"flags before the environment", "--nats nats://x --user f", with("NATS_URL", "nats://e", "NATS_PASSWORD", "p"), "nats://x f:p   false", ""},
		{"an unknown context", "--context none", home, "", "context none: unknown; there are: dev, nsc, prod, wrong"},
		{"a path is no name", "--context ../x", home, "", `context "../x" is not a name`},
		{"nsc", "--context nsc", home, "", "context nsc: takes its credentials from nsc, which corral cannot ask: name a credentials file with --creds"},
		{"a damaged context", "--context wrong", home, "", "context wrong: unexpected end of JSON input"},
		{"two identities", "--user u --token t", nil, "", "more than one way to authenticate: user, token"},
		{"half a pair", "--jwt eyJ --tlscert x", nil, "", "jwt and seed go together\ntlscert and tlskey go together\nopen x: no such file or directory"},
		{"a missing file", "--creds /none/x", nil, "", "open /none/x: no such file or directory"},
		{"a password alone", "--password p", nil, "", "a password needs a user"},
		{"not a duration", "--timeout soon", nil, "", `timeout "soon" is not a positive duration`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o Options
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.AddFlags(fs)
			if err := fs.Parse(strings.Fields(tt.args)); err != nil {
				t.Fatal(err)
			}
			err := o.resolve(env(tt.env))
			if got := fmt.Sprint(err); tt.err != "" && got != tt.err || tt.err == "" && err != nil {
				t.Fatalf("got error %q, want %q", got, tt.err)
			}
			if err != nil {
				return
			}
			var who string
			switch {
			case o.Creds != "":
				who = "creds"
			case o.User != "":
				who = o.User + ":" + o.Password
			}
			if got := fmt.Sprint(o.URL, " ", who, " ", o.Domain, " ", o.InboxPrefix, " ", o.TLSFirst); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`authorization { users [{user: a, password: s3cret}] }`))
	var log testlog.Buffer
	o := &Options{FailFast: true}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	url := strings.Replace(s.URL(), "://", "://a:s3cret@", 1)
	if err := fs.Parse([]string{"--nats", url, "--password", "s3cret", "--user", "a"}); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(&log, nil))
	nc, err := o.Connect(t.Context(), logger)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s.Restart()
	natstest.Eventually(t, "the reconnect", func() bool { return o.Counts().Reconnects == 1 })
	wrong := &Options{FailFast: true, URL: strings.Replace(url, "s3cret", "s3cret-wrong", 1)}
	if _, err := wrong.Connect(t.Context(), logger); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"nats://u:s3cret@127.0.0.1:port", "u:s3cret@127.0.0.1:port", "nats://127.0.0.1:4222, nats://u:s3cret@:%zz", "nats://u:s3cret/x@127.0.0.1"} {
		_, err := (&Options{FailFast: true, URL: bad, NoContext: true}).Connect(t.Context(), logger)
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "is not a URL") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if text := log.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, "flags=[--password]") {
		t.Errorf("log: %s", text)
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	s := natstest.Start(t)
	s.Stop()
	o := &Options{URL: s.URL()}
	type result struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan result, 1)
	var log testlog.Buffer
	go func() {
		nc, err := o.Connect(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
		done <- result{nc, err}
	}()
	natstest.Eventually(t, "the first failure", func() bool { return strings.Contains(log.String(), "waiting") })
	s.Restart()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	r.nc.Close()

	s.Stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("gave up")
	cancel(why)
	if _, err := o.Connect(ctx, quiet()); !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
	fast := &Options{URL: s.URL(), FailFast: true}
	if _, err := fast.Connect(t.Context(), quiet()); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("got %v, want no servers", err)
	}
}

// Credentials expire, the server throws us out again and again, and when the
// file has been renewed we are back.
func TestRotatedCredentials(t *testing.T) {
	operator, account := natstest.Operator(t)
	s := natstest.Start(t, operator)
	creds := account.Creds(2 * time.Second)
	o := &Options{URL: s.URL(), Creds: creds}
	nc, err := connect(t, o)
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "several refusals", func() bool { return o.Counts().FailedAttempts > 3 })
	if nc.IsClosed() {
		t.Fatal("the connection gave up")
	}
	renewed, err := os.ReadFile(account.Creds(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(creds, renewed, 0o600); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the reconnect", nc.IsConnected)
}

func TestErrorsAreCounted(t *testing.T) {
	s := natstest.Start(t, natstest.Config(`authorization { users [
		{user: a, password: a, permissions: {publish: ["ok.>"], subscribe: ["ok.>"]}}] }`))
	o := &Options{URL: s.URL(), User: "a", Password: "a"}
	nc, err := connect(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("forbidden", nil); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the permission error", func() bool { return o.Counts().PermissionErrors == 1 })

	block := make(chan struct{})
	defer close(block)
	sub, err := nc.Subscribe("ok.slow", func(*nats.Msg) { <-block })
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(1, 1000); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the slow consumer", func() bool {
		_ = nc.Publish("ok.slow", []byte("x"))
		return o.Counts().SlowConsumers > 0
	})
}

// The servers' shutdown is announced: the client goes to the other one before it
// is thrown out.
func TestLameDuck(t *testing.T) {
	servers := natstest.Cluster(t, 2, natstest.With(func(o *server.Options) {
		o.LameDuckDuration, o.LameDuckGracePeriod = time.Minute, 30*time.Second
	}))
	o := &Options{URL: servers[0].URL()}
	nc, err := connect(t, o)
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "both servers known", func() bool { return len(nc.Servers()) == 2 })
	first := nc.ConnectedServerId()
	for _, s := range servers {
		if s.ID() == first {
			go s.LameDuckShutdown()
		}
	}
	natstest.Eventually(t, "the change to the other server", func() bool {
		id := nc.ConnectedServerId()
		return id != "" && id != first
	})
	natstest.Eventually(t, "both counted", func() bool {
		c := o.Counts()
		return c.LameDucks == 1 && c.Reconnects == 1
	})
}

func TestJetStreamDomain(t *testing.T) {
	s := natstest.Start(t, natstest.JetStream(), natstest.With(func(o *server.Options) { o.JetStreamDomain = "hub" }))
	for _, o := range []*Options{{URL: s.URL(), Domain: "hub"}, {URL: s.URL(), APIPrefix: "$JS.hub.API"}, {URL: s.URL()}} {
		nc, err := connect(t, o)
		if err != nil {
			t.Fatal(err)
		}
		js, err := o.JetStream(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.AccountInfo(t.Context()); err != nil {
			t.Errorf("domain %q, prefix %q: %v", o.Domain, o.APIPrefix, err)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"nats://u:p@h:4222":             "nats://h:4222",
		"u:p@h":                         "nats://h",
		"tls://t0ken@a:1, nats://b:2":   "tls://a:1,nats://b:2",
		"nats://u:p%40x@y@h":            "nats://h",
		"nats://plain:4222":             "nats://plain:4222",
		"wss://u:p@h/path?query=secret": "wss://h/path?query=secret",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDelayGrowsAndIsBounded(t *testing.T) {
	for attempts := range 100 {
		d := delay(attempts)
		if d < minDelay/2 || d > maxDelay {
			t.Fatalf("delay(%d) = %v", attempts, d)
		}
		if attempts > 10 && d < maxDelay/2 {
			t.Fatalf("delay(%d) = %v, want at least %v", attempts, d, maxDelay/2)
		}
	}
}
