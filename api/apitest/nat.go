// NAT of the overlay in memory.

package apitest

import (
	"context"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// SNATs implements api.NATStore.
func (o *Overlay) SNATs(ctx context.Context, tenant string) ([]intent.SNAT, error) {
	end, err := o.begin(ctx, "SNATs")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(tenant); err != nil {
		return nil, err
	}
	return pick(o.snats, func(ref intent.SNATRef) bool { return ref.Tenant == tenant }), nil
}

// SNAT implements api.NATStore.
func (o *Overlay) SNAT(ctx context.Context, ref intent.SNATRef) (intent.SNAT, error) {
	end, err := o.begin(ctx, "SNAT")
	defer end()
	if err != nil {
		return intent.SNAT{}, err
	}
	return o.findSNAT(ref)
}

func (o *Overlay) findSNAT(ref intent.SNATRef) (intent.SNAT, error) {
	if _, err := o.findTenant(ref.Tenant); err != nil {
		return intent.SNAT{}, err
	}
	n, ok := o.snats[ref]
	if !ok {
		return n, intent.NotFoundf("tenant %s has no SNAT through external %s", ref.Tenant, ref.External)
	}
	return n, nil
}

// AddSNAT implements api.NATStore.
func (o *Overlay) AddSNAT(ctx context.Context, n intent.SNAT) (intent.SNAT, int64, error) {
	end, err := o.begin(ctx, "AddSNAT")
	defer end()
	if err != nil {
		return intent.SNAT{}, 0, err
	}
	if _, err := o.findTenant(n.Tenant); err != nil {
		return n, 0, err
	}
	e, err := o.findExternal(n.External)
	if err != nil {
		return n, 0, err
	}
	for ref := range o.snats {
		if ref.Tenant == n.Tenant {
			return n, 0, intent.Conflictf("tenant %s has SNAT through external %s", ref.Tenant, ref.External)
		}
	}
	if err := n.Validate(); err != nil {
		return n, 0, err
	}
	if e.Kind == intent.ExternalHost {
		if n.Address, err = o.shared(e, n.Tenant, n.Address); err != nil {
			return n, 0, err
		}
	}
	n.ID = o.id()
	o.snats[n.Ref()] = n
	return n, o.write(), nil
}

// SetSNAT implements api.NATStore.
func (o *Overlay) SetSNAT(ctx context.Context, ref intent.SNATRef, edit func(*intent.SNAT) error) (intent.SNAT, int64, error) {
	end, err := o.begin(ctx, "SetSNAT")
	defer end()
	if err != nil {
		return intent.SNAT{}, 0, err
	}
	n, err := o.findSNAT(ref)
	if err != nil {
		return n, 0, err
	}
	if err := edit(&n); err != nil {
		return n, 0, err
	}
	o.snats[ref] = n
	return n, o.write(), nil
}

// DeleteSNAT implements api.NATStore.
func (o *Overlay) DeleteSNAT(ctx context.Context, ref intent.SNATRef) ([]string, int64, error) {
	_, err := o.SNAT(ctx, ref)
	return o.delete(ctx, "DeleteSNAT", "snat "+ref.String(), nil, false, err)
}

// NATAddresses implements api.NATStore.
func (o *Overlay) NATAddresses(ctx context.Context, tenant string) ([]intent.NATAddress, error) {
	end, err := o.begin(ctx, "NATAddresses")
	defer end()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(o.taken), func(a intent.NATAddress) bool { return a.Tenant != tenant }), nil
}

// TakeNATAddress makes a host take an address for a tenant's SNAT.
func (o *Overlay) TakeNATAddress(ref intent.SNATRef, host string) {
	o.locked(func() {
		a, err := o.outside(o.externals[ref.External], netip.Addr{})
		if err != nil {
			panic(err)
		}
		o.taken = append(o.taken, intent.NATAddress{Tenant: ref.Tenant, External: ref.External, Host: host, Address: a})
	})
}

// Floatings implements api.NATStore; the order is any.
func (o *Overlay) Floatings(ctx context.Context, tenant string) ([]intent.Floating, error) {
	end, err := o.begin(ctx, "Floatings")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(tenant); err != nil {
		return nil, err
	}
	return pick(o.floatings, func(ref intent.FloatingRef) bool { return ref.Tenant == tenant }), nil
}

// Floating implements api.NATStore.
func (o *Overlay) Floating(ctx context.Context, ref intent.FloatingRef) (intent.Floating, error) {
	end, err := o.begin(ctx, "Floating")
	defer end()
	if err != nil {
		return intent.Floating{}, err
	}
	f, ok := o.floatings[ref]
	if !ok {
		return f, intent.NotFoundf("port %s has no floating address on external %s", ref.PortRef, ref.External)
	}
	return f, nil
}

// AddFloating implements api.NATStore.
func (o *Overlay) AddFloating(ctx context.Context, f intent.Floating) (intent.Floating, int64, error) {
	end, err := o.begin(ctx, "AddFloating")
	defer end()
	if err != nil {
		return intent.Floating{}, 0, err
	}
	if _, ok := o.ports[f.PortRef()]; !ok {
		return f, 0, intent.NotFoundf("port %s does not exist", f.PortRef())
	}
	e, err := o.findExternal(f.External)
	if err != nil {
		return f, 0, err
	}
	if e.Kind != intent.ExternalBridge {
		return f, 0, intent.Invalidf("external %s is of kind %s", e.Name, e.Kind).WithHint("use one of kind %s", intent.ExternalBridge)
	}
	if _, ok := o.floatings[f.Ref()]; ok {
		return f, 0, intent.Conflictf("floating %s exists", f.Ref())
	}
	if f.Address, err = o.outside(e, f.Address); err != nil {
		return f, 0, err
	}
	f.ID = o.id()
	o.floatings[f.Ref()] = f
	return f, o.write(), nil
}

// DeleteFloating implements api.NATStore.
func (o *Overlay) DeleteFloating(ctx context.Context, ref intent.FloatingRef) ([]string, int64, error) {
	_, err := o.Floating(ctx, ref)
	return o.delete(ctx, "DeleteFloating", "floating "+ref.String(), nil, false, err)
}

// Forwards implements api.NATStore; the order is any.
func (o *Overlay) Forwards(ctx context.Context, tenant string) ([]intent.Forward, error) {
	end, err := o.begin(ctx, "Forwards")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(tenant); err != nil {
		return nil, err
	}
	return pick(o.forwards, func(ref intent.ForwardRef) bool { return ref.Tenant == tenant }), nil
}

// Forward implements api.NATStore.
func (o *Overlay) Forward(ctx context.Context, ref intent.ForwardRef) (intent.Forward, error) {
	end, err := o.begin(ctx, "Forward")
	defer end()
	if err != nil {
		return intent.Forward{}, err
	}
	f, ok := o.forwards[ref]
	if !ok {
		return f, intent.NotFoundf("forward %s does not exist", ref)
	}
	return f, nil
}

// AddForward implements api.NATStore.
func (o *Overlay) AddForward(ctx context.Context, f intent.Forward) (intent.Forward, int64, error) {
	end, err := o.begin(ctx, "AddForward")
	defer end()
	if err != nil {
		return intent.Forward{}, 0, err
	}
	if _, ok := o.ports[f.To]; !ok {
		return f, 0, intent.NotFoundf("port %s does not exist", f.To)
	}
	e, err := o.findExternal(f.External)
	if err != nil {
		return f, 0, err
	}
	if err := f.Validate(); err != nil {
		return f, 0, err
	}
	if _, ok := o.forwards[f.Ref()]; ok {
		return f, 0, intent.Conflictf("forward %s exists", f.Ref())
	}
	if f.Address, err = o.shared(e, f.Tenant, f.Address); err != nil {
		return f, 0, err
	}
	f.ID = o.id()
	o.forwards[f.Ref()] = f
	return f, o.write(), nil
}

// DeleteForward implements api.NATStore.
func (o *Overlay) DeleteForward(ctx context.Context, ref intent.ForwardRef) ([]string, int64, error) {
	_, err := o.Forward(ctx, ref)
	return o.delete(ctx, "DeleteForward", "forward "+ref.String(), nil, false, err)
}

// shared returns the address that a tenant's forwards, and its SNAT of kind host,
// have on an external: the given one, or the lowest that is free, for the first.
func (o *Overlay) shared(e intent.External, tenant string, given netip.Addr) (netip.Addr, error) {
	has := o.snats[intent.SNATRef{Tenant: tenant, External: e.Name}].Address
	for ref, f := range o.forwards {
		if ref.Tenant == tenant && ref.External == e.Name {
			has = f.Address
		}
	}
	switch {
	case !has.IsValid():
		return o.outside(e, given)
	case given.IsValid() && given != has:
		return given, intent.Conflictf("tenant %s has address %s on external %s", tenant, has, e.Name)
	}
	return has, nil
}

// outside returns the given address of an external if it is free, or the lowest
// that is.
func (o *Overlay) outside(e intent.External, given netip.Addr) (netip.Addr, error) {
	used := map[netip.Addr]bool{}
	for _, a := range o.taken {
		used[a.Address] = a.External == e.Name
	}
	for ref, n := range o.snats {
		used[n.Address] = used[n.Address] || ref.External == e.Name
	}
	for ref, f := range o.floatings {
		used[f.Address] = used[f.Address] || ref.External == e.Name
	}
	for ref, f := range o.forwards {
		used[f.Address] = used[f.Address] || ref.External == e.Name
	}
	if given.IsValid() {
		if used[given] {
			return given, intent.Conflictf("address %s of external %s is taken", given, e.Name)
		}
		return given, e.Assignable(given)
	}
	for a := e.Addresses().First; e.Addresses().Contains(a); a = a.Next() {
		if !used[a] && e.Assignable(a) == nil {
			return a, nil
		}
	}
	return given, intent.Conflictf("all addresses of external %s are in use", e.Name)
}

// The names of NAT, in order.

func (o *Overlay) snatNames(is func(intent.SNAT) bool) []string {
	return sortedNames(o.snats, "snat ", intent.SNATRef.String, is)
}

func (o *Overlay) floatingNames(is func(intent.Floating) bool) []string {
	return sortedNames(o.floatings, "floating ", intent.FloatingRef.String, is)
}

func (o *Overlay) forwardNames(is func(intent.Forward) bool) []string {
	return sortedNames(o.forwards, "forward ", intent.ForwardRef.String, is)
}

func sortedNames[K comparable, V any](m map[K]V, kind string, name func(K) string, is func(V) bool) []string {
	var names []string
	for k, v := range m {
		if is(v) {
			names = append(names, kind+name(k))
		}
	}
	slices.Sort(names)
	return names
}
