// Deleting from the overlay in memory, with what uses the deleted.

package apitest

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// TenantUsers implements api.TenantStore.
func (o *Overlay) TenantUsers(ctx context.Context, name string) ([]string, error) {
	end, err := o.begin(ctx, "TenantUsers")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(name); err != nil {
		return nil, err
	}
	mine := func(ref intent.PortRef) bool { return ref.Tenant == name }
	users := append(o.natOf(mine), o.under(name+"/", func(r intent.Route) bool { return r.Tenant == name })...)
	return append(users, o.snatNames(func(n intent.SNAT) bool { return n.Tenant == name })...), nil
}

// DeleteTenant implements api.TenantStore.
func (o *Overlay) DeleteTenant(ctx context.Context, name string, cascade bool) ([]string, int64, error) {
	users, err := o.TenantUsers(ctx, name)
	return o.delete(ctx, "DeleteTenant", "tenant "+name, users, cascade, err)
}

// NetworkUsers implements api.NetworkStore.
func (o *Overlay) NetworkUsers(ctx context.Context, ref intent.NetworkRef) ([]string, error) {
	end, err := o.begin(ctx, "NetworkUsers")
	defer end()
	if err != nil {
		return nil, err
	}
	n, err := o.findNetwork(ref)
	if err != nil {
		return nil, err
	}
	via := func(r intent.Route) bool {
		return r.Tenant == ref.Tenant && slices.ContainsFunc(r.Via, func(hop netip.Addr) bool {
			return slices.ContainsFunc(n.Subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(hop) })
		})
	}
	mine := func(p intent.PortRef) bool { return p.NetworkRef() == ref }
	return append(o.natOf(mine), o.under(ref.String()+"/", via)...), nil
}

// DeleteNetwork implements api.NetworkStore.
func (o *Overlay) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) ([]string, int64, error) {
	users, err := o.NetworkUsers(ctx, ref)
	return o.delete(ctx, "DeleteNetwork", "network "+ref.String(), users, cascade, err)
}

// PortUsers implements api.PortStore.
func (o *Overlay) PortUsers(ctx context.Context, ref intent.PortRef) ([]string, error) {
	end, err := o.begin(ctx, "PortUsers")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, ok := o.ports[ref]; !ok {
		return nil, intent.NotFoundf("port %s does not exist", ref)
	}
	return append(o.natOf(func(p intent.PortRef) bool { return p == ref }), o.bindings(ref)...), nil
}

// DeletePort implements api.PortStore.
func (o *Overlay) DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) ([]string, int64, error) {
	users, err := o.PortUsers(ctx, ref)
	return o.delete(ctx, "DeletePort", "port "+ref.String(), users, cascade, err)
}

func (o *Overlay) bindings(ref intent.PortRef) []string {
	var users []string
	for _, c := range o.claims[ref] {
		users = append(users, "binding "+ref.String()+" on "+c.Host)
	}
	slices.Sort(users)
	return users
}

// natOf lists the floating addresses of ports, and the forwards that lead to them.
func (o *Overlay) natOf(mine func(intent.PortRef) bool) []string {
	return append(o.floatingNames(func(f intent.Floating) bool { return mine(f.PortRef()) }),
		o.forwardNames(func(f intent.Forward) bool { return mine(f.To) })...)
}

// under lists the ports, after their bindings, and the peers whose names begin with
// prefix; the routes that are theirs; and the networks.
func (o *Overlay) under(prefix string, theirs func(intent.Route) bool) []string {
	var ports, peers, networks, users []string
	for ref := range o.ports {
		if strings.HasPrefix(ref.String(), prefix) {
			ports = append(ports, ref.String())
		}
	}
	slices.Sort(ports)
	for _, name := range ports {
		ref, _ := intent.ParsePortRef(name)
		users = append(append(users, o.bindings(ref)...), "port "+name)
	}
	for ref := range o.peers {
		if strings.HasPrefix(ref.String(), prefix) {
			peers = append(peers, "peer "+ref.String())
		}
	}
	slices.Sort(peers)
	users = append(users, peers...)
	users = append(users, sortedNames(o.routes, "route ", intent.RouteRef.String, theirs)...)
	for ref := range o.networks {
		if strings.HasPrefix(ref.String(), prefix) {
			networks = append(networks, "network "+ref.String())
		}
	}
	slices.Sort(networks)
	return append(users, networks...)
}

// delete deletes users, in order, and then what they use. A failure of op
// "batch" cuts it short after the first object.
func (o *Overlay) delete(ctx context.Context, op, what string, users []string, cascade bool, err error) ([]string, int64, error) {
	if err != nil {
		return nil, 0, err
	}
	if len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	end, err := o.begin(ctx, op)
	defer func() { end() }()
	if err != nil {
		return nil, 0, err
	}
	all := append(users, what)
	for i, one := range all {
		if i == 1 {
			end()
			if end, err = o.begin(ctx, "batch"); err != nil {
				return all[:i], o.revision, err
			}
		}
		o.deleteOne(one)
	}
	return all, o.write(), nil
}

func (o *Overlay) deleteOne(what string) {
	kind, name, _ := strings.Cut(what, " ")
	switch kind {
	case "tenant":
		delete(o.tenants, name)
	case "network":
		ref, _ := intent.ParseNetworkRef(name)
		delete(o.networks, ref)
	case "port":
		ref, _ := intent.ParsePortRef(name)
		delete(o.ports, ref)
		delete(o.claims, ref)
		delete(o.plugged, ref)
	case "peer":
		ref, _ := intent.ParsePeerRef(name)
		delete(o.peers, ref)
	case "route":
		remove(o.routes, name, intent.RouteRef.String)
	case "external":
		delete(o.externals, name)
	case "snat":
		tenant, external, _ := strings.Cut(name, " through ")
		delete(o.snats, intent.SNATRef{Tenant: tenant, External: external})
		o.taken = slices.DeleteFunc(o.taken, func(a intent.NATAddress) bool { return a.Tenant == tenant && a.External == external })
	case "floating":
		remove(o.floatings, name, intent.FloatingRef.String)
	case "forward":
		remove(o.forwards, name, intent.ForwardRef.String)
	case "binding":
		name, host, _ := strings.Cut(name, " on ")
		ref, _ := intent.ParsePortRef(name)
		o.claims[ref] = slices.DeleteFunc(o.claims[ref], func(b intent.Binding) bool { return b.Host == host })
	}
}

// remove deletes what has a name.
func remove[K comparable, V any](m map[K]V, name string, of func(K) string) {
	for k := range m {
		if of(k) == name {
			delete(m, k)
		}
	}
}
