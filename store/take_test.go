package store

import (
	"context"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// keepsAlive keeps a host alive until the function that it returns is called.
func keepsAlive(t *testing.T, s *Store, name string) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.KeepAlive(ctx, name) }()
	for range 500 {
		hosts, err := s.Hosts(t.Context())
		if err == nil {
			for _, h := range hosts {
				if h.Name == name && h.Alive {
					return func() { stop(); <-ended }
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("host %s is not alive", name)
	return nil
}

func TestClaimFreeTakesNothingFromALiveHost(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	host(t, s, "host2", "192.0.2.2")
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1"))).Ref()
	end := keepsAlive(t, s, "host1")

	mine, err := s.ClaimFree(ctx, c1, "host1", 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.ClaimFree(ctx, c1, "host1", mine.Generation)
	if err != nil || again != mine {
		t.Errorf("confirmed: %+v, %v", again, err)
	}
	for _, have := range []uint64{0, mine.Generation} {
		if _, err := s.ClaimFree(ctx, c1, "host2", have); intent.KindOf(err) != intent.Conflict {
			t.Errorf("host2 claims a port that host1 holds: %v", err)
		}
	}
	if err := s.Free(ctx, c1, "host2"); intent.KindOf(err) != intent.Conflict {
		t.Errorf("free: %v", err)
	}
	if err := s.Free(ctx, c1, "host1"); err != nil {
		t.Errorf("not free for its holder: %v", err)
	}
	if all, err := s.Bindings(ctx, c1); err != nil || len(all) != 1 {
		t.Errorf("claims %+v, %v", all, err)
	}

	// The port is free while it is down on its host.
	if err := s.MarkUp(ctx, c1, "host1", mine.Generation, false, "interface tap0 was deleted"); err != nil {
		t.Fatal(err)
	}
	if err := s.Free(ctx, c1, "host2"); err != nil {
		t.Errorf("not free though it is down there: %v", err)
	}
	if err := s.MarkUp(ctx, c1, "host1", mine.Generation, true, ""); err != nil {
		t.Fatal(err)
	}
	taken, err := s.Claim(ctx, c1, "host2", 0)
	if err != nil || taken.Generation <= mine.Generation {
		t.Errorf("taken: %+v, %v", taken, err)
	}
	if err := s.Release(ctx, c1, "host2", taken.Generation); err != nil {
		t.Fatal(err)
	}
	// It is also free when its host is gone.
	end()
	if _, err := s.ClaimFree(ctx, c1, "host2", 0); err != nil {
		t.Errorf("the port of a host that is gone: %v", err)
	}
	checked(t, s)
}
