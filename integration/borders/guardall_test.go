package borders_test

// The guard: what every host keeps every tenant from, also what belongs to tenants and
// hosts that it does not follow.

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// A host that has no port of a tenant keeps others from that tenant's peers: masqueraded,
// their datagrams would be tunnel packets of the host.
func TestPeersOfOtherTenantsAreOutOfReach(t *testing.T) {
	o := overlay.NewOutdoors(t, 3)
	o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	evil := o.Tenant("umbrella", o.Hosts[2])[0]
	o.SNAT("umbrella", "internet")
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer)
	o.SeenAs(evil.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, evil.Host.InternetAddr())
	// The rest of the underlay is empty: what is sent there shows as ARP requests.
	peer, unused := netip.MustParseAddr("172.31.0.77"), netip.MustParseAddr("172.31.0.78")
	o.Run("peer", "add", "acme/web/tor1", "--vtep", peer.String())
	wire := o.Wire()
	vni := o.NetworkNamed("acme/web").VNI
	forged := string(lab.VXLAN(vni, overlay.Datagram(evil.Port.MAC, evil.Port.MAC, evil.V4(), evil.V4(), []byte("forged"))))
	try := func(reason string, to netip.Addr, port uint16) {
		t.Helper()
		before := o.Drops(evil.Host, reason)
		for range 3 {
			if err := overlay.Tell(evil.Workload, netip.AddrPortFrom(to, port), forged); err != nil {
				t.Fatal(err)
			}
		}
		o.Dropped(evil.Host, reason, before+3)
	}
	asksFor := func(a netip.Addr) lab.Match {
		return func(p lab.Packet) bool {
			return p.ARP != nil && p.ARP.TPA == a && p.ARP.SPA == evil.Host.VTEP || p.IPDst == a && p.IPSrc == evil.Host.VTEP
		}
	}

	// By default the underlay is closed as a whole, for its own reason.
	try("vtep", peer, lab.VXLANPort)
	try("underlay", unused, lab.VXLANPort)
	try("other-host", o.Hosts[1].Mgmt, 22)
	// Who opens it does not open what tunnels end at.
	o.Run("external", "set", "internet", "--underlay", "allow")
	lab.Eventually(t, overlay.PollTime, "a packet into the underlay, which is allowed", func() error {
		if err := overlay.Tell(evil.Workload, netip.AddrPortFrom(unused, 9), "allowed"); err != nil {
			return err
		}
		return overlay.Seen(wire, asksFor(unused))
	})
	try("vtep", peer, lab.VXLANPort)
	o.Run("external", "set", "internet", "--allow", "172.31.0.0/24")
	try("vtep", peer, lab.VXLANPort)
	try("vtep", o.Hosts[0].VTEP, lab.VXLANPort)
	wire.MustNotSee(t, "anything to another tenant's peer", asksFor(peer))

	// The peer goes, and with it the guard: by the order of the hosts' own list.
	o.Run("peer", "delete", "acme/web/tor1")
	lab.Eventually(t, overlay.PollTime, "a packet to what is no peer any more", func() error {
		if err := overlay.Tell(evil.Workload, netip.AddrPortFrom(peer, 9), "allowed"); err != nil {
			return err
		}
		return overlay.Seen(wire, asksFor(peer))
	})
}

// The guard does not need the store: a host that starts while it is down has a cached copy.
func TestPeersAreOutOfReachWithoutTheStore(t *testing.T) {
	o := overlay.NewOutdoors(t, 3)
	o.Tenant("acme", o.Hosts[0])
	evil := o.Tenant("umbrella", o.Hosts[2])[0]
	o.SNAT("umbrella", "internet")
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer)
	o.SeenAs(evil.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, evil.Host.InternetAddr())
	peer := netip.MustParseAddr("172.31.0.77")
	o.Run("peer", "add", "acme/web/tor1", "--vtep", peer.String())
	try := func() {
		t.Helper()
		before := o.Drops(evil.Host, "vtep")
		lab.Eventually(t, overlay.PollTime, "the drop", func() error {
			if err := overlay.Tell(evil.Workload, netip.AddrPortFrom(peer, lab.VXLANPort), "forged"); err != nil {
				return err
			}
			if n := o.Drops(evil.Host, "vtep"); n <= before {
				return fmt.Errorf("%d dropped", n-before)
			}
			return nil
		})
	}
	try()
	if err := o.AllowLog(append(slices.Clone(overlay.VswitchdGone), overlay.StoreGone...)...); err != nil {
		t.Fatal(err)
	}
	for _, copied := range []string{"guard.copy:172.31.0.77", "externals.copy:internet", "span/umbrella.copy:\"up\":true"} {
		file, what, _ := strings.Cut(copied, ":")
		lab.Eventually(t, overlay.PollTime, what+" to be copied", func() error {
			out, err := evil.Host.Exec(t.Context(), "cat", evil.Host.StateDir()+"/store/"+file)
			if err == nil && !strings.Contains(out, what) {
				err = errors.New("it is not")
			}
			return err
		})
	}
	for _, h := range []*lab.Host{o.Hosts[0], evil.Host} {
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	// The switch loses its flows: what it has then comes from cached copies alone.
	if _, err := evil.Host.Exec(t.Context(), "ovs-ofctl", "del-flows", "br-int"); err != nil {
		t.Fatal(err)
	}
	if _, err := evil.Host.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.SeenAs(evil.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, evil.Host.InternetAddr())
	try()
	if _, err := o.Hosts[0].StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range o.Hosts {
		o.ConnectionBecomes(h, "store", true)
		lab.Eventually(t, overlay.PollTime, h.Name+" to be up to date", func() error {
			_, err := h.Ovloom(t.Context(), "flows", "--diff")
			return err
		})
	}
}
