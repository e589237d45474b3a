package overlay

import (
	"fmt"
	"net/netip"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// Foreign is a Linux machine without ovloom: a bridge with a vxlan device, and a
// workload behind it.
type Foreign struct {
	*Machine
	VTEP netip.Addr
}

// FDBMode is how a Linux vxlan device learns the VTEP of a MAC.
type fdbMode string

const (
	FDBLearning fdbMode = "learning"
	FDBStatic   fdbMode = "nolearning" // by static entries
)

// ForeignMachine makes one on a host without ovloomd. It floods to the given hosts. No NIC
// fills in checksums, so the kernel must, also outer UDP checksums.
func (o *Overlay) ForeignMachine(h *lab.Host, network intent.Network, name string, mode fdbMode, floodTo []*lab.Host, n byte) *Foreign {
	o.T.Helper()
	w, err := h.NewWorkload(o.T.Context(), name)
	if err != nil {
		o.T.Fatal(err)
	}
	m := &Foreign{Machine: &Machine{Workload: w, Port: intent.Port{
		Tenant: network.Tenant, Network: network.Name, Name: name, MAC: intent.MAC{2, 0, 0, 0, 2, n},
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 200 + n}), netip.MustParseAddr(fmt.Sprintf("fd00:1::2%02d", n))},
	}}, VTEP: h.VTEP}
	o.Script(h.Exec, fmt.Sprintf(`
		ip link add br%[1]d mtu 1550 type bridge mcast_snooping 0
		ip link set br%[1]d up
		ip link add vx%[1]d mtu 1550 type vxlan id %[1]d dstport 4789 local %[2]s %[3]s
		ip link set vx%[1]d master br%[1]d up
		ethtool -K vx%[1]d tx off >/dev/null
		ethtool -K eth1 tx off >/dev/null
		ip link add ve%[1]d mtu 1550 type veth peer name eth0 mtu 1550 address %[4]s netns %[5]s
		ip link set ve%[1]d master br%[1]d up`, network.VNI, h.VTEP, mode, m.Port.MAC, w.NetNS))
	for _, to := range floodTo {
		o.Script(h.Exec, fmt.Sprintf("bridge fdb append 00:00:00:00:00:00 dev vx%d dst %s", network.VNI, to.VTEP))
	}
	o.Script(w.Exec, fmt.Sprintf(`
		ethtool -K eth0 tx off >/dev/null
		ip link set eth0 up
		ip addr add %s/24 dev eth0
		ip addr add %s/64 dev eth0 nodad`, m.V4(), m.V6()))
	return m
}
