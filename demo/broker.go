package demo

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"text/template"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// Names of the broker's observability side; corral needs only these.
const (
	obsStream  = "OBS"   // every signal of the system, in one durable stream
	obsSubject = "obs.>" // …and its subjects
	serverName = "demo-1"
)

// brokerConfig is an ordinary nats-server configuration. APP is where the
// services live. OBS imports what SYS and APP tell about themselves, so that one
// stream with one user holds it all: connects and disconnects, JetStream's
// advisories, statistics, and the logs the services publish.
//
// max_pending is small so that a reader that stops reading is cut within
// seconds; it is well above what corral's own pulls keep in flight.
var brokerConfig = template.Must(template.New("nats.conf").Parse(`
server_name: {{.Name}}
listen: "127.0.0.1:-1"
max_pending: 8MB
write_deadline: "5s"
jetstream { store_dir: {{printf "%q" .Store}}, max_mem: 64MB, max_file: 2GB }

system_account: SYS
accounts {
  SYS {
    users: [ { user: sys, password: {{printf "%q" .Passwords.sys}} } ]
    exports: [ { stream: "$SYS.ACCOUNT.>" }, { stream: "$SYS.SERVER.>" }, { stream: "$JS.EVENT.>" } ]
  }
  APP {
    jetstream: enabled
    users: [
      { user: app, password: {{printf "%q" .Passwords.app}} }
      { user: reports, password: {{printf "%q" .Passwords.reports}} }
    ]
    exports: [ { stream: "$JS.EVENT.>" }, { stream: "logs.>" } ]
  }
  OBS {
    jetstream: enabled
    users: [ { user: corral, password: {{printf "%q" .Passwords.corral}} } ]
    imports: [
      { stream: { account: SYS, subject: "$SYS.ACCOUNT.>" }, to: "obs.sys.ACCOUNT.>" }
      { stream: { account: SYS, subject: "$SYS.SERVER.>" },  to: "obs.sys.SERVER.>" }
      { stream: { account: SYS, subject: "$JS.EVENT.>" },    to: "obs.js.SYS.>" }
      { stream: { account: APP, subject: "$JS.EVENT.>" },    to: "obs.js.APP.>" }
      { stream: { account: APP, subject: "logs.>" },         to: "obs.logs.>" }
    ]
  }
}
`))

// broker is the embedded nats-server with the passwords of its users.
type broker struct {
	srv       *server.Server
	log       *serverLog
	passwords map[string]string
}

func startBroker(dir string) (*broker, error) {
	b := &broker{passwords: map[string]string{}, log: newServerLog()}
	for _, user := range []string{"sys", "app", "reports", "corral"} {
		b.passwords[user] = nuid.Next()
	}
	opts, err := b.options(dir)
	if err != nil {
		return nil, err
	}
	if b.srv, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("create nats-server: %w", err)
	}
	b.srv.SetLogger(b.log, false, false)
	b.srv.Start()
	if !b.srv.ReadyForConnections(10 * time.Second) {
		b.close()
		return nil, errors.New("start nats-server: not ready within 10s")
	}
	return b, nil
}

func (b *broker) options(dir string) (*server.Options, error) {
	var conf bytes.Buffer
	err := brokerConfig.Execute(&conf, map[string]any{
		"Name": serverName, "Store": filepath.Join(dir, "nats"), "Passwords": b.passwords,
	})
	if err != nil {
		return nil, fmt.Errorf("write nats-server configuration: %w", err)
	}
	opts := &server.Options{NoSigs: true}
	if err := opts.ProcessConfigString(conf.String()); err != nil {
		return nil, fmt.Errorf("nats-server configuration: %w", err)
	}
	return opts, nil
}

func (b *broker) url() string { return b.srv.ClientURL() }

// connect logs in as user and calls the connection name, which is what a
// service is called in every signal of the server.
func (b *broker) connect(user, name string, more ...nats.Option) (*nats.Conn, error) {
	opts := append([]nats.Option{
		nats.Name(name),
		nats.UserInfo(user, b.passwords[user]),
		nats.IgnoreAuthErrorAbort(),
		nats.MaxReconnects(-1),
		nats.NoCallbacksAfterClientClose(),
	}, more...)
	nc, err := nats.Connect(b.url(), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect %s to nats: %w", name, err)
	}
	return nc, nil
}

func (b *broker) close() {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
	b.log.stop()
}
