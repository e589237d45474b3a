package borders_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// TestExternalBorders sees what comes in from outside, and what leaves: nothing with a
// tag but the external's own, and nothing from addresses that cannot be outside.
func TestExternalBorders(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	h := o.Hosts[0]
	c1 := o.Tenant("acme", h)[0]
	overlay.Serve(t, c1.Workload)
	c2 := o.Plug(h, "acme/web/c2")
	o.SNAT("acme", "internet")
	address := o.Float(c1)
	o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(address), 10, lab.CampusGateway)
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, address)
	var router intent.MAC
	out, err := o.Outside.Exec(t.Context(), "ip", "neigh", "show", address.String(), "dev", "campus0")
	if err != nil {
		t.Fatal(err)
	}
	mac, err := net.ParseMAC(strings.Fields(out)[2])
	if err != nil {
		t.Fatal(out, err)
	}
	copy(router[:], mac)
	campusMAC := intent.MAC{2, 0, 0, 0, 9, 9}
	inside := o.Capture(c1)

	from := func(src netip.Addr, dst netip.Addr, words string, tags ...tag) []byte {
		f := overlay.Datagram(campusMAC, router, src, dst, []byte(words))
		var b []byte
		for _, t := range tags {
			b = append(b, byte(t.kind>>8), byte(t.kind), byte(t.tci>>8), byte(t.tci))
		}
		return slices.Concat(f[:12], b, f[12:])
	}
	counted := func(t *testing.T, h *lab.Host, reason, what string, send func() error) {
		t.Helper()
		o := o.With(t)
		before := o.Drops(h, reason)
		if err := send(); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, overlay.PollTime, what+" to be counted as "+reason, func() error {
			if o.Drops(h, reason) <= before {
				return fmt.Errorf("only what was before")
			}
			return nil
		})
	}
	outside := func(frames ...[]byte) func() error {
		return func() error { return o.Outside.SendFrames("campus0", frames) }
	}
	t.Run("sources that cannot be outside", func(t *testing.T) {
		for _, src := range []string{"127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.5", "255.255.255.255", "240.0.0.1", address.String(), c1.V4().String(), c2.V4().String()} {
			counted(t, h, "martian", "a packet from "+src, outside(from(netip.MustParseAddr(src), address, "martian")))
		}
		// Of the external of kind host: its own range, from the host's side.
		nat := snatAddress(o, "acme")
		counted(t, h, "martian", "a packet from NAT's own range", func() error {
			return h.SendFrame(intent.HostUplink, from(netip.MustParseAddr("100.64.7.7"), nat, "martian"))
		})
		inside.MustNotSee(t, "a packet from a source that cannot be outside", overlay.PayloadContains("martian"))
	})
	t.Run("tags", func(t *testing.T) {
		src := lab.CampusServer
		counted(t, h, "tagged", "a tag from outside", outside(from(src, address, "a tag", tag{0x8100, 5})))
		counted(t, h, "tagged", "two tags of VLAN 0 from outside", outside(from(src, address, "a tag", tag{0x8100, 0}, tag{0x8100, 0})))
		counted(t, h, "tagged", "an old tag from outside", outside(from(src, address, "a tag", tag{0x9100, 0})))
		inside.MustNotSee(t, "what had a tag", overlay.PayloadContains("a tag"))
		seenOutside, err := o.Outside.Capture("campus0")
		if err != nil {
			t.Fatal(err)
		}
		defer seenOutside.Close()
		f := overlay.Datagram(c1.Port.MAC, intent.GatewayMAC, c1.V4(), lab.CampusServer, []byte("out with a tag"))
		counted(t, h, "tagged", "a tag from a port", func() error {
			return c1.SendFrame("eth0", slices.Concat(f[:12], []byte{0x81, 0, 0, 100}, f[12:]))
		})
		seenOutside.MustNotSee(t, "what had a tag", overlay.PayloadContains("out with a tag"))
	})
	t.Run("a VLAN of its own", func(t *testing.T) {
		o := o.With(t)
		o.Run("external", "set", "campus", "--vlan", "107")
		// Without the tag nothing comes in.
		counted(t, h, "not-ours", "a packet without the tag", outside(from(lab.CampusServer, address, "untagged")))
		counted(t, h, "tagged", "a packet with another tag", outside(from(lab.CampusServer, address, "untagged", tag{0x8100, 106})))
		inside.MustNotSee(t, "what came without the external's tag", overlay.PayloadContains("untagged"))
		// The bridge takes the tag off where the campus is plugged in.
		if _, err := h.Vsctl(t.Context(), "set", "port", lab.CampusNIC, "tag=107"); err != nil {
			t.Fatal(err)
		}
		o.Script(o.Outside.Exec, "ip neigh flush dev campus0")
		o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(address), 10, lab.CampusGateway)
		o.SeenAs(o.Outside.Workload, "udp", overlay.ServerAt(address), 4000, lab.CampusGateway)
		o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, address)
		o.SeenAs(c1.Workload, "udp", overlay.ServerAt(lab.InternetServer), 4000, address) // behind the gateway
		heard, err := o.Outside.Capture("campus0")
		if err != nil {
			t.Fatal(err)
		}
		defer heard.Close()
		second := o.Float(c2)
		heard.MustSee(t, overlay.PollTime, "an announcement of the second address", func(p lab.Packet) bool { return p.ARP != nil && p.ARP.SPA == second && p.ARP.TPA == second })
		o.SeenAs(c2.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, second)
		o.SeenAs(c2.Workload, "tcp", overlay.ServerAt(address), 10, second) // turned round
		var shown intent.External
		o.Get(h, &shown, "external", "show", "campus")
		if shown.VLAN != 107 {
			t.Errorf("shown: %+v", shown)
		}
	})
}

// snatAddress returns the address of a tenant's SNAT.
func snatAddress(o *overlay.Outdoors, tenant string) netip.Addr {
	o.T.Helper()
	var nat struct {
		SNATs []intent.SNAT `json:"snats"`
	}
	o.Get(o.Hosts[0], &nat, "tenant", "show", tenant)
	if len(nat.SNATs) == 0 {
		o.T.Fatal("the tenant has no SNAT")
	}
	return nat.SNATs[0].Address
}
