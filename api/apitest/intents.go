// Tenants, networks and ports of the overlay in memory.

package apitest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Tenants implements api.TenantStore; the order is any, as the store's may be.
func (o *Overlay) Tenants(ctx context.Context) ([]intent.Tenant, error) {
	end, err := o.begin(ctx, "Tenants")
	defer end()
	if err != nil {
		return nil, err
	}
	var ts []intent.Tenant
	for _, t := range o.tenants {
		ts = append(ts, t)
	}
	return ts, nil
}

// Tenant implements api.TenantStore.
func (o *Overlay) Tenant(ctx context.Context, name string) (intent.Tenant, error) {
	end, err := o.begin(ctx, "Tenant")
	defer end()
	if err != nil {
		return intent.Tenant{}, err
	}
	return o.findTenant(name)
}

func (o *Overlay) findTenant(name string) (intent.Tenant, error) {
	t, ok := o.tenants[name]
	if !ok {
		return t, intent.NotFoundf("tenant %s does not exist", name).WithHint("add it with `ovloom tenant add %s`", name)
	}
	return t, nil
}

// AddTenant implements api.TenantStore.
func (o *Overlay) AddTenant(ctx context.Context, name string) (intent.Tenant, int64, error) {
	end, err := o.begin(ctx, "AddTenant")
	defer end()
	if err != nil {
		return intent.Tenant{}, 0, err
	}
	if _, ok := o.tenants[name]; ok {
		return intent.Tenant{}, 0, intent.Conflictf("tenant %s exists", name)
	}
	t := intent.Tenant{Name: name, ID: o.id(), VRF: uint32(len(o.tenants) + 1)}
	o.tenants[name] = t
	return t, o.write(), nil
}

// Networks implements api.NetworkStore.
func (o *Overlay) Networks(ctx context.Context, tenant string) ([]intent.Network, error) {
	end, err := o.begin(ctx, "Networks")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(tenant); err != nil {
		return nil, err
	}
	var ns []intent.Network
	for ref, n := range o.networks {
		if ref.Tenant == tenant {
			ns = append(ns, n)
		}
	}
	return ns, nil
}

// Network implements api.NetworkStore.
func (o *Overlay) Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error) {
	end, err := o.begin(ctx, "Network")
	defer end()
	if err != nil {
		return intent.Network{}, err
	}
	return o.findNetwork(ref)
}

func (o *Overlay) findNetwork(ref intent.NetworkRef) (intent.Network, error) {
	if _, err := o.findTenant(ref.Tenant); err != nil {
		return intent.Network{}, err
	}
	n, ok := o.networks[ref]
	if !ok {
		return n, intent.NotFoundf("network %s does not exist", ref)
	}
	return n, nil
}

// AddNetwork implements api.NetworkStore.
func (o *Overlay) AddNetwork(ctx context.Context, n intent.Network) (intent.Network, int64, error) {
	end, err := o.begin(ctx, "AddNetwork")
	defer end()
	if err != nil {
		return intent.Network{}, 0, err
	}
	if _, err := o.findTenant(n.Tenant); err != nil {
		return intent.Network{}, 0, err
	}
	if _, ok := o.networks[n.Ref()]; ok {
		return intent.Network{}, 0, intent.Conflictf("network %s exists", n.Ref())
	}
	if err := n.Validate(); err != nil {
		return intent.Network{}, 0, err
	}
	for _, other := range o.networks {
		if n.VNI != 0 && other.VNI == n.VNI {
			return intent.Network{}, 0, intent.Conflictf("VNI %d is network %s's", n.VNI, other.Ref())
		}
	}
	if n.VNI == 0 {
		n.VNI = intent.VNI(o.nets)
		o.nets++
	}
	n.ID = o.id()
	n = n.WithDefaults()
	o.networks[n.Ref()] = n
	return n, o.write(), nil
}

// SetNetwork implements api.NetworkStore.
func (o *Overlay) SetNetwork(ctx context.Context, ref intent.NetworkRef, edit func(*intent.Network) error) (intent.Network, int64, error) {
	end, err := o.begin(ctx, "SetNetwork")
	defer end()
	if err != nil {
		return intent.Network{}, 0, err
	}
	n, err := o.findNetwork(ref)
	if err != nil {
		return n, 0, err
	}
	if err := edit(&n); err != nil {
		return n, 0, err
	}
	if err := n.Validate(); err != nil {
		return n, 0, err
	}
	n = n.WithDefaults()
	o.networks[ref] = n
	return n, o.write(), nil
}

// Port implements api.PortStore.
func (o *Overlay) Port(ctx context.Context, ref intent.PortRef) (intent.Port, error) {
	end, err := o.begin(ctx, "Port")
	defer end()
	if err != nil {
		return intent.Port{}, err
	}
	p, ok := o.ports[ref]
	if !ok {
		return p, intent.NotFoundf("port %s does not exist", ref)
	}
	return p, nil
}

// AddPort implements api.PortStore.
func (o *Overlay) AddPort(ctx context.Context, p intent.Port) (intent.Port, int64, error) {
	end, err := o.begin(ctx, "AddPort")
	defer end()
	if err != nil {
		return intent.Port{}, 0, err
	}
	n, err := o.findNetwork(p.Ref().NetworkRef())
	if err != nil {
		return p, 0, err
	}
	if _, ok := o.ports[p.Ref()]; ok {
		return p, 0, intent.Conflictf("port %s exists", p.Ref())
	}
	if err := p.Validate(n); err != nil {
		return p, 0, err
	}
	for _, a := range p.Addrs {
		if err := o.free(a, p.Ref()); err != nil {
			return p, 0, err
		}
	}
	p.ID = o.id()
	p.UUID = fmt.Sprintf("00000000-0000-4000-8000-%012x", uint64(p.ID))
	if p.MAC.IsZero() {
		p.MAC = intent.DerivedMAC(p.ID)
	}
	if len(p.Addrs) == 0 {
		for _, s := range n.Subnets {
			a := s.Next(netip.Addr{})
			for o.free(a, p.Ref()) != nil {
				a = s.Next(a)
			}
			p.Addrs = append(p.Addrs, a)
		}
	}
	o.ports[p.Ref()] = p
	return p, o.write(), nil
}

// free returns nil if no port of the network but ref has address a.
func (o *Overlay) free(a netip.Addr, ref intent.PortRef) error {
	for other, p := range o.ports {
		if other != ref && other.NetworkRef() == ref.NetworkRef() && slices.Contains(p.Addrs, a) {
			return intent.Conflictf("address %s is port %s's", a, other)
		}
	}
	return nil
}

// SetPort implements api.PortStore.
func (o *Overlay) SetPort(ctx context.Context, ref intent.PortRef, edit func(*intent.Port) error) (intent.Port, int64, error) {
	end, err := o.begin(ctx, "SetPort")
	defer end()
	if err != nil {
		return intent.Port{}, 0, err
	}
	n, err := o.findNetwork(ref.NetworkRef())
	if err != nil {
		return intent.Port{}, 0, err
	}
	p, ok := o.ports[ref]
	if !ok {
		return p, 0, intent.NotFoundf("port %s does not exist", ref)
	}
	if err := edit(&p); err != nil {
		return p, 0, err
	}
	if err := p.Validate(n); err != nil {
		return p, 0, err
	}
	for _, a := range p.Addrs {
		if err := o.free(a, ref); err != nil {
			return p, 0, err
		}
	}
	o.ports[ref] = p
	return p, o.write(), nil
}

// Bindings implements api.PortStore.
func (o *Overlay) Bindings(ctx context.Context, ref intent.PortRef) ([]intent.Binding, error) {
	end, err := o.begin(ctx, "Bindings")
	defer end()
	if err != nil {
		return nil, err
	}
	return slices.Clone(o.claims[ref]), nil
}

// Snapshot implements api.TenantStore; the order is any, as the store's may be.
func (o *Overlay) Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error) {
	end, err := o.begin(ctx, "Snapshot")
	defer end()
	if err != nil {
		return intent.Snapshot{}, err
	}
	t, err := o.findTenant(tenant)
	if err != nil {
		return intent.Snapshot{}, err
	}
	snap := intent.Snapshot{Revision: o.revision, Tenant: t}
	for ref, n := range o.networks {
		if ref.Tenant == tenant {
			snap.Networks = append(snap.Networks, n)
		}
	}
	for ref, p := range o.ports {
		if ref.Tenant == tenant {
			snap.Ports = append(snap.Ports, p)
		}
	}
	for ref, cs := range o.claims {
		if ref.Tenant == tenant {
			snap.Bindings = append(snap.Bindings, cs...)
		}
	}
	for ref, p := range o.peers {
		if ref.Tenant == tenant {
			snap.Peers = append(snap.Peers, p)
		}
	}
	snap.Routes = pick(o.routes, func(r intent.RouteRef) bool { return r.Tenant == tenant })
	snap.SNATs = pick(o.snats, func(r intent.SNATRef) bool { return r.Tenant == tenant })
	snap.Floatings = pick(o.floatings, func(r intent.FloatingRef) bool { return r.Tenant == tenant })
	snap.Forwards = pick(o.forwards, func(r intent.ForwardRef) bool { return r.Tenant == tenant })
	return snap, nil
}
