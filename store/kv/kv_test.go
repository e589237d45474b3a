package kv

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// fakeSource follows any store, unless refusal is set.
type fakeSource struct {
	mu sync.Mutex
	// Guarded by mu.
	following Following
	ensured   int   // the number of calls of Ensure
	refusal   error // returned by Ensure
}

func (f *fakeSource) Ensure(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ensured++
	return f.refusal
}

func (f *fakeSource) Following() Following {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.following
}

func (f *fakeSource) Answered(h *pb.ResponseHeader, seen int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.Revision < seen {
		return ErrUnverified
	}
	f.following.Cluster, f.following.Revision = h.ClusterId, max(f.following.Revision, h.Revision)
	return nil
}

func (f *fakeSource) Doubt() {}

func (f *fakeSource) Patience() time.Duration { return 5 * time.Second }

func (f *fakeSource) Why(err error) error { return err }

// client returns a client of its own, empty etcd.
func client(t testing.TB) (*Client, *fakeSource) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ovkv")
	if err != nil {
		t.Fatal(err)
	}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync = dir+"/data", "fatal", true
	c.TickMs, c.ElectionMs = 10, 50
	c.ListenClientUrls, c.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: dir + "/s"}}, nil
	c.AdvertiseClientUrls = c.ListenClientUrls
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	<-e.Server.ReadyNotify()
	etcd := v3client.New(e.Server)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(etcd.Close(), os.RemoveAll(dir)); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		e.Close()
	})
	f := &fakeSource{following: Following{Streams: context.Background()}}
	return New(ctx, Config{Source: f, Etcd: etcd, Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler), CopyDelay: 10 * time.Millisecond}), f
}

func put(t testing.TB, c *Client, key, value string) (revision int64) {
	t.Helper()
	err := c.Call(t.Context(), "put", func(ctx context.Context) (err error) {
		revision, err = c.Put(ctx, key, value)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not yet: " + what)
		}
	}
}
