package store

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ovloom/ovloom/intent"
)

// freeURL returns a URL on which nobody listens yet. Its port is below those that
// Linux gives to clients (net.ipv4.ip_local_port_range), so that no connection that
// another test makes meanwhile takes it, and no other call of this process returns it.
func freeURL(t *testing.T) url.URL {
	t.Helper()
	for range 1000 {
		port := 10000 + (os.Getpid()*101+int(nextPort.Add(1)))%20000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // it is another process's
		}
		defer l.Close()
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	t.Fatal("no port of 1,000 is free")
	return url.URL{}
}

// nextPort counts the ports that freeURL tried.
var nextPort atomic.Int32

// member is a member that can be closed twice.
type member struct {
	*embed.Etcd
	once sync.Once
}

func (m *member) close() { m.once.Do(m.Etcd.Close) }

// cluster runs an etcd cluster of three members, as operators may have one.
func cluster(t *testing.T) (members []*member, urls []string) {
	t.Helper()
	var configs []*embed.Config
	initial := ""
	for n := range 3 {
		c := embed.NewConfig()
		c.Name, c.Dir, c.LogLevel = fmt.Sprintf("m%d", n), stateDir(t), "fatal"
		peer, client := freeURL(t), freeURL(t)
		c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		initial += fmt.Sprintf(",%s=%s", c.Name, peer.String())
		urls = append(urls, client.String())
		configs = append(configs, c)
	}
	for _, c := range configs {
		c.InitialCluster = initial[1:]
		e, err := embed.StartEtcd(c)
		if err != nil {
			t.Fatal(err)
		}
		m := &member{Etcd: e}
		t.Cleanup(m.close)
		members = append(members, m)
	}
	for _, e := range members {
		select {
		case <-e.Server.ReadyNotify():
		case <-time.After(30 * time.Second):
			t.Fatal("the cluster does not come up")
		}
	}
	return members, urls
}

// A client of a cluster goes on with the other members when one is lost: calls,
// watches and the lease.
func TestMemberLost(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	for name, lost := range map[string]func([]*member) *member{
		"the first that is asked": func(ms []*member) *member { return ms[0] },
		"the leader": func(ms []*member) *member {
			for _, m := range ms {
				if m.Server.Leader() == m.Server.MemberID() {
					return m
				}
			}
			return ms[0]
		},
	} {
		t.Run(name, func(t *testing.T) { loseMember(t, lost) })
	}
}

func loseMember(t *testing.T, lost func([]*member) *member) {
	members, urls := cluster(t)
	s := open(t, Config{Endpoints: urls})
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	ctx, stop := context.WithCancel(t.Context())
	alive := make(chan error, 1)
	go func() { alive <- s.KeepAlive(ctx, "host1") }()
	m, _ := watch(t, s, "acme")

	lost(members).close()
	for n := range 20 {
		deadline := time.Now().Add(30 * time.Second)
		for {
			_, _, err := s.AddPort(t.Context(), port(fmt.Sprintf("acme/web/c%d", n)))
			if err == nil || intent.KindOf(err) == intent.Conflict { // it was stored, and the answer lost
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	_, last, err := s.AddPort(t.Context(), port("acme/web/last"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, last)
	m.equals(t, s, "acme")
	if h, err := s.Health(t.Context()); err != nil || len(h.Members) != 3 {
		t.Errorf("%+v, %v", h, err)
	}
	stop()
	if err := <-alive; err != nil {
		t.Errorf("the host's lease: %v", err)
	}
}
