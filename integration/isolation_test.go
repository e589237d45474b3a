package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// twoTenants adds two tenants with two networks each, and in each network a port on
// every host. The tenants have the same subnets, addresses and MACs, and the
// networks of each have the same MACs.
func twoTenants(o *overlay) []*machine {
	o.t.Helper()
	var machines []*machine
	for _, tenant := range []string{"acme", "umbrella"} {
		o.run("tenant", "add", tenant)
		for n, network := range []string{"web", "db"} {
			ref := tenant + "/" + network
			o.run("network", "add", ref, "--subnet", fmt.Sprintf("10.0.%d.0/24", n), "--subnet", fmt.Sprintf("fd00:%d::/64", n))
			for i, h := range o.Hosts {
				machines = append(machines, o.plug(h, fmt.Sprintf("%s/c%d", ref, i+1),
					"--ip", fmt.Sprintf("10.0.%d.%d", n, i+11), "--ip", fmt.Sprintf("fd00:%d::%d", n, i+11),
					"--mac", fmt.Sprintf("02:00:00:00:00:%02x", i+1)))
			}
		}
	}
	return machines
}

func TestTenantsWithEqualAddressesAreApart(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	machines := twoTenants(o)

	heard := map[*machine]*lab.Capture{}
	for _, m := range machines {
		heard[m] = o.capture(m)
	}
	for _, from := range machines {
		for _, to := range machines {
			if from != to && from.port.Ref().NetworkRef() == to.port.Ref().NetworkRef() {
				o.reaches(from, to.v4())
				o.reaches(from, to.v6())
			}
		}
	}
	// Full-size segments, in both families, once around.
	for i, from := range machines {
		to := machines[(i+1)%3+i/3*3]
		for _, addr := range []netip.Addr{to.v4(), to.v6()} {
			got, err := lab.Transfer(t.Context(), from.Workload, to.Workload, addr, 256<<10)
			if err != nil {
				t.Error(err)
			}
			// The ports' MTU of 1550, less the headers of IPv6 and TCP with timestamps.
			if least := 1550 - 40 - 20 - 12; got.MSS < least {
				t.Errorf("%s to %s: segments of %d bytes, want at least %d", from.port.Ref(), addr, got.MSS, least)
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
	o.say(from, to, payload)
	heard[to].MustSee(t, pollTime, "the datagram", carries(payload))
	broadcast := []byte("for all of acme/web")
	o.shout(from, broadcast)
	for _, m := range machines[1:3] {
		heard[m].MustSee(t, pollTime, "the broadcast", carries(broadcast))
	}
	for _, m := range machines[3:] {
		heard[m].MustNotSee(t, "what was said in acme/web", carries(payload))
		heard[m].MustNotSee(t, "what was broadcast in acme/web", carries(broadcast))
	}
}

// A tunnel packet from an address that is no host's VTEP enters no network, and
// neither does one of a host with a VNI of nobody.
func TestForeignTunnelPacketsAreDropped(t *testing.T) {
	o := newOverlay(t, lab.Config{}, 2) // the third host runs no ovloomd: a stranger
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--vni", "5001")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.reaches(a, b.v4())
	heard := o.capture(b)

	forged := []byte("forged")
	inner := lab.IPFrame(a.port.MAC, b.port.MAC, a.v4(), b.v4(), lab.ProtoUDP, 64,
		lab.UDP(netip.AddrPortFrom(a.v4(), 9), netip.AddrPortFrom(b.v4(), 9), forged))
	for range 5 {
		sendVXLAN(t, o.Hosts[2], o.Hosts[1].VTEP, 5001, inner)
	}
	o.dropped(o.Hosts[1], "unknown-vtep", 5)
	heard.MustNotSee(t, "a frame forged by a stranger", carries(forged))
}

// sendVXLAN sends tunnel packets (RFC 7348) from a host's own address.
func sendVXLAN(t *testing.T, from *lab.Host, to netip.Addr, vni uint32, inners ...[]byte) {
	t.Helper()
	err := from.InNetNS(func() error {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 4789)))
		if err != nil {
			return err
		}
		defer conn.Close()
		// The kernel leaves checksums to a network card, which is not there; VXLAN may
		// go without one.
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		var option error
		err = raw.Control(func(fd uintptr) { option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
		if err = errors.Join(err, option); err != nil {
			return err
		}
		for _, inner := range inners {
			if _, err := conn.Write(append([]byte{0x08, 0, 0, 0, byte(vni >> 16), byte(vni >> 8), byte(vni), 0}, inner...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An interface that somebody else put on the bridge is bound all the same, by
// its port's name or UUID; one that names nothing is not heard.
func TestInterfacesOfOthersAreBound(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a := o.plug(o.Hosts[0], "acme/web/c1")
	h := o.Hosts[1]

	for _, by := range []string{"name", "uuid"} {
		t.Run("by "+by, func(t *testing.T) {
			m := &machine{}
			o.run("port", "add", "acme/web/by-"+by)
			o.get(h, &m.port, "port", "show", "acme/web/by-"+by)
			id := map[string]string{"name": m.port.Ref().String(), "uuid": m.port.UUID}[by]
			o.plugByHand(h, m, "vm-"+by, id)
			o.reaches(m, a.v4())
			lab.Eventually(t, pollTime, "ovloom-installed on the interface", func() error {
				_, err := h.Vsctl(t.Context(), "--if-exists", "get", "interface", "vm-"+by, "external_ids:ovloom-installed")
				return err
			})
		})
	}

	t.Run("plugged before its port exists", func(t *testing.T) {
		m := &machine{port: intent.Port{Tenant: "acme", Network: "web", Name: "late",
			MAC: intent.MAC{2, 9}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.77")}}}
		o.plugByHand(h, m, "vm-late", m.port.Ref().String())
		lab.Eventually(t, pollTime, "status to warn of an interface that names no port", func() error {
			if w := o.status(h).Warnings; len(w) != 1 || !strings.Contains(w[0].What, "acme/web/late") {
				return fmt.Errorf("it warns of %v", w)
			}
			return nil
		})
		if _, err := m.Ping(t.Context(), a.v4()); err == nil {
			t.Error("an interface without a port reaches a network")
		}
		o.run("port", "add", "acme/web/late", "--ip", "10.0.0.77", "--mac", m.port.MAC.String())
		o.reaches(m, a.v4())
	})
}

// plugByHand puts an interface on the bridge as libvirt would.
func (o *overlay) plugByHand(h *lab.Host, m *machine, hostIf, ifaceID string) {
	o.t.Helper()
	w, err := h.NewWorkload(o.t.Context(), hostIf)
	if err != nil {
		o.t.Fatal(err)
	}
	m.Workload = w
	v := lab.Veth{HostIf: hostIf, MAC: m.port.MAC.String(), InterfaceID: ifaceID}
	for _, a := range m.port.Addrs {
		v.Addrs = append(v.Addrs, netip.PrefixFrom(a, 24))
	}
	if err := w.PlugVeth(o.t.Context(), v); err != nil {
		o.t.Fatal(err)
	}
}

// Two daemons on one machine, each with a name, a bridge, directories and a
// socket of its own.
func TestTwoDaemonsOnOneMachine(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.status(h) // the first one has made its bridges
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
	lab.Eventually(t, pollTime, "the second daemon to drive its bridge", func() error {
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
	o.run("tenant", "add", "acme")
	if out, err := second("tenant", "list"); err != nil || strings.Contains(out, "acme") {
		t.Errorf("the second daemon has the first one's tenant: %s, %v", out, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
