package lab

// This file is the outside of the overlay: a namespace that plays the internet, a network
// through which the hosts reach it like any machine, and a provider's segment that ends in a
// bridge of each host.

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses outside the overlay.
var (
	// InternetServer is the outside's own address, which is in none of the networks.
	InternetServer = netip.MustParseAddr("192.0.2.80")
	// Campus is the provider's segment; the outside is its router, and has another address in
	// it.
	Campus        = netip.MustParsePrefix("203.0.113.0/24")
	CampusGateway = netip.MustParseAddr("203.0.113.1")
	CampusServer  = netip.MustParseAddr("203.0.113.5")

	internetNet = netip.MustParsePrefix("198.51.100.0/24")
)

// What the outside adds to every host.
const (
	InternetNIC  = "eth2"  // leads to the internet, with an address and the default route
	CampusNIC    = "eth3"  // leads to the campus; a port of CampusBridge
	CampusBridge = "br-ex" // made by an operator
)

// Outside is a network namespace that plays the internet. Its interfaces are inet0
// and campus0.
type Outside struct{ *Workload }

// NewOutside connects the hosts of a lab of namespaces to the internet: by a NIC of their own
// with a default route, and by a bridge to the campus.
func (l *Lab) NewOutside(ctx context.Context) (*Outside, error) {
	w, err := l.Hosts[0].NewWorkload(ctx, "outside")
	if err != nil {
		return nil, err
	}
	o := &Outside{w}
	if err := o.connect(ctx); err != nil {
		return nil, fmt.Errorf("connect the outside: %w", err)
	}
	return o, nil
}

// InternetAddr returns a host's address in the network to the internet.
func (h *Host) InternetAddr() netip.Addr {
	a := internetNet.Addr().As4()
	for i, other := range h.lab.Hosts {
		if other == h {
			a[3] = byte(10 + i)
		}
	}
	return netip.AddrFrom4(a)
}

func (o *Outside) connect(ctx context.Context) error {
	l := o.Host.lab
	wires, err := openNetNS(l.wiresNS)
	if err != nil {
		return err
	}
	defer wires.close()
	at, err := openNetNS(o.path)
	if err != nil {
		return err
	}
	defer at.close()
	for _, network := range []struct {
		bridge, nic string
		addrs       []netip.Prefix
	}{
		{"internet", "inet0", []netip.Prefix{netip.PrefixFrom(internetNet.Addr().Next(), internetNet.Bits())}},
		{"campus", "campus0", []netip.Prefix{netip.PrefixFrom(CampusGateway, Campus.Bits()), netip.PrefixFrom(CampusServer, Campus.Bits())}},
	} {
		if err := wires.addBridge(network.bridge, 1500); err != nil {
			return err
		}
		if err := at.addVeth(network.nic, 1500, "out-"+network.bridge, wires); err != nil {
			return err
		}
		if err := wires.enslave("out-"+network.bridge, network.bridge); err != nil {
			return err
		}
		for _, a := range network.addrs {
			if err := at.addAddr(network.nic, a); err != nil {
				return err
			}
		}
		// See PlugVeth.
		if _, err := o.Exec(ctx, "ethtool", "-K", network.nic, "tx", "off"); err != nil {
			return err
		}
	}
	if err := at.addAddr("lo", netip.PrefixFrom(InternetServer, 32)); err != nil {
		return err
	}
	if err := setSysctl(o.path, "ipv4/ip_forward", "1"); err != nil {
		return err
	}
	for i, h := range l.Hosts {
		if err := h.connectOutside(ctx, wires, i+1); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// connectOutside connects a host to the internet and the campus.
func (h *Host) connectOutside(ctx context.Context, wires *nsHandle, number int) error {
	at, err := openNetNS(h.netns)
	if err != nil {
		return err
	}
	defer at.close()
	for nic, bridge := range map[string]string{InternetNIC: "internet", CampusNIC: "campus"} {
		peer := fmt.Sprintf("h%d-%s", number, nic)
		if err := at.addVeth(nic, 1500, peer, wires); err != nil {
			return err
		}
		if err := wires.enslave(peer, bridge); err != nil {
			return err
		}
	}
	if err := at.addAddr(InternetNIC, netip.PrefixFrom(h.InternetAddr(), internetNet.Bits())); err != nil {
		return err
	}
	link, err := at.LinkByName(InternetNIC)
	if err != nil {
		return err
	}
	if err := at.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Family: unix.AF_INET, Gw: internetNet.Addr().Next().AsSlice()}); err != nil {
		return fmt.Errorf("add the default route: %w", err)
	}
	_, err = h.Vsctl(ctx, "add-br", CampusBridge, "--", "set", "bridge", CampusBridge, "datapath_type="+Datapath(),
		"--", "add-port", CampusBridge, CampusNIC)
	return err
}
