// Package natsconn connects to NATS as the nats command does: the same flags,
// environment variables and contexts; and stays connected whatever happens.
package natsconn

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// DefaultURL is where a server is looked for when nothing names one.
const DefaultURL = "nats://127.0.0.1:4222"

// Options say where the server is and who we are. What a flag does not say, the
// environment may; what neither says, the context. The zero value is the local
// server, or the context the nats command has selected.
type Options struct {
	URL       string // one or more, comma-separated
	Context   string // of the nats command
	NoContext bool   // do not use the selected context

	// One of: a credentials file, the file of an nkey seed, a name with a password,
	// a token, a user JWT with its seed. Files are read again at each reconnect, so
	// that they may be rotated.
	Creds, NKey            string
	User                   string // without a password it is a token, as for the nats command
	Password, PasswordFile string
	Token, TokenFile       string
	JWT, Seed              string // themselves or the names of files

	CA, Cert, Key string // files
	TLSFirst      bool

	Name        string // of the connection
	InboxPrefix string
	Domain      string // of JetStream
	APIPrefix   string // of JetStream
	SOCKSProxy  string // host:port
	Timeout     time.Duration
	FailFast    bool // Connect returns the first failure instead of trying on

	flags       *pflag.FlagSet
	timeout     string
	resolved    bool
	exposed     []string // flags that showed a secret to the other users of the machine
	contextUsed string
	counts      *counters
	log         *slog.Logger
}

// setting is a text option under its flag and its environment variable.
type setting struct {
	to        *string
	flag, env string
	usage     string
	secret    bool
}

func (o *Options) settings() []setting {
	return []setting{
		{&o.URL, "nats", "NATS_URL", "NATS server URLs", false},
		{&o.Context, "context", "NATS_CONTEXT", "context of the nats command", false},
		{&o.Creds, "creds", "NATS_CREDS", "credentials file", false},
		{&o.NKey, "nkey", "NATS_NKEY", "file with the seed of an nkey", false},
		{&o.User, "user", "NATS_USER", "user name, or a token", false},
		{&o.Password, "password", "NATS_PASSWORD", "password; other users of the machine can see it, better use the variable or --password-file", true},
		{&o.PasswordFile, "password-file", "NATS_PASSWORD_FILE", "file with the password", false},
		{&o.Token, "token", "NATS_TOKEN", "token; other users of the machine can see it, better use the variable or --token-file", true},
		{&o.TokenFile, "token-file", "NATS_TOKEN_FILE", "file with the token", false},
		{&o.JWT, "jwt", "NATS_JWT", "user JWT, or a file with it", false},
		{&o.Seed, "seed", "NATS_SEED", "seed of the user JWT's key, or a file with it", true},
		{&o.CA, "tlsca", "NATS_CA", "file with the certificates of trusted authorities", false},
		{&o.Cert, "tlscert", "NATS_CERT", "file with the client's certificate", false},
		{&o.Key, "tlskey", "NATS_KEY", "file with the client's key", false},
		{&o.timeout, "timeout", "NATS_TIMEOUT", "how long one attempt to connect may take (default 5s)", false},
		{&o.SOCKSProxy, "socks-proxy", "NATS_SOCKS_PROXY", "SOCKS5 proxy, host:port", false},
		{&o.InboxPrefix, "inbox-prefix", "NATS_INBOX_PREFIX", "prefix of reply subjects", false},
		{&o.Domain, "js-domain", "NATS_JS_DOMAIN", "JetStream domain", false},
		{&o.APIPrefix, "js-api-prefix", "NATS_JS_API_PREFIX", "prefix of the JetStream API", false},
		{&o.Name, "connection-name", "NATS_CONNECTION_NAME", "name of the connection (default corral)", false},
	}
}

// AddFlags adds a flag for every option.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.flags = fs
	for _, s := range o.settings() {
		fs.StringVar(s.to, s.flag, "", s.usage+" (env "+s.env+")")
	}
	fs.BoolVar(&o.TLSFirst, "tlsfirst", false, "TLS handshake before the server's greeting")
	fs.BoolVar(&o.NoContext, "no-context", false, "do not use the context that the nats command has selected")
}

// Resolve completes the options from the environment and from a context, and
// checks them. Connect does it too; a caller that wants to tell mistakes in the
// configuration from failures to connect calls it first.
func (o *Options) Resolve() error { return o.resolve(os.Getenv) }

func (o *Options) resolve(env func(string) string) error {
	if o.resolved {
		return nil
	}
	for _, s := range o.settings() {
		if s.secret && o.flags != nil && o.flags.Changed(s.flag) {
			o.exposed = append(o.exposed, "--"+s.flag)
		}
		*s.to = cmp.Or(*s.to, env(s.env))
	}
	if err := o.applyContext(env); err != nil {
		return err
	}
	if err := o.parseTimeout(); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	o.URL = cmp.Or(o.URL, DefaultURL)
	o.Name = cmp.Or(o.Name, "corral")
	o.resolved = true
	return nil
}

func (o *Options) parseTimeout() error {
	if o.timeout != "" {
		d, err := time.ParseDuration(o.timeout)
		if err != nil || d <= 0 {
			return fmt.Errorf("timeout %q is not a positive duration", o.timeout)
		}
		o.Timeout = cmp.Or(o.Timeout, d)
	}
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	return nil
}

// hasCredentials reports whether anything says who we are.
func (o *Options) hasCredentials() bool { return len(o.methods()) > 0 }

// methods are the ways of authentication that are given.
func (o *Options) methods() (given []string) {
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"creds", o.Creds != ""},
		{"nkey", o.NKey != ""},
		{"user", o.User != ""},
		{"token", o.Token != "" || o.TokenFile != ""},
		{"jwt", o.JWT != ""},
	} {
		if m.given {
			given = append(given, m.name)
		}
	}
	return given
}

func (o *Options) check() error {
	var errs []error
	if m := o.methods(); len(m) > 1 {
		errs = append(errs, fmt.Errorf("more than one way to authenticate: %s", strings.Join(m, ", ")))
	}
	for _, pair := range []struct {
		wrong bool
		text  string
	}{
		{(o.JWT == "") != (o.Seed == ""), "jwt and seed go together"},
		{(o.Cert == "") != (o.Key == ""), "tlscert and tlskey go together"},
		{o.User == "" && (o.Password != "" || o.PasswordFile != ""), "a password needs a user"},
		{o.Password != "" && o.PasswordFile != "", "both a password and a file with one"},
		{o.Token != "" && o.TokenFile != "", "both a token and a file with one"},
		{o.Domain != "" && o.APIPrefix != "", "js-domain and js-api-prefix exclude each other"},
	} {
		if pair.wrong {
			errs = append(errs, errors.New(pair.text))
		}
	}
	return errors.Join(append(errs, checkURLs(o.URL), o.checkFiles())...)
}

// checkURLs finds what the client would refuse with an error that shows all of it,
// the password too.
func checkURLs(list string) error {
	var errs []error
	for _, u := range strings.Split(list, ",") {
		u = strings.TrimSpace(u)
		if !strings.Contains(u, "://") {
			u = "nats://" + u
		}
		_, err := url.Parse(u)
		var bad *url.Error
		switch {
		case err == nil:
		case strings.Contains(u, "@"):
			errs = append(errs, fmt.Errorf("%s is not a URL (details hidden because they may contain the password; URL-encode user and password)", redact(u)))
		case errors.As(err, &bad):
			errs = append(errs, fmt.Errorf("%s is not a URL: %w", u, bad.Err))
		}
	}
	return errors.Join(errs...)
}

// checkFiles opens every file that is named, so that a mistake shows now and not
// as a connection that never comes.
func (o *Options) checkFiles() error {
	var errs []error
	for _, name := range []*string{&o.Creds, &o.NKey, &o.PasswordFile, &o.TokenFile, &o.CA, &o.Cert, &o.Key} {
		if *name == "" {
			continue
		}
		*name = expandHome(*name)
		f, err := os.Open(*name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_ = f.Close() // was only looked at
	}
	return errors.Join(errs...)
}

// readSecret returns what a file holds without the newline at its end.
func readSecret(name string) (string, error) {
	data, err := os.ReadFile(name)
	return strings.TrimSpace(string(data)), err
}

// textOrFile returns s itself if it begins as the secret does, else what the
// file of that name holds.
func textOrFile(s, prefix string) (string, error) {
	if s == "" || strings.HasPrefix(s, prefix) {
		return s, nil
	}
	return readSecret(expandHome(s))
}

func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return home + "/" + rest
}
