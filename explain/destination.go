package explain

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// destination is where a packet is sent.
type destination struct {
	mac  intent.MAC // zero: it has to be resolved
	addr netip.Addr // invalid: the frame carries no IP
	note string     // for people
}

// destination parses the destination that the user gave.
func (j *journey) destination(ctx context.Context) (destination, error) {
	to := j.q.To
	if to == "broadcast" {
		if _, err := j.sender(limited); err != nil {
			return destination{mac: broadcastMAC}, nil
		}
		return destination{mac: broadcastMAC, addr: limited}, nil
	}
	if strings.Contains(to, "/") {
		return j.toPort(ctx, to)
	}
	if a, err := netip.ParseAddr(to); err == nil {
		return j.toAddr(a.WithZone("").Unmap()), nil
	}
	if m, err := net.ParseMAC(to); err == nil && len(m) == 6 {
		return j.toMAC(intent.MAC(m)), nil
	}
	return destination{}, intent.Invalidf("destination %q is neither an address nor a port", to).
		WithHint("give an IP address, a port such as acme/web/c2, a MAC address, or broadcast")
}

func (j *journey) toAddr(a netip.Addr) destination {
	switch {
	case a == limited || slices.ContainsFunc(j.network.Subnets, func(s intent.Subnet) bool { return isBroadcast(s.Prefix, a) }):
		return destination{mac: broadcastMAC, addr: a}
	case a.IsMulticast():
		return destination{mac: groupMAC(a), addr: a}
	}
	return destination{addr: a}
}

// isBroadcast reports whether a is the last address of an IPv4 subnet.
func isBroadcast(p netip.Prefix, a netip.Addr) bool {
	if !a.Is4() || !p.Contains(a) || p.Bits() > 30 {
		return false
	}
	return !p.Contains(a.Next())
}

func (j *journey) toMAC(m intent.MAC) destination {
	for _, p := range j.snap.Ports {
		if p.MAC == m && p.Ref().NetworkRef() == j.network.Ref() {
			if a, ok := j.common(p); ok {
				return destination{mac: m, addr: a}
			}
		}
	}
	return destination{mac: m}
}

// common returns an address of a port in a family that the sender has too; IPv4 before
// IPv6.
func (j *journey) common(p intent.Port) (netip.Addr, bool) {
	for _, is6 := range []bool{false, true} {
		for _, a := range p.Addrs {
			if a.Is6() != is6 {
				continue
			}
			if _, err := j.sender(a); err == nil {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

func (j *journey) toPort(ctx context.Context, name string) (destination, error) {
	ref, err := intent.ParsePortRef(name)
	if err != nil {
		return destination{}, err
	}
	snap := j.snap
	if ref.Tenant != j.q.From.Tenant {
		if snap, err = j.Snapshot(ctx, ref.Tenant); err != nil {
			return destination{}, err
		}
	}
	p, ok := findPort(snap, ref)
	if !ok {
		return destination{}, intent.NotFoundf("port %s does not exist", ref).
			WithHint("`ovloom port list %s` shows those that do", ref.Tenant)
	}
	d := destination{}
	if ref.Tenant != j.q.From.Tenant {
		d.note = fmt.Sprintf("port %s is of another tenant, to which no way leads: its address is traced as one of %s", ref, j.q.From.Tenant)
	}
	if a, ok := j.common(p); ok {
		d.addr = a
		return d, nil
	}
	if ref.NetworkRef() != j.network.Ref() {
		return destination{}, intent.Invalidf("ports %s and %s have no addresses of one family", j.q.From, ref).
			WithHint("without an address only ports of one network reach each other")
	}
	d.mac = p.MAC
	return d, nil
}

// sender returns the source address of a packet to a: the one that the user gave, or else
// the port's nearest.
func (j *journey) sender(a netip.Addr) (netip.Addr, error) {
	if j.q.SrcAddr.IsValid() {
		if j.q.SrcAddr.Is4() != a.Is4() {
			return netip.Addr{}, intent.Invalidf("source address %s and destination %s are of different families", j.q.SrcAddr, a)
		}
		return j.q.SrcAddr, nil
	}
	return j.own(a)
}

// own returns the port's own address for a packet to a.
func (j *journey) own(a netip.Addr) (netip.Addr, error) {
	var first netip.Addr
	for _, own := range j.port.Addrs {
		if own.Is4() != a.Is4() {
			continue
		}
		if !first.IsValid() {
			first = own
		}
		if s, ok := j.subnet(own); ok && s.Prefix.Contains(a) {
			return own, nil
		}
	}
	if !first.IsValid() {
		family := "IPv6"
		if a.Is4() {
			family = "IPv4"
		}
		return first, intent.Invalidf("port %s has no %s address", j.q.From, family).
			WithHint("give one it is to use with --src, or a MAC address as the destination")
	}
	return first, nil
}

// subnet returns the network's subnet that contains an address.
func (j *journey) subnet(a netip.Addr) (intent.Subnet, bool) {
	for _, s := range j.network.Subnets {
		if s.Prefix.Contains(a) {
			return s, true
		}
	}
	return intent.Subnet{}, false
}
