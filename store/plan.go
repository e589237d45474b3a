package store

import (
	"context"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// What uses an object: what a user is told before it is deleted with all of it.

// plan is what uses an object that is to be deleted, in order of deletion.
type plan struct {
	floatings []intent.FloatingRef
	forwards  []intent.ForwardRef
	bindings  map[intent.PortRef][]string // hosts
	ports     []intent.PortRef
	peers     []intent.PeerRef
	routes    []intent.RouteRef
	networks  []intent.NetworkRef
	snats     []intent.SNATRef
}

// add adds an object, of which only the names need be set.
func (p *plan) add(object any) {
	switch o := object.(type) {
	case intent.Floating:
		p.floatings = append(p.floatings, o.Ref())
	case intent.Forward:
		p.forwards = append(p.forwards, o.Ref())
	case intent.Binding:
		if p.bindings == nil {
			p.bindings = map[intent.PortRef][]string{}
		}
		p.bindings[o.PortRef()] = append(p.bindings[o.PortRef()], o.Host)
	case intent.Port:
		p.ports = append(p.ports, o.Ref())
	case intent.Peer:
		p.peers = append(p.peers, o.Ref())
	case intent.Route:
		p.routes = append(p.routes, o.Ref())
	case intent.Network:
		p.networks = append(p.networks, o.Ref())
	case intent.SNAT:
		p.addSNAT(o.Ref())
	case intent.NATAddress: // goes with its SNAT, also if only that is still to be done
		p.addSNAT(intent.SNATRef{Tenant: o.Tenant, External: o.External})
	}
}

func (p *plan) addSNAT(ref intent.SNATRef) {
	if !slices.Contains(p.snats, ref) {
		p.snats = append(p.snats, ref)
	}
}

// names lists the plan as a user reads it, each binding before its port.
func (p plan) names() []string {
	var out []string
	for _, ref := range p.floatings {
		out = append(out, "floating "+ref.String())
	}
	for _, ref := range p.forwards {
		out = append(out, "forward "+ref.String())
	}
	for _, ref := range p.ports {
		for _, host := range p.bindings[ref] {
			out = append(out, intent.BindingName(ref, host))
		}
		out = append(out, "port "+ref.String())
	}
	for _, ref := range p.peers {
		out = append(out, "peer "+ref.String())
	}
	for _, ref := range p.routes {
		out = append(out, "route "+ref.String())
	}
	for _, ref := range p.networks {
		out = append(out, "network "+ref.String())
	}
	for _, ref := range p.snats {
		out = append(out, "snat "+ref.String())
	}
	return out
}

// planTenant reads what is below a tenant.
func (s *Store) planTenant(ctx context.Context, tenant string) (plan, error) {
	var p plan
	all, _, err := s.list(ctx, "read tenant "+tenant, tenantRoot(tenant), clientv3.WithKeysOnly())
	for _, it := range all {
		p.add(named(it.key))
	}
	return p, err
}

// planNetwork reads what is below a network and what leads to or through it.
func (s *Store) planNetwork(ctx context.Context, n intent.Network) (plan, error) {
	whole, err := s.planTenant(ctx, n.Tenant)
	if err != nil {
		return plan{}, err
	}
	p := plan{bindings: whole.bindings}
	for _, ref := range whole.floatings {
		if ref.Network == n.Name {
			p.floatings = append(p.floatings, ref)
		}
	}
	for _, ref := range whole.ports {
		if ref.Network == n.Name {
			p.ports = append(p.ports, ref)
		}
	}
	for _, ref := range whole.peers {
		if ref.Network == n.Name {
			p.peers = append(p.peers, ref)
		}
	}
	if len(whole.forwards) > 0 {
		targets, _, err := s.list(ctx, "read the forwards of "+n.Tenant, targetsIn(n.Ref()), clientv3.WithKeysOnly())
		if err != nil {
			return plan{}, err
		}
		p.forwards = reachedBy(nil, targets).forwards
	}
	if len(whole.routes) > 0 {
		routes, _, err := s.list(ctx, "read the routes of "+n.Tenant, routesRoot(n.Tenant))
		if err != nil {
			return plan{}, err
		}
		if p.routes, err = routesVia(n, routes); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

// planPort reads what leads to a port from outside, and names it and the port's claims.
func (s *Store) planPort(ctx context.Context, ref intent.PortRef) (p plan, users []string, err error) {
	err = s.call(ctx, "read port "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, below(claimsRoot(ref), clientv3.WithKeysOnly()),
			below(floatingsOf(ref), clientv3.WithKeysOnly()), below(targetsOf(ref), clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		p = reachedBy(v.found[1], v.found[2])
		users = append(p.names(), found(v.found[0])...)
		return nil
	})
	return p, users, err
}

// reachedBy is the plan of the floating addresses of ports, and of the forwards of
// which there are target keys.
func reachedBy(floatings, targets []item) plan {
	var p plan
	for _, it := range floatings {
		p.add(named(it.key))
	}
	for _, it := range targets {
		if ref, ok := forwardOfTarget(it.key); ok {
			p.forwards = append(p.forwards, ref)
		}
	}
	return p
}

// TenantUsers lists what DeleteTenant with cascade would delete besides the tenant,
// in order: "floating acme/web/c1 on campus", "forward acme internet tcp/8080",
// "binding acme/web/c1 on host1", "port acme/web/c1", "peer acme/web/tor1",
// "route acme 10.9.0.0/16", "network acme/web", "snat acme through internet".
func (s *Store) TenantUsers(ctx context.Context, name string) ([]string, error) {
	if _, err := s.Tenant(ctx, name); err != nil {
		return nil, err
	}
	p, err := s.planTenant(ctx, name)
	return p.names(), err
}

// NetworkUsers lists what DeleteNetwork with cascade would delete besides the network.
func (s *Store) NetworkUsers(ctx context.Context, ref intent.NetworkRef) ([]string, error) {
	n, err := s.Network(ctx, ref)
	if err != nil {
		return nil, err
	}
	p, err := s.planNetwork(ctx, n)
	return p.names(), err
}

// PortUsers lists what DeletePort with cascade would delete besides the port.
func (s *Store) PortUsers(ctx context.Context, ref intent.PortRef) ([]string, error) {
	if _, err := s.Port(ctx, ref); err != nil {
		return nil, err
	}
	_, users, err := s.planPort(ctx, ref)
	return users, err
}
