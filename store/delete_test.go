package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// After everything was deleted, only the counters are left, whose numbers must not be reused.
func TestDeletingEverythingLeavesNoKey(t *testing.T) {
	t.Parallel()
	const ports = 200 // many transactions
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/empty")))
	host(t, s, "host1", "192.0.2.1")
	host(t, s, "host2", "192.0.2.2")
	for i := range ports {
		p := must[intent.Port](t)(s.AddPort(ctx, port(fmt.Sprintf("acme/web/c%03d", i))))
		for _, h := range []string{"host1", "host2"} {
			if _, err := s.Claim(ctx, p.Ref(), h, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, _ := watch(t, s, "acme")
	users, err := s.TenantUsers(ctx, "acme")
	if err != nil || len(users) != 3*ports+2 {
		t.Errorf("%d users, %v", len(users), err)
	}
	if n, err := s.NetworkUsers(ctx, intent.NetworkRef{Tenant: "acme", Network: "web"}); err != nil || len(n) != 3*ports {
		t.Errorf("%d users of the network, %v", len(n), err)
	}
	deleted, rev, err := s.DeleteTenant(ctx, "acme", true)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(users, "tenant acme"); !slices.Equal(deleted, want) {
		t.Errorf("deleted\n%s\nwant\n%s", strings.Join(deleted, "\n"), strings.Join(want, "\n"))
	}
	m.reaches(t, rev)
	for _, h := range []string{"host1", "host2"} {
		if _, _, err := s.RemoveHost(ctx, h, false); err != nil {
			t.Error(err)
		}
	}
	keys, err := s.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/ovloom/v1/c/id", "/ovloom/v1/c/vni", "/ovloom/v1/c/vrf", "/ovloom/v1/cluster"}; !slices.Equal(keys, want) {
		t.Errorf("left:\n%s", strings.Join(keys, "\n"))
	}
}

// A deletion that stops halfway reports what it did, leaves a consistent store, and is
// completed by a second call.
func TestDeletionThatStopsIsResumed(t *testing.T) {
	const ports = 100
	s := open(t, cluster.Config{})
	acme(t, s)
	for i := range ports {
		must[intent.Port](t)(s.AddPort(t.Context(), port(fmt.Sprintf("acme/web/c%03d", i))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	updates := 0
	go func() {
		_ = s.WatchTenant(t.Context(), "acme", func(u intent.SpanUpdate) {
			if updates++; updates == 3 { // the snapshot and two transactions
				cancel()
			}
		})
	}()
	until(t, "the watch has begun", func() bool { _, ok := s.Copy("acme"); return ok })
	deleted, rev, err := s.DeleteTenant(ctx, "acme", true)
	if err == nil || rev == 0 || len(deleted) == 0 || len(deleted) >= ports ||
		!strings.Contains(err.Error(), "deleting tenant acme stopped half-way") ||
		!strings.Contains(err.Error(), fmt.Sprintf("%d objects are deleted, up to %s", len(deleted), deleted[len(deleted)-1])) {
		t.Fatalf("deleted %d: %v", len(deleted), err)
	}
	checked(t, s)
	// One more transaction may have been committed without its answer.
	const atOnce = 16
	left, err := s.TenantUsers(t.Context(), "acme")
	if more := ports + 1 - len(deleted) - len(left); err != nil || more < 0 || more > atOnce {
		t.Errorf("%d objects are left after %d were deleted, %v", len(left), len(deleted), err)
	}
	if _, _, err := s.DeleteTenant(t.Context(), "acme", true); err != nil {
		t.Error(err)
	}
	checked(t, s)
}

func TestDeleteNetworkCascades(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/web2", "10.2.0.0/24"))) // the other's name is its prefix
	for _, name := range []string{"acme/web/c1", "acme/web/c2", "acme/web2/c1"} {
		must[intent.Port](t)(s.AddPort(ctx, port(name)))
	}
	deleted, _, err := s.DeleteNetwork(ctx, intent.NetworkRef{Tenant: "acme", Network: "web"}, true)
	if got := strings.Join(deleted, ", "); err != nil || got != "port acme/web/c1, port acme/web/c2, network acme/web" {
		t.Errorf("deleted %s, %v", got, err)
	}
	if _, err := s.Port(ctx, ref("acme/web2/c1")); err != nil {
		t.Error(err)
	}
	checked(t, s)
}
