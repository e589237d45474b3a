// Deleting from the overlay in memory, with what uses the deleted.

package apitest

import (
	"context"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// PlanDeleteTenant implements api.TenantStore.
func (o *Overlay) PlanDeleteTenant(ctx context.Context, name string) ([]string, error) {
	end, err := o.begin(ctx, "PlanDeleteTenant")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findTenant(name); err != nil {
		return nil, err
	}
	return append(o.under(name+"/"), "tenant "+name), nil
}

// DeleteTenant implements api.TenantStore.
func (o *Overlay) DeleteTenant(ctx context.Context, name string, cascade bool) ([]string, int64, error) {
	plan, err := o.PlanDeleteTenant(ctx, name)
	return o.delete(ctx, "DeleteTenant", plan, cascade, err)
}

// PlanDeleteNetwork implements api.NetworkStore.
func (o *Overlay) PlanDeleteNetwork(ctx context.Context, ref intent.NetworkRef) ([]string, error) {
	end, err := o.begin(ctx, "PlanDeleteNetwork")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, err := o.findNetwork(ref); err != nil {
		return nil, err
	}
	return append(o.under(ref.String()+"/"), "network "+ref.String()), nil
}

// DeleteNetwork implements api.NetworkStore.
func (o *Overlay) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) ([]string, int64, error) {
	plan, err := o.PlanDeleteNetwork(ctx, ref)
	return o.delete(ctx, "DeleteNetwork", plan, cascade, err)
}

// PlanDeletePort implements api.PortStore.
func (o *Overlay) PlanDeletePort(ctx context.Context, ref intent.PortRef) ([]string, error) {
	end, err := o.begin(ctx, "PlanDeletePort")
	defer end()
	if err != nil {
		return nil, err
	}
	if _, ok := o.ports[ref]; !ok {
		return nil, intent.NotFoundf("port %s does not exist", ref)
	}
	var plan []string
	for _, c := range o.claims[ref] {
		plan = append(plan, "binding of port "+ref.String()+" to host "+c.Host)
	}
	return append(plan, "port "+ref.String()), nil
}

// DeletePort implements api.PortStore.
func (o *Overlay) DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) ([]string, int64, error) {
	plan, err := o.PlanDeletePort(ctx, ref)
	return o.delete(ctx, "DeletePort", plan, cascade, err)
}

// under lists the ports and networks whose names begin with prefix.
func (o *Overlay) under(prefix string) []string {
	var ports, networks []string
	for ref := range o.ports {
		if strings.HasPrefix(ref.String(), prefix) {
			ports = append(ports, "port "+ref.String())
		}
	}
	for ref := range o.networks {
		if strings.HasPrefix(ref.String(), prefix) {
			networks = append(networks, "network "+ref.String())
		}
	}
	slices.Sort(ports)
	slices.Sort(networks)
	return append(ports, networks...)
}

// delete carries out a plan whose last object is the one asked for. A failure
// of op "batch" cuts it short after the first object.
func (o *Overlay) delete(ctx context.Context, op string, plan []string, cascade bool, err error) ([]string, int64, error) {
	if err != nil {
		return nil, 0, err
	}
	last := len(plan) - 1
	if last > 0 && !cascade {
		return nil, 0, intent.InUseBy(plan[last], plan[:last])
	}
	end, err := o.begin(ctx, op)
	defer func() { end() }()
	if err != nil {
		return nil, 0, err
	}
	for i, what := range plan {
		if i == 1 {
			end()
			if end, err = o.begin(ctx, "batch"); err != nil {
				return plan[:i], o.revision, err
			}
		}
		o.deleteOne(what)
	}
	return plan, o.write(), nil
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
	}
}
