package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func peer(name, vtep string) intent.Peer {
	r, err := intent.ParsePeerRef(name)
	if err != nil {
		panic(err)
	}
	return intent.Peer{Tenant: r.Tenant, Network: r.Network, Name: r.Peer, VTEP: addr(vtep)}
}

func TestPeers(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/db", "10.1.0.0/24")))
	host(t, s, "host1", "192.0.2.1")
	tor1 := must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor1", "192.0.2.40")))
	// One VTEP may be a peer of several networks.
	other := must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/db/tor1", "192.0.2.40")))
	if got, err := s.Peer(ctx, tor1.Ref()); err != nil || got != tor1 || tor1.ID == 0 || tor1.ID == other.ID {
		t.Errorf("the peer reads %+v, %v; it was written %+v", got, err, tor1)
	}
	snap, err := s.Snapshot(ctx, "acme")
	if err != nil || !slices.Contains(snap.Peers, tor1) || !slices.Contains(snap.Peers, other) {
		t.Errorf("the snapshot has the peers %+v, %v", snap.Peers, err)
	}

	for _, c := range []struct {
		name string
		err  error
		kind intent.Kind
		text string
	}{
		{"a peer's name twice", third(s.AddPeer(ctx, peer("acme/web/tor1", "192.0.2.41"))), intent.Conflict, "peer acme/web/tor1 exists"},
		{"a VTEP twice in a network", third(s.AddPeer(ctx, peer("acme/web/tor2", "192.0.2.40"))), intent.Conflict, "taken by peer acme/web/tor1"},
		{"a host's VTEP", third(s.AddPeer(ctx, peer("acme/web/tor2", "192.0.2.1"))), intent.Conflict, "taken by host host1"},
		{"an IPv6 VTEP", third(s.AddPeer(ctx, peer("acme/web/tor2", "2001:db8::1"))), intent.Invalid, "IPv4 only, for now"},
		{"a peer of no network", third(s.AddPeer(ctx, peer("acme/no/tor1", "192.0.2.41"))), intent.NotFound, "network acme/no does not exist"},
		{"a host with a peer's VTEP", second(s.Register(ctx, intent.Host{Name: "host2", VTEP: addr("192.0.2.40")})), intent.Conflict, "taken by peer acme/"},
		{"a host that moves to a peer's VTEP", second(s.Register(ctx, intent.Host{Name: "host1", VTEP: addr("192.0.2.40")})), intent.Conflict, "taken by peer acme/"},
		{"deleting no peer", third(s.DeletePeer(ctx, peer("acme/web/no", "192.0.2.9").Ref())), intent.NotFound, "peer acme/web/no does not exist"},
		{"deleting a network with peers", third(s.DeleteNetwork(ctx, tor1.Ref().NetworkRef(), false)), intent.InUse, "used by peer acme/web/tor1"},
		{"deleting a tenant with peers", third(s.DeleteTenant(ctx, "acme", false)), intent.InUse, "peer acme/db/tor1, peer acme/web/tor1, network acme/db, network acme/web"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if intent.KindOf(c.err) != c.kind || !strings.Contains(c.err.Error(), c.text) {
				t.Errorf("got %q: %v\nwant %q: ...%s...", intent.KindOf(c.err), c.err, c.kind, c.text)
			}
		})
	}
	checked(t, s)

	if deleted, _, err := s.DeletePeer(ctx, other.Ref()); err != nil || !slices.Equal(deleted, []string{"peer acme/db/tor1"}) {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	deleted, _, err := s.DeleteNetwork(ctx, tor1.Ref().NetworkRef(), true)
	if want := []string{"peer acme/web/tor1", "network acme/web"}; err != nil || !slices.Equal(deleted, want) {
		t.Errorf("deleted %v, %v; want %v", deleted, err, want)
	}
	host(t, s, "host2", "192.0.2.40") // the address is free again
	checked(t, s)
}

func TestCheckFindsAPeerThatIsWrong(t *testing.T) {
	s := open(t, cluster.Config{})
	acme(t, s)
	tor1 := must[intent.Peer](t)(s.AddPeer(t.Context(), peer("acme/web/tor1", "192.0.2.40")))
	for _, k := range []string{peerVTEPKey(tor1.VTEP, tor1.Ref().NetworkRef()), networkKey(tor1.Ref().NetworkRef())} {
		if _, err := remove(t.Context(), s, k); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Check(t.Context())
	all := strings.Join(found, "\n")
	if err != nil || !strings.Contains(all, "of acme/web/tor1 is missing") || !strings.Contains(all, "peer acme/web/tor1 has no network") {
		t.Errorf("found %q, %v", found, err)
	}
}
