package l2_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// Behind a port of a learning network live machines that the store does not know;
// they are reached from other hosts, up to the port's limit.
func TestMachinesBehindAPortAreLearned(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: []string{
		`xcache LEARN action execution failed`, // Open vSwitch, of a flow that it would learn beyond the limit
	}})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/lab", "--subnet", "10.0.0.0/24", "--learning")
	vm := o.Plug(o.Hosts[0], "acme/lab/vm", "--learn", "2")
	far := o.Plug(o.Hosts[1], "acme/lab/far")
	near := o.Plug(o.Hosts[0], "acme/lab/near")
	o.Reaches(vm, far.V4())

	// Containers inside the workload, each with a MAC of its own: macvlan shares
	// the port's interface. The first two make the limit.
	inside := func(n int) (intent.MAC, netip.Addr) {
		return intent.MAC{2, 0, 0, 0, 1, byte(n)}, netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + n)})
	}
	for n := range 3 {
		mac, addr := inside(n)
		script := fmt.Sprintf(`ip link add in%[1]d link eth0 address %[2]s type macvlan mode bridge
			ethtool -K in%[1]d tx off >/dev/null
			sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.in%[1]d.rp_filter=0
			ip addr add %[3]s/32 dev in%[1]d
			ip link set in%[1]d up
			ip rule add from %[3]s table %[4]d
			ip route add 10.0.0.0/24 dev in%[1]d src %[3]s table %[4]d`, n, mac, addr, 100+n)
		if _, err := vm.Exec(t.Context(), "sh", "-ec", script); err != nil {
			t.Fatal(err)
		}
	}
	speak := func(n int) {
		mac, addr := inside(n)
		// Its first packet: a broadcast question.
		frame := lab.ARP{Op: 1, SHA: mac, SPA: addr, TPA: netip.MustParseAddr("10.0.0.222")}.Frame(mac, lab.Broadcast)
		if err := vm.SendFrame(fmt.Sprintf("in%d", n), frame); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 {
		_, addr := inside(n)
		speak(n)
		o.Reaches(far, addr)
		o.Reaches(near, addr)
	}

	third, addr := inside(2)
	heard := o.Capture(far)
	before := o.Drops(vm.Host, "learn-limit")
	speak(2)
	o.Dropped(vm.Host, "learn-limit", before+1)
	if _, err := far.Ping(t.Context(), addr); err == nil {
		t.Errorf("a third machine is reached behind a port that may have two")
	}
	heard.MustNotSee(t, "a frame of the third machine", func(p lab.Packet) bool { return p.Src == third })

	// A machine behind a port cannot take an address that the store gave to another port.
	alien, _ := inside(0)
	before = o.Drops(vm.Host, "spoof-arp")
	o.Send(vm, lab.ARP{Op: 2, SHA: alien, SPA: far.V4(), THA: near.Port.MAC, TPA: near.V4()}.Frame(alien, near.Port.MAC))
	o.Dropped(vm.Host, "spoof-arp", before+1)
	before = o.Drops(vm.Host, "spoof-mac")
	o.Send(vm, overlay.Datagram(far.Port.MAC, near.Port.MAC, alienAddr, near.V4(), []byte("as far")))
	o.Dropped(vm.Host, "spoof-mac", before+1)

	// When the port goes, the MACs learned behind it go, too.
	o.RunOn(vm.Host, "port", "unplug", "acme/lab/vm")
	lab.Eventually(t, overlay.PollTime, "learned flows to go", func() error {
		out, err := vm.Host.Exec(t.Context(), "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "unix:"+vm.Host.MgmtSock("br-int"), "cookie=0xf06000000000000/0xffff000000000000")
		if err == nil && strings.Contains(out, "table=") {
			err = fmt.Errorf("left: %s", out)
		}
		return err
	})
}

var alienAddr = netip.MustParseAddr("10.0.0.100")

// Without learning, only ports' own MACs may send.
func TestOtherMACsAreNotLearnedWithoutLearning(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	if _, err := o.Hosts[0].Ovloom(t.Context(), "port", "add", "acme/web/c1", "--learn", "2"); lab.ExitCode(err) != 2 {
		t.Errorf("a port that learns in a network that does not: exit code %d, want 2 (%v)", lab.ExitCode(err), err)
	}
}
