package l2_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// twoTenants adds two tenants with two networks each, and in each network a port on
// every host. The tenants have the same subnets, addresses and MACs, and the
// networks of each have the same MACs.
func twoTenants(o *overlay.Overlay) []*overlay.Machine {
	o.T.Helper()
	var machines []*overlay.Machine
	for _, tenant := range []string{"acme", "umbrella"} {
		o.Run("tenant", "add", tenant)
		for n, network := range []string{"web", "db"} {
			ref := tenant + "/" + network
			o.Run("network", "add", ref, "--subnet", fmt.Sprintf("10.0.%d.0/24", n), "--subnet", fmt.Sprintf("fd00:%d::/64", n))
			for i, h := range o.Hosts {
				machines = append(machines, o.Plug(h, fmt.Sprintf("%s/c%d", ref, i+1),
					"--ip", fmt.Sprintf("10.0.%d.%d", n, i+11), "--ip", fmt.Sprintf("fd00:%d::%d", n, i+11),
					"--mac", fmt.Sprintf("02:00:00:00:00:%02x", i+1)))
			}
		}
	}
	return machines
}

func TestTenantsWithEqualAddressesAreApart(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	machines := twoTenants(o)

	heard := map[*overlay.Machine]*lab.Capture{}
	for _, m := range machines {
		heard[m] = o.Capture(m)
	}
	for _, from := range machines {
		for _, to := range machines {
			if from != to && from.Port.Ref().NetworkRef() == to.Port.Ref().NetworkRef() {
				o.Reaches(from, to.V4())
				o.Reaches(from, to.V6())
			}
		}
	}
	// Full-size segments, in both families, once around.
	for i, from := range machines {
		to := machines[(i+1)%3+i/3*3]
		for _, addr := range []netip.Addr{to.V4(), to.V6()} {
			got, err := lab.Transfer(t.Context(), from.Workload, to.Workload, addr, 256<<10)
			if err != nil {
				t.Error(err)
			}
			// The ports' MTU of 1550, less the headers of IPv6 and TCP with timestamps.
			if least := 1550 - 40 - 20 - 12; got.MSS < least {
				t.Errorf("%s to %s: segments of %d bytes, want at least %d", from.Port.Ref(), addr, got.MSS, least)
			}
		}
	}

	// One machine speaks; machines of other networks with the same addresses, on
	// the same host and on others, hear nothing of it.
	from, to := machines[0], machines[1]
	for _, c := range heard {
		c.Reset()
	}
	payload := []byte("for acme/web alone")
	o.Say(from, to, payload)
	heard[to].MustSee(t, overlay.PollTime, "the datagram", overlay.PayloadIs(payload))
	broadcast := []byte("for all of acme/web")
	o.Shout(from, broadcast)
	for _, m := range machines[1:3] {
		heard[m].MustSee(t, overlay.PollTime, "the broadcast", overlay.PayloadIs(broadcast))
	}
	for _, m := range machines[3:] {
		heard[m].MustNotSee(t, "what was said in acme/web", overlay.PayloadIs(payload))
		heard[m].MustNotSee(t, "what was broadcast in acme/web", overlay.PayloadIs(broadcast))
	}
}

// A tunnel packet from an address that is no host's VTEP enters no network, and
// neither does one of a host with a VNI that no network has.
func TestForeignTunnelPacketsAreDropped(t *testing.T) {
	o := overlay.New(t, lab.Config{}, 2) // the third host runs no ovloomd: its VTEP is unknown
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--vni", "5001")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	heard := o.Capture(b)

	forged := []byte("forged")
	inner := lab.IPFrame(a.Port.MAC, b.Port.MAC, a.V4(), b.V4(), lab.ProtoUDP, 64,
		lab.UDP(netip.AddrPortFrom(a.V4(), 9), netip.AddrPortFrom(b.V4(), 9), forged))
	for range 5 {
		overlay.SendVXLAN(t, o.Hosts[2], o.Hosts[1].VTEP, 5001, inner)
	}
	o.Dropped(o.Hosts[1], "unknown-vtep", 5)
	heard.MustNotSee(t, "a frame forged by a stranger", overlay.PayloadIs(forged))
}

// An interface that another program put on the bridge is bound all the same, by
// its port's name or UUID; one that names nothing is not heard.
func TestInterfacesOfOthersAreBound(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a := o.Plug(o.Hosts[0], "acme/web/c1")
	h := o.Hosts[1]

	for _, by := range []string{"name", "uuid"} {
		t.Run("by "+by, func(t *testing.T) {
			m := &overlay.Machine{}
			o.Run("port", "add", "acme/web/by-"+by)
			o.Get(h, &m.Port, "port", "show", "acme/web/by-"+by)
			id := map[string]string{"name": m.Port.Ref().String(), "uuid": m.Port.UUID}[by]
			plugByHand(o, h, m, "vm-"+by, id)
			o.Reaches(m, a.V4())
			lab.Eventually(t, overlay.PollTime, "ovloom-installed on the interface", func() error {
				_, err := h.Vsctl(t.Context(), "--if-exists", "get", "interface", "vm-"+by, "external_ids:ovloom-installed")
				return err
			})
		})
	}

	t.Run("plugged before its port exists", func(t *testing.T) {
		m := &overlay.Machine{Port: intent.Port{Tenant: "acme", Network: "web", Name: "late",
			MAC: intent.MAC{2, 9}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.77")}}}
		plugByHand(o, h, m, "vm-late", m.Port.Ref().String())
		lab.Eventually(t, overlay.PollTime, "status to warn of an interface that names no port", func() error {
			if w := o.Status(h).Warnings; len(w) != 1 || !strings.Contains(w[0].What, "acme/web/late") {
				return fmt.Errorf("it warns of %v", w)
			}
			return nil
		})
		if _, err := m.Ping(t.Context(), a.V4()); err == nil {
			t.Error("an interface without a port reaches a network")
		}
		o.Run("port", "add", "acme/web/late", "--ip", "10.0.0.77", "--mac", m.Port.MAC.String())
		o.Reaches(m, a.V4())
	})
}

// plugByHand puts an interface on the bridge as libvirt would.
func plugByHand(o *overlay.Overlay, h *lab.Host, m *overlay.Machine, hostIf, ifaceID string) {
	o.T.Helper()
	w, err := h.NewWorkload(o.T.Context(), hostIf)
	if err != nil {
		o.T.Fatal(err)
	}
	m.Workload = w
	v := lab.Veth{HostIf: hostIf, MAC: m.Port.MAC.String(), InterfaceID: ifaceID}
	for _, a := range m.Port.Addrs {
		v.Addrs = append(v.Addrs, netip.PrefixFrom(a, 24))
	}
	if err := w.PlugVeth(o.T.Context(), v); err != nil {
		o.T.Fatal(err)
	}
}

// Two daemons on one machine, each with a name, a bridge, directories and a
// socket of its own.
func TestTwoDaemonsOnOneMachine(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.Status(h) // the first one has made its bridges
	dir := filepath.Join(h.Dir, "second")
	socket := filepath.Join(dir, "ovloomd.sock")
	p, err := h.Start(t.Context(), "second-ovloomd", filepath.Join(lab.Programs(), "ovloomd"),
		"--host-name", "second", "--vtep", h.VTEP.String(), "--vxlan-port", "4790", "--datapath", "netdev",
		"--bridge", "br-two", "--vxlan-name", "vx1", "--state-dir", dir, "--socket", socket,
		"--ovsdb", "unix:"+h.DBSock(), "--ovs-run-dir", h.OVSRunDir())
	if err != nil {
		t.Fatal(err)
	}
	second := func(args ...string) (string, error) {
		return h.Ovloom(t.Context(), append([]string{"--socket", socket}, args...)...)
	}
	lab.Eventually(t, overlay.PollTime, "the second daemon to drive its bridge", func() error {
		var s api.Status
		out, err := second("status", "-o", "json")
		if err == nil {
			err = json.Unmarshal([]byte(out), &s)
		}
		if err == nil && (s.Host != "second" || s.Bridge != "br-two" || s.Resync.At.IsZero()) {
			err = fmt.Errorf("it says %s", out)
		}
		return err
	})
	o.Run("tenant", "add", "acme")
	if out, err := second("tenant", "list"); err != nil || strings.Contains(out, "acme") {
		t.Errorf("the second daemon has the first one's tenant: %s, %v", out, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
