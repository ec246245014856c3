package natsconn

import "fmt"

// User is who a connection is made as: a credentials file, the file of an nkey
// seed, or a name and the file with its password.
type User struct {
	Creds, NKey, Name, PasswordFile string
}

// IsZero reports whether nobody is named.
func (u User) IsZero() bool { return u == User{} }

// As returns options for another connection to the same servers in the same way,
// as somebody else. Like Connect it completes o first. A client certificate goes
// with it.
func (o *Options) As(u User, name string) (*Options, error) {
	if err := o.Resolve(); err != nil {
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	other := &Options{
		URL: o.URL, Creds: u.Creds, NKey: u.NKey, User: u.Name, PasswordFile: u.PasswordFile,
		CA: o.CA, Cert: o.Cert, Key: o.Key, TLSFirst: o.TLSFirst, SOCKSProxy: o.SOCKSProxy, Timeout: o.Timeout,
		Name: name, FailFast: o.FailFast, resolved: true,
	}
	if err := other.check(); err != nil {
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	return other, nil
}
