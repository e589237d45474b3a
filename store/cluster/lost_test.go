package cluster

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// member is a member that can be closed twice.
type member struct {
	*embed.Etcd
	once sync.Once
}

func (m *member) close() { m.once.Do(m.Etcd.Close) }

// etcdCluster runs an etcd cluster of three members, as an operator might.
func etcdCluster(t *testing.T) (members []*member, urls []string) {
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

// When a cluster loses a member, a client continues with the others: calls, watches and the
// lease.
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
	members, urls := etcdCluster(t)
	n := open(t, Config{Endpoints: urls})
	added(t, n, "first")
	var lease kv.Lease
	err := n.kv.Call(t.Context(), "grant", func(ctx context.Context) (err error) {
		lease, err = n.kv.Grant(ctx, time.Minute)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var told sync.Map
	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() {
		watched <- n.kv.Watch(ctx, "watch", kv.Watcher{
			Key:  kv.Root + "test/",
			Opts: []kv.Option{kv.Prefix()},
			Load: func(ctx context.Context) (int64, error) {
				all, revision, err := n.kv.List(ctx, "list", kv.Root+"test/")
				for _, it := range all {
					told.Store(it.Key, true)
				}
				return revision, err
			},
			Changed: func(_ int64, events []kv.Event) bool {
				for _, e := range events {
					told.Store(e.Key, true)
				}
				return false
			},
		})
	}()
	tells := func(name string) func() bool {
		return func() bool { _, ok := told.Load(kv.Root + "test/" + name); return ok }
	}
	until(t, "the watch has begun", tells("first"))

	lost(members).close()
	for i := range 20 {
		name := fmt.Sprint("c", i)
		eventually(t, "a change", func() error {
			err := add(t.Context(), n, name)
			if intent.KindOf(err) == intent.Conflict { // it was stored, and the answer was lost
				return nil
			}
			return err
		})
		until(t, name+" is told", tells(name))
	}
	if err := n.kv.Call(t.Context(), "keep", func(ctx context.Context) error { return n.kv.Keep(ctx, lease) }); err != nil {
		t.Errorf("the lease: %v", err)
	}
	if h, err := n.Health(t.Context()); err != nil || len(h.Members) != 3 {
		t.Errorf("%+v, %v", h, err)
	}
	stop()
	if err := <-watched; err != nil {
		t.Errorf("the watch: %v", err)
	}
}
