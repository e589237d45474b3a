// Deleting from the overlay in memory, with what uses the deleted.

package apitest

import (
	"context"
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
	return o.under(name + "/"), nil
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
	if _, err := o.findNetwork(ref); err != nil {
		return nil, err
	}
	return o.under(ref.String() + "/"), nil
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
	return o.bindings(ref), nil
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

// under lists the ports, after their bindings, the peers and the networks whose
// names begin with prefix.
func (o *Overlay) under(prefix string) []string {
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
	case "binding":
		name, host, _ := strings.Cut(name, " on ")
		ref, _ := intent.ParsePortRef(name)
		o.claims[ref] = slices.DeleteFunc(o.claims[ref], func(b intent.Binding) bool { return b.Host == host })
	}
}
