package l2_test

// Floods of a network that has more hosts than Open vSwitch can copy a packet to in
// one go.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/unixctl"
)

// farVTEP returns the address of a host that does not exist.
func farVTEP(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}) }

// addFarHosts registers hosts that do not exist, each with a port of acme/web.
func addFarHosts(o *overlay.Overlay, n int) {
	o.T.Helper()
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(o.T.Context(), patience)
	defer cancel()
	s, err := store.Open(ctx, cluster.Config{StateDir: o.T.TempDir(), Endpoints: []string{"unix://" + o.StoreSocket()}, Timeout: patience})
	if err != nil {
		o.T.Fatal(err)
	}
	defer s.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			h := intent.Host{Name: fmt.Sprintf("far%d", i), VTEP: farVTEP(i), Datapath: intent.DatapathNetdev}
			if _, err := s.Register(ctx, h); err != nil {
				return err
			}
			p, _, err := s.Add(ctx, intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprintf("p%d", i),
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}})
			if err != nil {
				return err
			}
			_, err = s.Claim(ctx, p.(intent.Port).Ref(), h.Name, 0)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		o.T.Fatal(err)
	}
}

// A broadcast reaches every one of 3,000 hosts once.
func TestFloodToManyHosts(t *testing.T) {
	const hosts = 3000
	o := overlay.New(t, lab.Config{Hosts: 1, AllowLog: []string{`tunnel`}})
	h := o.Hosts[0]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/8")
	addFarHosts(o, hosts)
	a := o.Plug(h, "acme/web/c1", "--ip", "10.0.0.2")
	o.Synced(h)

	// The far hosts answer no ARP: set their neighbours. Open vSwitch sends only to
	// subnets in which it has an address.
	if _, err := h.Exec(t.Context(), "ip", "addr", "add", "198.19.255.254/15", "dev", "br-phy"); err != nil {
		t.Fatal(err)
	}
	vswitchd := unixctl.New(h.OVSRunDir(), "ovs-vswitchd")
	for i := range hosts {
		mac := intent.MAC{2, 0x11, 0, 0, byte(i >> 8), byte(i)}
		if _, err := vswitchd.Call(t.Context(), "tnl/arp/set", "br-phy", farVTEP(i).String(), mac.String()); err != nil {
			t.Fatal(err)
		}
	}

	wire, err := h.Capture("eth1")
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	payload := []byte("to all of 3000 hosts")
	lab.Eventually(t, time.Minute, "a broadcast to reach all hosts", func() error {
		wire.Reset()
		o.Shout(a, payload)
		var copies map[netip.Addr]int
		missing := errors.New("nothing was sent")
		for deadline := time.Now().Add(5 * time.Second); missing != nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			copies = map[netip.Addr]int{}
			for _, p := range wire.Packets(func(p lab.Packet) bool { return p.Inner != nil && overlay.PayloadIs(payload)(*p.Inner) }) {
				copies[p.IPDst]++
			}
			missing = nil
			if len(copies) < hosts {
				missing = fmt.Errorf("%d of %d hosts got it; the capture lost %d", len(copies), hosts, wire.Lost())
			}
		}
		for to, times := range copies {
			if times > 1 {
				t.Errorf("%d copies for %s", times, to)
			}
		}
		return missing
	})
}
