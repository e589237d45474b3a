package agent

// Plugging: all checks come before the first change, and changes are undone if a later step
// fails.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// Plug puts an interface into a workload and adds it to the integration bridge. From there on
// it is like any other interface on the bridge: the controller sees its iface-id and binds
// the port.
func (a *Agent) Plug(ctx context.Context, r api.PlugRequest) (result api.PlugResult, err error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return api.PlugResult{}, err
	}
	defer leave()
	// From here on Told keeps changes of the port, so that none is missed between reading
	// the port and writing its record.
	defer a.expect(r.Ref)()
	port, network, err := a.wanted(ctx, r)
	if err != nil {
		return api.PlugResult{}, err
	}
	free, err := a.locks.take(ctx, port.UUID)
	if err != nil {
		return api.PlugResult{}, err
	}
	defer free()
	mtu, err := a.mtu(network)
	if err != nil {
		return api.PlugResult{}, err
	}
	if err := a.notElsewhereHere(r, port); err != nil {
		return api.PlugResult{}, err
	}
	a.learn(port, network)
	defer a.lookSoon(port.UUID)
	done := a.cfg.Expect(ctx, r.Ref)
	defer func() { done(err) }()
	result = api.PlugResult{Ifname: r.Ifname, MAC: port.MAC, Addrs: port.Addrs, MTU: mtu}
	if r.Tap != "" {
		result.Interface = r.Tap
		result.Notes, err = a.plugTap(ctx, r, port, mtu)
		return result, err
	}
	result.Interface = hostnet.HostIfName(port.UUID)
	result.Notes, err = a.plugPair(ctx, r, port, network, mtu)
	return result, err
}

// wanted reads a port and its network from the store, and checks whether another host holds
// the port. The reads run in parallel, because the caller of Plug waits for them.
func (a *Agent) wanted(ctx context.Context, r api.PlugRequest) (port intent.Port, network intent.Network, err error) {
	var noNetwork, held error
	var asked sync.WaitGroup
	asked.Go(func() { network, noNetwork = a.cfg.Store.Network(ctx, r.Ref.NetworkRef()) })
	if !r.Take {
		asked.Go(func() { held = a.cfg.Claims.Free(ctx, r.Ref, a.cfg.Host) })
	}
	port, err = a.cfg.Store.Port(ctx, r.Ref)
	asked.Wait()
	for _, other := range []error{noNetwork, held} {
		if err == nil {
			err = other
		}
	}
	return port, network, err
}

// claim is a claim under way, made in parallel with the interface.
type claim struct {
	a    *Agent
	ref  intent.PortRef
	have uint64 // the generation that the interface has already

	done chan struct{}
	got  intent.Binding // valid when done is closed
	err  error
}

// startClaim starts to claim a port for an interface; wait returns the outcome.
func (a *Agent) startClaim(ctx context.Context, r api.PlugRequest, name string) *claim {
	c := &claim{a: a, ref: r.Ref, done: make(chan struct{})}
	for _, i := range a.cfg.Switch.Interfaces(a.cfg.Bridge) {
		if i.Name == name {
			c.have = i.Generation
		}
	}
	ask, have := a.cfg.Claims.ClaimFree, c.have
	if r.Take {
		// This host's claim may have lost against a newer one: only a new claim takes the port.
		ask, have = a.cfg.Claims.Claim, 0
	}
	go func() {
		defer close(c.done)
		c.got, c.err = ask(ctx, r.Ref, a.cfg.Host, have)
	}()
	return c
}

// wait returns the generation of the claim.
func (c *claim) wait() (uint64, error) {
	<-c.done
	return c.got.Generation, c.err
}

// undo releases a claim that was just made, so that the host that held the port before holds
// it again.
func (c *claim) undo(ctx context.Context) error {
	generation, err := c.wait()
	if err != nil || generation == c.have {
		return nil
	}
	return c.a.cfg.Claims.Release(ctx, c.ref, c.a.cfg.Host, generation)
}

// notElsewhereHere fails if another interface of this host carries the port.
func (a *Agent) notElsewhereHere(r api.PlugRequest, port intent.Port) error {
	name := r.Tap
	if name == "" {
		name = hostnet.HostIfName(port.UUID)
	}
	for _, i := range a.interfacesOf(r.Ref, port.UUID) {
		if i.Name != name {
			return intent.Conflictf("port %s is plugged here already, as interface %s", r.Ref, i.Name).
				WithHint("unplug it first: ovloom port unplug %s", r.Ref)
		}
	}
	if rec, ok := a.records.get(port.UUID); ok && rec.Interface != name {
		return intent.Conflictf("port %s is plugged here already, as interface %s", r.Ref, rec.Interface).
			WithHint("unplug it first: ovloom port unplug %s", r.Ref)
	}
	return nil
}

// mtu returns the MTU of the network's ports on this host, in bytes of IP packet.
func (a *Agent) mtu(n intent.Network) (int, error) {
	underlay, ifname, err := a.underlay()
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

// specOf returns a port as it must be in its namespace.
func (a *Agent) specOf(rec Record, port intent.Port, network intent.Network, mtu int) hostnet.PlugSpec {
	spec := hostnet.PlugSpec{
		Port: port.UUID, Alias: rec.Ref, Target: rec.target(),
		IfName: rec.Ifname, MAC: port.MAC, MTU: mtu,
		TXChecksumOff: a.cfg.Datapath == ovsdb.DatapathNetdev,
	}
	for _, addr := range port.Addrs {
		for _, s := range network.Subnets {
			if s.Prefix.Contains(addr) {
				spec.Addrs = append(spec.Addrs, netip.PrefixFrom(addr, s.Prefix.Bits()))
				if !rec.NoDefaultRoute {
					spec.Gateways = addGateway(spec.Gateways, s.Gateway)
				}
			}
		}
	}
	return spec
}

// addGateway adds a gateway unless the list has one of its family.
func addGateway(list []netip.Addr, g netip.Addr) []netip.Addr {
	if !g.IsValid() || slices.ContainsFunc(list, func(have netip.Addr) bool { return have.Is6() == g.Is6() }) {
		return list
	}
	return append(list, g)
}

// plugPair plugs a port into a namespace, or reconciles it there.
func (a *Agent) plugPair(ctx context.Context, r api.PlugRequest, port intent.Port, network intent.Network, mtu int) (notes []string, err error) {
	rec := Record{
		Port: port.UUID, Ref: r.Ref.String(), Kind: KindNetns, Interface: hostnet.HostIfName(port.UUID),
		Netns: r.Netns, PID: r.PID, Ifname: r.Ifname, NoDefaultRoute: r.NoDefaultRoute,
	}
	if r.PID != 0 {
		rec.Kind = KindProcess
	}
	spec := a.specOf(rec, port, network, mtu)
	old, again := a.records.get(port.UUID)
	if again {
		spec.OldAddrs, spec.OldGateways = old.Addrs, old.Gateways
	}
	undo := context.WithoutCancel(ctx)
	start := time.Now()
	claim := a.startClaim(ctx, r, rec.Interface)
	plugged, err := a.cfg.Network.Plug(ctx, spec)
	if err != nil {
		return nil, errors.Join(err, claim.undo(undo))
	}
	rec.take(spec, plugged)
	made := time.Since(start)
	generation, err := claim.wait()
	claimed := time.Since(start)
	defer func() {
		a.log.Debug("plugged", "port", r.Ref, "made-after", made, "claimed-after", claimed, "in-all", time.Since(start), "error", err)
	}()
	if err == nil {
		err = a.remember(ctx, rec, func() error {
			return a.cfg.Switch.AddPort(ctx, a.cfg.Bridge, portSpec(rec, generation))
		})
	}
	if err != nil {
		err = errors.Join(err, claim.undo(undo))
		switch {
		case plugged.Made:
			err = errors.Join(err, a.cfg.Switch.DelPort(undo, a.cfg.Bridge, rec.Interface), a.records.remove(rec.Port), a.cfg.Network.Unplug(undo, rec.Port))
		case !again:
			err = errors.Join(err, a.records.remove(rec.Port))
		}
		return nil, err
	}
	for _, gw := range slices.SortedFunc(maps.Keys(plugged.Elsewhere), netip.Addr.Compare) {
		family := "IPv4"
		if gw.Is6() {
			family = "IPv6"
		}
		notes = append(notes, fmt.Sprintf("no default route through %s: the namespace has one for %s already, %s", gw, family, plugged.Elsewhere[gw]))
	}
	return notes, nil
}

// take records what hostnet.Plug has configured.
func (r *Record) take(spec hostnet.PlugSpec, p hostnet.Plugged) {
	r.IfIndex, r.Place = p.IfIndex, p.Place
	r.Ifname, r.MAC, r.MTU, r.Addrs = spec.IfName, spec.MAC, spec.MTU, spec.Addrs
	r.Gateways = slices.DeleteFunc(slices.Clone(spec.Gateways), func(g netip.Addr) bool {
		_, elsewhere := p.Elsewhere[g]
		return elsewhere
	})
}

// portSpec returns the wanted port of the switch.
func portSpec(r Record, generation uint64) ovsdb.PortSpec {
	return ovsdb.PortSpec{Name: r.Interface, IfaceID: r.Port, PluggedFor: r.Ref, IfIndex: r.IfIndex, Generation: generation}
}

// remember writes a record and calls add, which adds the port to the switch, in parallel:
// both wait for the disk.
func (a *Agent) remember(_ context.Context, rec Record, add func() error) error {
	var noRecord error
	var written sync.WaitGroup
	written.Go(func() { noRecord = a.records.put(rec) })
	err := add()
	written.Wait()
	return errors.Join(err, noRecord)
}

// plugTap plugs a port into an interface that exists already, such as a VM's tap.
func (a *Agent) plugTap(ctx context.Context, r api.PlugRequest, port intent.Port, mtu int) (notes []string, err error) {
	if _, ifname, err := a.underlay(); err == nil && ifname == r.Tap {
		return nil, intent.Conflictf("interface %s holds this host's VTEP address: the tunnels end there", r.Tap).WithHint("name the tap of a VM")
	}
	if on, ok := a.cfg.Switch.PortBridge(r.Tap); ok && on != a.cfg.Bridge {
		return nil, intent.Conflictf("port %s is on bridge %s already", r.Tap, on).
			WithHint("remove it there: ovs-vsctl del-port %s %s", on, r.Tap)
	}
	there := false
	if r.Tap == a.cfg.Bridge { // the bridge's own port, which Interfaces leaves out
		return nil, intent.Conflictf("interface %s is the bridge itself", r.Tap).WithHint("name the tap of a VM")
	}
	for _, i := range a.cfg.Switch.Interfaces(a.cfg.Bridge) {
		switch {
		case i.Name != r.Tap:
		case i.IfaceID != "" && i.IfaceID != port.UUID && i.IfaceID != r.Ref.String():
			return nil, intent.Conflictf("interface %s carries port %s already", r.Tap, nameOf(i)).
				WithHint("unplug that first: ovloom port unplug %s", nameOf(i))
		case i.Type != "" || i.Uplink != "":
			return nil, intent.Conflictf("interface %s belongs to bridge %s itself", r.Tap, a.cfg.Bridge).WithHint("name the tap of a VM")
		default:
			there = true
		}
	}
	tap, err := a.cfg.Network.CheckTap(r.Tap, r.Force)
	if err != nil {
		return nil, err
	}
	if tap.ChecksumsLeft && a.cfg.Datapath == ovsdb.DatapathNetdev {
		notes = append(notes, "the guest may leave checksums to "+r.Tap+", which the userspace datapath does not compute: ping works, TCP and UDP do not; "+hostnet.GuestAdvice)
	}
	_, again := a.records.get(port.UUID)
	rec := Record{Port: port.UUID, Ref: r.Ref.String(), Kind: KindTap, Interface: r.Tap, IfIndex: tap.IfIndex, MTU: mtu, Force: r.Force}
	claim := a.startClaim(ctx, r, r.Tap)
	generation, err := claim.wait()
	if err != nil {
		return nil, err
	}
	// Open vSwitch logs errors of an interface that is down.
	restore, err := a.cfg.Network.ReadyTap(tap, mtu)
	if err == nil {
		err = a.remember(ctx, rec, func() error { return a.cfg.Switch.AddPort(ctx, a.cfg.Bridge, portSpec(rec, generation)) })
	}
	if err == nil {
		return notes, nil
	}
	err = errors.Join(err, restore(), claim.undo(context.WithoutCancel(ctx)))
	if !there {
		err = errors.Join(err, a.cfg.Switch.DelPort(context.WithoutCancel(ctx), a.cfg.Bridge, r.Tap))
	}
	if !again {
		err = errors.Join(err, a.records.remove(port.UUID))
	}
	return nil, err
}

// nameOf names the port that an interface carries.
func nameOf(i ovsdb.Interface) string {
	if i.PluggedFor != "" {
		return i.PluggedFor
	}
	return i.IfaceID
}

// interfacesOf returns the interfaces on the bridge that name the port's UUID, and
// interfaces that ovloom plugged for a deleted port of the same name. uuid is "" if the
// port does not exist.
func (a *Agent) interfacesOf(ref intent.PortRef, uuid string) []ovsdb.Interface {
	name := ref.String()
	return slices.DeleteFunc(a.cfg.Switch.Interfaces(a.cfg.Bridge), func(i ovsdb.Interface) bool {
		return (uuid == "" || i.IfaceID != uuid) && i.IfaceID != name && i.PluggedFor != name
	})
}
