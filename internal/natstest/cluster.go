package natstest

import (
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster starts n servers with JetStream that form one cluster, and waits for
// its meta leader.
func Cluster(t testing.TB, n int, opts ...Option) []*Server {
	t.Helper()
	routes, ports := routes(t, n)
	servers := make([]*Server, n)
	for i := range servers {
		o := &server.Options{}
		for _, opt := range append([]Option{JetStream()}, opts...) {
			opt(t, o)
		}
		o.ServerName = "n" + strconv.Itoa(i+1)
		o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
		o.NoSigs, o.NoLog = true, true
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "C", "127.0.0.1", ports[i]
		o.Routes = routes
		servers[i] = &Server{t: t, opts: o}
		t.Cleanup(servers[i].Stop)
		servers[i].boot()
	}
	for _, s := range servers {
		if !s.ReadyForConnections(patience) {
			t.Fatal("a nats-server of the cluster is not ready after", patience)
		}
	}
	WaitLeader(t, servers)
	return servers
}

// WaitLeader waits until the running servers know a JetStream meta leader, every
// one of them is current, and the leader has heard of each that it can be given
// streams: until then it finds no suitable peers.
func WaitLeader(t testing.TB, servers []*Server) {
	t.Helper()
	Eventually(t, "JetStream meta leader", func() bool {
		running, fit := 0, 0
		for _, s := range servers {
			if !s.Running() {
				continue
			}
			if !s.JetStreamIsCurrent() {
				return false
			}
			running++
			fit = max(fit, len(s.JetStreamClusterPeers())) // the leader alone knows them
		}
		return fit > 0 && fit >= running
	})
}

// routes finds a free port for each server's route listener: all of them must be
// named in every configuration before the first one starts. They are not of those
// that the system gives to whoever asks for any (from 32768 on), or somebody else
// might have got one before its server binds it, or while that is restarted.
func routes(t testing.TB, n int) ([]*url.URL, []int) {
	t.Helper()
	urls, ports := make([]*url.URL, n), make([]int, n)
	for i := range n {
		var l net.Listener
		Eventually(t, "a free port", func() bool {
			var err error
			ports[i] = 12000 + rand.IntN(20000)
			l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])))
			return err == nil
		})
		defer l.Close()
		urls[i] = &url.URL{Scheme: "nats-route", Host: l.Addr().String()}
	}
	return urls, ports
}
