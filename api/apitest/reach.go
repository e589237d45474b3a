// Routes and externals of the overlay in memory.

package apitest

import (
	"context"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Routes implements api.RouteStore; the order is any.
func (o *Overlay) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	end, err := o.begin(ctx, "Routes")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(tenant); err != nil {
		return nil, err
	}
	return pick(o.routes, func(ref intent.RouteRef) bool { return ref.Tenant == tenant }), nil
}

// pick returns the values whose keys are wanted.
func pick[K comparable, V any](m map[K]V, wanted func(K) bool) []V {
	var out []V
	for k, v := range m {
		if wanted(k) {
			out = append(out, v)
		}
	}
	return out
}

// Route implements api.RouteStore.
func (o *Overlay) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	end, err := o.begin(ctx, "Route")
	defer end()
	if err != nil {
		return intent.Route{}, err
	}
	return o.findRoute(ref)
}

func (o *Overlay) findRoute(ref intent.RouteRef) (intent.Route, error) {
	if _, err := o.findTenant(ref.Tenant); err != nil {
		return intent.Route{}, err
	}
	r, ok := o.routes[ref]
	if !ok {
		return r, intent.NotFoundf("route %s does not exist", ref)
	}
	return r, nil
}

// AddRoute implements api.RouteStore.
func (o *Overlay) AddRoute(ctx context.Context, r intent.Route) (intent.Route, int64, error) {
	end, err := o.begin(ctx, "AddRoute")
	defer end()
	if err != nil {
		return intent.Route{}, 0, err
	}
	if _, err := o.findTenant(r.Tenant); err != nil {
		return r, 0, err
	}
	if _, ok := o.routes[r.Ref()]; ok {
		return r, 0, intent.Conflictf("route %s exists", r.Ref())
	}
	if err := o.routable(&r); err != nil {
		return r, 0, err
	}
	r.ID = o.id()
	o.routes[r.Ref()] = r
	return r, o.write(), nil
}

// SetRoute implements api.RouteStore.
func (o *Overlay) SetRoute(ctx context.Context, ref intent.RouteRef, edit func(*intent.Route) error) (intent.Route, int64, error) {
	end, err := o.begin(ctx, "SetRoute")
	defer end()
	if err != nil {
		return intent.Route{}, 0, err
	}
	r, err := o.findRoute(ref)
	if err != nil {
		return r, 0, err
	}
	if err := edit(&r); err != nil {
		return r, 0, err
	}
	if err := o.routable(&r); err != nil {
		return r, 0, err
	}
	o.routes[ref] = r
	return r, o.write(), nil
}

// routable puts the next hops in order and checks that they are in networks of the
// tenant.
func (o *Overlay) routable(r *intent.Route) error {
	r.Via = slices.SortedFunc(slices.Values(r.Via), netip.Addr.Compare)
	if err := r.Validate(); err != nil {
		return err
	}
	for _, hop := range r.Via {
		if !slices.ContainsFunc(o.subnets(r.Tenant), func(s intent.Subnet) bool { return s.Prefix.Contains(hop) }) {
			return intent.Invalidf("next hop %s is in no subnet of tenant %s", hop, r.Tenant)
		}
	}
	return nil
}

func (o *Overlay) subnets(tenant string) []intent.Subnet {
	var all []intent.Subnet
	for ref, n := range o.networks {
		if ref.Tenant == tenant {
			all = append(all, n.Subnets...)
		}
	}
	return all
}

// DeleteRoute implements api.RouteStore.
func (o *Overlay) DeleteRoute(ctx context.Context, ref intent.RouteRef) ([]string, int64, error) {
	_, err := o.Route(ctx, ref)
	return o.delete(ctx, "DeleteRoute", "route "+ref.String(), nil, false, err)
}

// Externals implements api.ExternalStore; the order is any.
func (o *Overlay) Externals(ctx context.Context) ([]intent.External, error) {
	end, err := o.begin(ctx, "Externals")
	defer end()
	if err != nil {
		return nil, err
	}
	return pick(o.externals, func(string) bool { return true }), nil
}

// External implements api.ExternalStore.
func (o *Overlay) External(ctx context.Context, name string) (intent.External, error) {
	end, err := o.begin(ctx, "External")
	defer end()
	if err != nil {
		return intent.External{}, err
	}
	return o.findExternal(name)
}

func (o *Overlay) findExternal(name string) (intent.External, error) {
	e, ok := o.externals[name]
	if !ok {
		return e, intent.NotFoundf("external %s does not exist", name).WithHint("see: ovloom external list")
	}
	return e, nil
}

// AddExternal implements api.ExternalStore.
func (o *Overlay) AddExternal(ctx context.Context, e intent.External) (intent.External, int64, error) {
	end, err := o.begin(ctx, "AddExternal")
	defer end()
	if err != nil {
		return intent.External{}, 0, err
	}
	if _, ok := o.externals[e.Name]; ok {
		return e, 0, intent.Conflictf("external %s exists", e.Name)
	}
	e = e.WithDefaults()
	if err := e.Validate(); err != nil {
		return e, 0, err
	}
	for name, other := range o.externals {
		if other.Subnet.Overlaps(e.Subnet) {
			return e, 0, intent.Conflictf("subnet %s overlaps %s of external %s", e.Subnet, other.Subnet, name)
		}
	}
	e.ID = o.id()
	e.Number = uint8(len(o.externals) + 1)
	o.externals[e.Name] = e
	return e, o.write(), nil
}

// SetExternal implements api.ExternalStore.
func (o *Overlay) SetExternal(ctx context.Context, name string, edit func(*intent.External) error) (intent.External, int64, error) {
	end, err := o.begin(ctx, "SetExternal")
	defer end()
	if err != nil {
		return intent.External{}, 0, err
	}
	e, err := o.findExternal(name)
	if err != nil {
		return e, 0, err
	}
	if err := edit(&e); err != nil {
		return e, 0, err
	}
	e = e.WithDefaults()
	if err := e.Validate(); err != nil {
		return e, 0, err
	}
	o.externals[name] = e
	return e, o.write(), nil
}

// ExternalUsers implements api.ExternalStore.
func (o *Overlay) ExternalUsers(ctx context.Context, name string) ([]string, error) {
	end, err := o.begin(ctx, "ExternalUsers")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findExternal(name); err != nil {
		return nil, err
	}
	return slices.Concat(
		o.floatingNames(func(f intent.Floating) bool { return f.External == name }),
		o.forwardNames(func(f intent.Forward) bool { return f.External == name }),
		o.snatNames(func(n intent.SNAT) bool { return n.External == name })), nil
}

// DeleteExternal implements api.ExternalStore.
func (o *Overlay) DeleteExternal(ctx context.Context, name string, cascade bool) ([]string, int64, error) {
	users, err := o.ExternalUsers(ctx, name)
	return o.delete(ctx, "DeleteExternal", "external "+name, users, cascade, err)
}
