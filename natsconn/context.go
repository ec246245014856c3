package natsconn

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// natsContext is the part of a context file of the nats command that a
// connection needs.
type natsContext struct {
	URL       string `json:"url"`
	Token     string `json:"token"`
	User      string `json:"user"`
	Password  string `json:"password"`
	Creds     string `json:"creds"`
	NKey      string `json:"nkey"`
	Cert      string `json:"cert"`
	Key       string `json:"key"`
	CA        string `json:"ca"`
	NSC       string `json:"nsc"`
	SOCKS     string `json:"socks_proxy"`
	Domain    string `json:"jetstream_domain"`
	APIPrefix string `json:"jetstream_api_prefix"`
	Inbox     string `json:"inbox_prefix"`
	JWT       string `json:"user_jwt"`
	Seed      string `json:"user_seed"`
	TLSFirst  bool   `json:"tls_first"`
}

// applyContext fills what is still unset from the context that is named, or from
// the selected one if nothing says where to connect to. Credentials are taken as
// a whole or not at all.
func (o *Options) applyContext(env func(string) string) error {
	dir, err := contextDir(env)
	if err != nil {
		return err
	}
	name := o.Context
	if name == "" && o.URL == "" && !o.NoContext {
		if name, err = selectedContext(dir); err != nil {
			return err
		}
	}
	if name == "" {
		return nil
	}
	c, err := readContext(dir, name)
	if err != nil {
		return err
	}
	o.contextUsed = name
	o.fill(c)
	return nil
}

func (o *Options) fill(c *natsContext) {
	if !o.hasCredentials() {
		o.Creds, o.NKey, o.User, o.Password, o.Token = c.Creds, c.NKey, c.User, cmp.Or(o.Password, c.Password), c.Token
		o.JWT, o.Seed = c.JWT, cmp.Or(o.Seed, c.Seed)
	}
	if o.Cert == "" && o.Key == "" {
		o.Cert, o.Key = c.Cert, c.Key
	}
	if o.Domain == "" && o.APIPrefix == "" {
		o.Domain, o.APIPrefix = c.Domain, c.APIPrefix
	}
	o.URL = cmp.Or(o.URL, c.URL)
	o.CA = cmp.Or(o.CA, c.CA)
	o.SOCKSProxy = cmp.Or(o.SOCKSProxy, c.SOCKS)
	o.InboxPrefix = cmp.Or(o.InboxPrefix, c.Inbox)
	o.TLSFirst = o.TLSFirst || c.TLSFirst
}

// contextDir is where the nats command keeps its settings.
func contextDir(env func(string) string) (string, error) {
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "nats"), nil
	}
	home := env("HOME")
	if home == "" {
		return "", nil // a container without a home has no contexts
	}
	return filepath.Join(home, ".config", "nats"), nil
}

// selectedContext is "" if there is none.
func selectedContext(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "context.txt"))
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the selected context: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

func readContext(dir, name string) (*natsContext, error) {
	if name != filepath.Base(name) || name == ".." {
		return nil, fmt.Errorf("context %q is not a name", name)
	}
	data, err := os.ReadFile(filepath.Join(dir, "context", name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("context %s: unknown; there are: %s", name, strings.Join(contexts(dir), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("context %s: %w", name, err)
	}
	var c natsContext
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("context %s: %w", name, err)
	}
	if c.NSC != "" && c.Creds == "" {
		return nil, fmt.Errorf("context %s: takes its credentials from nsc, which corral cannot ask: name a credentials file with --creds", name)
	}
	return &c, nil
}

func contexts(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "context", "*.json")) // the pattern is good
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	if len(files) == 0 {
		return []string{"none"}
	}
	return files
}
