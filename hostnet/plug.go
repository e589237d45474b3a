package hostnet

// Plugging: a veth pair with one end on the host, for Open vSwitch, and the other
// in the workload's namespace.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// PlugSpec is the wanted state of a port in its namespace.
type PlugSpec struct {
	Port   string // the port's permanent identity: its UUID
	Alias  string // what `ip link` shows beside the host's end, such as acme/web/c1; may be ""
	Target Target

	IfName   string         // of the end in the namespace; "": eth0
	MAC      intent.MAC     // zero: chosen by the kernel
	Addrs    []netip.Prefix // each address with its subnet's length
	Gateways []netip.Addr   // a default route through each, unless there is another one; at most one per family
	MTU      int            // bytes of IP packet; 0: 1500

	// TXChecksumOff makes the workload compute checksums itself. The userspace datapath
	// needs that: it forwards packets unchanged, and TCP fails if the checksum was left
	// to a network card.
	TXChecksumOff bool

	// What an earlier Plug has set and is not wanted any more is taken away: all of
	// these that Addrs and Gateways lack. What the workload has set itself stays.
	OldAddrs    []netip.Prefix
	OldGateways []netip.Addr

	// BeforeUp is called before the host's end can carry packets, and must succeed;
	// nil: no call. It may take a while, so the pair is made and configured before it.
	BeforeUp func() error

	// OnlyExisting makes Plug fail with NotFound where it would have to make the pair.
	OnlyExisting bool
}

// Plugged is a plugged port.
type Plugged struct {
	HostIf  string // the host's end, to be added to the bridge
	IfIndex int    // of the host's end: a new index means a new interface
	Place   Place  // where the other end is
	Made    bool   // the pair was made by this call
	Changed bool   // the call changed something
	Did     []string

	// Elsewhere lists the gateways without a default route, because the namespace has
	// another one, with where that leads: "through eth0".
	Elsewhere map[netip.Addr]string
}

// HostIfName returns the name of the host's end of a port: "ovl" and 12 digits, the
// most that a name can have. They are a hash, because parts of a UUID (time, machine)
// are often equal.
func HostIfName(port string) string {
	sum := sha256.Sum256([]byte(port))
	return "ovl" + hex.EncodeToString(sum[:6])
}

// Plug plugs a port, or puts right what differs in one that is plugged there
// already. When it fails to make the port, nothing is left of it. It fails with
//
//   - NotFound: the namespace or the process does not exist;
//   - Conflict: the namespace has another interface of that name, or the port is
//     plugged elsewhere;
//   - Invalid: the spec makes no sense.
func Plug(ctx context.Context, p PlugSpec) (Plugged, error) {
	if p.IfName == "" {
		p.IfName = "eth0"
	}
	if p.MTU == 0 {
		p.MTU = 1500
	}
	if err := p.validate(); err != nil {
		return Plugged{}, err
	}
	ns, place, err := p.Target.open()
	if err != nil {
		return Plugged{}, err
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return Plugged{}, fmt.Errorf("netlink in %s: %w", p.Target, err)
	}
	defer inside.Close()
	if err := ctx.Err(); err != nil {
		return Plugged{}, fmt.Errorf("plug %s: %w", p.Port, err)
	}

	name := HostIfName(p.Port)
	host, err := linkByName(name)
	if err != nil {
		return Plugged{}, err
	}
	peer, err := linkAt(inside, p.IfName)
	if err != nil {
		return Plugged{}, err
	}
	made := false
	switch {
	case host != nil && peer != nil && arePeers(host, peer, ns):
	case host != nil:
		return Plugged{}, intent.Conflictf("the port is plugged already, and not as %s in %s (its end on the host is %s)", p.IfName, p.Target, name).
			WithHint("unplug it first")
	case peer != nil:
		return Plugged{}, intent.Conflictf("%s has an interface %s already", p.Target, p.IfName).
			WithHint("choose another name with --ifname")
	case p.OnlyExisting:
		return Plugged{}, intent.NotFoundf("interface %s does not exist", name)
	default:
		if err := makePair(name, p, ns); err != nil {
			return Plugged{}, err
		}
		made = true
	}
	result, err := configure(ctx, name, p, ns, inside)
	if err != nil && made {
		return Plugged{}, errors.Join(err, deleteLink(name))
	}
	result.Place, result.Made, result.Changed = place, made, result.Changed || made
	return result, err
}

// Unplug deletes what Plug made; if there is nothing it returns nil.
func Unplug(_ context.Context, port string) error {
	name := HostIfName(port)
	l, err := linkByName(name)
	if err != nil || l == nil {
		return err
	}
	if l.Type() != "veth" {
		return intent.Conflictf("interface %s is a %s, not a veth: ovloom did not make it", name, l.Type())
	}
	return deleteLink(name)
}

func (p PlugSpec) validate() error {
	if p.Port == "" {
		return intent.Invalidf("the port to plug has no id")
	}
	if len(p.IfName) > 15 {
		return intent.Invalidf("interface name %q has %d bytes", p.IfName, len(p.IfName)).WithHint("at most 15")
	}
	var v4, v6 bool
	for _, a := range p.Addrs {
		if !a.IsValid() {
			return intent.Invalidf("an address of the port is malformed")
		}
		if a.Addr().Is6() && p.MTU < 1280 {
			return intent.Invalidf("MTU %d is too small for IPv6", p.MTU).WithHint("at least 1280 (RFC 8200)")
		}
	}
	for _, g := range p.Gateways {
		if !g.IsValid() || g.Is4() && v4 || g.Is6() && v6 {
			return intent.Invalidf("gateways %v are malformed", p.Gateways).WithHint("one IPv4 and one IPv6 address at most")
		}
		v4, v6 = v4 || g.Is4(), v6 || g.Is6()
	}
	return nil
}

// makePair makes the veth pair, its other end directly in the namespace: on the host
// its name may be taken.
func makePair(name string, p PlugSpec, ns netns.NsHandle) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, p.MTU
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerMTU, veth.PeerNamespace = p.IfName, uint32(p.MTU), netlink.NsFd(ns)
	if !p.MAC.IsZero() {
		veth.PeerHardwareAddr = p.MAC[:]
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make the veth pair %s, %s in %s: %w", name, p.IfName, p.Target, err)
	}
	return nil
}

// arePeers reports whether two veths, one on the host and one in the namespace, are the
// two ends of one pair. Equal indices alone could be a coincidence.
func arePeers(host, inside netlink.Link, ns netns.NsHandle) bool {
	h, i := host.Attrs(), inside.Attrs()
	id, err := netlink.GetNetNsIdByFd(int(ns))
	return err == nil && id >= 0 && host.Type() == "veth" && inside.Type() == "veth" &&
		h.NetNsID == id && h.ParentIndex == i.Index && i.ParentIndex == h.Index
}
