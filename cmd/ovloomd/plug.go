// Plugging ports into namespaces and taps of this host.

package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// plugger puts an interface where a workload is and adds it to the integration
// bridge. From there on it is like an interface that anybody else added: the
// controller sees its iface-id and binds the port.
type plugger struct{ *daemon }

// Plug implements api.Plugger.
func (p plugger) Plug(ctx context.Context, r api.PlugRequest) (api.PlugResult, error) {
	port, network, err := p.wanted(ctx, r.Ref)
	if err != nil {
		return api.PlugResult{}, err
	}
	mtu, err := p.mtu(network)
	if err != nil {
		return api.PlugResult{}, err
	}
	plugged, err := p.attach(ctx, r, port, network, mtu)
	if err != nil {
		return api.PlugResult{}, err
	}
	err = p.db.AddPort(ctx, p.cfg.Bridge, ovsdb.PortSpec{
		Name: plugged.HostIf, IfaceID: port.UUID, PluggedFor: r.Ref.String(), IfIndex: plugged.IfIndex,
	})
	if err != nil {
		if r.Tap == "" {
			err = errors.Join(err, hostnet.Unplug(ctx, port.UUID))
		}
		return api.PlugResult{}, err
	}
	return api.PlugResult{Interface: plugged.HostIf, Ifname: r.Ifname, MAC: port.MAC, Addrs: port.Addrs, MTU: mtu}, nil
}

// wanted asks the store for a port and its network, both at once: whoever plugs waits.
func (p plugger) wanted(ctx context.Context, ref intent.PortRef) (port intent.Port, network intent.Network, err error) {
	var noNetwork error
	var asked sync.WaitGroup
	asked.Go(func() { network, noNetwork = p.store.Network(ctx, ref.NetworkRef()) })
	port, err = p.store.Port(ctx, ref)
	asked.Wait()
	if err == nil {
		err = noNetwork
	}
	return port, network, err
}

func (p plugger) attach(ctx context.Context, r api.PlugRequest, port intent.Port, network intent.Network, mtu int) (hostnet.Plugged, error) {
	name := r.Tap
	if name == "" {
		name = hostnet.HostIfName(port.UUID)
	}
	for _, i := range p.interfacesOf(r.Ref, port.UUID) {
		if i.Name != name {
			return hostnet.Plugged{}, intent.Conflictf("port %s is plugged here already, as interface %s", r.Ref, i.Name).
				WithHint("unplug it first: ovloom port unplug %s", r.Ref)
		}
	}
	if r.Tap != "" {
		return hostnet.PlugTap(ctx, r.Tap, mtu)
	}
	spec := hostnet.PlugSpec{
		Port: port.UUID, Alias: r.Ref.String(), Target: hostnet.Target{Netns: r.Netns, PID: r.PID},
		IfName: r.Ifname, MAC: port.MAC, MTU: mtu,
		TXChecksumOff: p.datapath == ovsdb.DatapathNetdev,
	}
	for _, a := range port.Addrs {
		for _, s := range network.Subnets {
			if s.Prefix.Contains(a) {
				spec.Addrs = append(spec.Addrs, netip.PrefixFrom(a, s.Prefix.Bits()))
				spec.Gateways = addGateway(spec.Gateways, s.Gateway)
			}
		}
	}
	return hostnet.Plug(ctx, spec)
}

// addGateway adds a gateway, unless there is one of its family.
func addGateway(list []netip.Addr, g netip.Addr) []netip.Addr {
	for _, have := range list {
		if have.Is6() == g.Is6() {
			return list
		}
	}
	return append(list, g)
}

// mtu returns the MTU of the network's ports here, in bytes of IP packet.
func (d *daemon) mtu(n intent.Network) (int, error) {
	underlay, ifname, err := hostnet.UnderlayMTU(d.host.VTEP)
	if err != nil {
		return 0, err
	}
	mtu := n.PortMTU(underlay)
	if most := underlay - intent.VXLANOverhead; mtu > most {
		return 0, intent.Conflictf("network %s has MTU %d, but the underlay of this host (%s) leaves %d", n.Ref(), mtu, ifname, most).
			WithHint("lower it (ovloom network set %s --mtu %d) or raise that of %s", n.Ref(), most, ifname)
	}
	return mtu, nil
}

// interfacesOf returns the interfaces on the bridge that name a port, and those
// that ovloom plugged for one of its name that was deleted since. A port that
// does not exist has no UUID.
func (d *daemon) interfacesOf(ref intent.PortRef, uuid string) []ovsdb.Interface {
	name := ref.String()
	return slices.DeleteFunc(d.db.Interfaces(d.cfg.Bridge), func(i ovsdb.Interface) bool {
		return (uuid == "" || i.IfaceID != uuid) && i.IfaceID != name && i.PluggedFor != name
	})
}

// WaitUp implements api.Plugger.
func (p plugger) WaitUp(ctx context.Context, ref intent.PortRef) error {
	return p.controller.WaitUp(ctx, ref)
}

// Unplug implements api.Plugger. It works while the store is down, and when the
// port does not exist any more.
func (p plugger) Unplug(ctx context.Context, ref intent.PortRef) error {
	port, err := p.store.Port(ctx, ref)
	switch intent.KindOf(err) {
	case intent.Unavailable:
		if view, known, viewErr := p.controller.Port(ctx, ref); viewErr == nil && known {
			port, err = view.Port, nil
		}
	case intent.NotFound:
	default:
		if err != nil {
			return err
		}
	}
	plugs := p.interfacesOf(ref, port.UUID)
	if len(plugs) == 0 {
		if err != nil {
			return err
		}
		return intent.NotFoundf("port %s is not plugged on this host (%s)", ref, p.cfg.HostName).
			WithHint("ovloom port show %s says where it is", ref)
	}
	for _, i := range plugs {
		if err := p.remove(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// remove takes an interface off the bridge, and deletes it if Plug made it.
func (d *daemon) remove(ctx context.Context, i ovsdb.Interface) error {
	if err := d.db.DelPort(ctx, d.cfg.Bridge, i.Name); err != nil {
		return err
	}
	if i.Name != hostnet.HostIfName(i.IfaceID) {
		return nil
	}
	return hostnet.Unplug(ctx, i.IfaceID)
}
