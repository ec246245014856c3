package natssetup

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"corral/internal/natstest"
)

// The configuration language takes 2K for a number, and true for a truth.
func TestConfigIsTakenWhateverTheAccountsAreCalled(t *testing.T) {
	t.Setenv(WorkerSecret, "w")
	t.Setenv(PollSecret, "p")
	for _, o := range []Options{
		{Accounts: []string{"APP"}},
		{Accounts: []string{"a", "B-2", "c_3"}, System: "sys-1", Observer: "obs_1", Stream: "EVENTS", Bucket: "state"},
		{Accounts: []string{"2K", "7", "1e5", "true", "off", "-", "_"}, System: "10M", Observer: "0x1"},
		{Accounts: []string{"jetstream", "users", "include"}},
	} {
		text, err := Config(o)
		if err != nil {
			t.Errorf("%v: %v", o, err)
			continue
		}
		s := natstest.Start(t, natstest.JetStream(), natstest.Config(text))
		worker, poll := s.Connect(nats.UserInfo("corral", "w")), s.Connect(nats.UserInfo("corral-poll", "p"))
		heard, err := worker.SubscribeSync("obs.sys.ACCOUNT.*.CONNECT")
		if err != nil {
			t.Fatal(err)
		}
		if err := worker.Flush(); err != nil {
			t.Fatal(err)
		}
		natstest.Eventually(t, "the observer hears of connections", func() bool {
			s.Connect(nats.UserInfo("corral-poll", "p")).Close()
			msg, err := heard.NextMsg(10 * time.Second)
			return err == nil && strings.Contains(string(msg.Data), "client_connect")
		})
		if _, err := poll.Request("$SYS.REQ.SERVER.PING.JSZ", nil, 10*time.Second); err != nil {
			t.Errorf("%v: polling: %v", o, err)
		}
	}
}

func TestNamesThatAreNoToken(t *testing.T) {
	for _, o := range []Options{
		{},
		{Accounts: []string{""}},
		{Accounts: []string{"two words"}},
		{Accounts: []string{"a.b"}},
		{Accounts: []string{"a>"}},
		{Accounts: []string{"$G"}},
		{Accounts: []string{"a'; rm -rf /"}},
		{Accounts: []string{"SYS"}},
		{Accounts: []string{"APP", "APP"}},
		{Accounts: []string{"APP"}, Stream: "a b"},
	} {
		for _, format := range Formats() {
			if text, err := Print(format, o); err == nil || text != "" {
				t.Errorf("%v as %s: got %d bytes, want an error", o, format, len(text))
			}
		}
	}
}
