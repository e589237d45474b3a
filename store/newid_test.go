package store

import (
	"context"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/store/kv"

	"github.com/ovloom/ovloom/store/cluster"
)

// An id whose reservation failed is not used: a retry would keep it, and several hosts that
// register at once would get the same one.
func TestNoIDWithAnError(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if id, err := s.newID(ctx); err == nil || id != 0 {
		t.Errorf("with an error comes id %d, %v", id, err)
	}
}

// Hosts that share an id get different ones when either registers again; until then, Check
// reports them.
func TestSharedHostIDComesApart(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	one, two := host(t, s, "host1", "192.0.2.1"), host(t, s, "host2", "192.0.2.2")
	three := host(t, s, "host3", "192.0.2.3")
	two.ID = one.ID
	value, err := kv.Encode(two, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.kv.Put(ctx, hostKey("host2"), value); err != nil {
		t.Fatal(err)
	}
	found, err := s.Check(ctx)
	if err != nil || len(found) != 1 || !strings.Contains(found[0], `host host2 has id 1, which is that of "host host1": restart ovloomd there`) {
		t.Errorf("found %q, %v", found, err)
	}
	if h := host(t, s, "host3", "192.0.2.3"); h.ID != three.ID {
		t.Errorf("host3, which shares none, had id %d and has %d", three.ID, h.ID)
	}
	if h := host(t, s, "host1", "192.0.2.1"); h.ID == two.ID || h.ID == three.ID || h.ID == 0 {
		t.Errorf("host1 still has id %d", h.ID)
	}
	if h := host(t, s, "host2", "192.0.2.2"); h.ID != two.ID {
		t.Errorf("host2 has id %d, and shared %d with none any more", h.ID, two.ID)
	}
	checked(t, s)
}
