// What the server needs from the rest of ovloomd.

package api

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// Backend is what the server serves. Every field is required.
type Backend struct {
	Store  Store
	Local  Local
	Plug   Plugger
	Status func(ctx context.Context) (Status, error)
	Flows  func(ctx context.Context, q FlowQuery) ([]Flow, error)
}

// Store keeps the intent. It is larger than an interface should be because it
// is one thing: package store's Store, one method per change a user can make.
// Errors are *intent.Error where a user can do something about them.
type Store interface {
	TenantStore
	NetworkStore
	PortStore
	HostStore
}

// TenantStore keeps tenants.
type TenantStore interface {
	Tenants(ctx context.Context) ([]intent.Tenant, error)
	Tenant(ctx context.Context, name string) (intent.Tenant, error)
	AddTenant(ctx context.Context, name string) (intent.Tenant, int64, error)
	// DeleteTenant refuses when the tenant has networks, unless cascade. Both it
	// and PlanDeleteTenant list every object, the tenant included, in the order
	// of deletion; cut short, it returns what is gone along with the error.
	DeleteTenant(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error)
	PlanDeleteTenant(ctx context.Context, name string) ([]string, error)
	// WaitApplied returns nil when every live host whose span has the tenant
	// has applied the revision; progress is told who has not.
	WaitApplied(ctx context.Context, tenant string, revision int64, progress func(pending []string)) error
}

// NetworkStore keeps networks; see TenantStore about deleting.
type NetworkStore interface {
	Networks(ctx context.Context, tenant string) ([]intent.Network, error)
	Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error)
	AddNetwork(ctx context.Context, n intent.Network) (intent.Network, int64, error)
	SetNetwork(ctx context.Context, ref intent.NetworkRef, edit func(*intent.Network) error) (intent.Network, int64, error)
	DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) (deleted []string, revision int64, err error)
	PlanDeleteNetwork(ctx context.Context, ref intent.NetworkRef) ([]string, error)
}

// PortStore keeps ports and the claims on them; see TenantStore about deleting.
type PortStore interface {
	Ports(ctx context.Context, tenant string) ([]intent.Port, error)
	Port(ctx context.Context, ref intent.PortRef) (intent.Port, error)
	AddPort(ctx context.Context, p intent.Port) (intent.Port, int64, error)
	SetPort(ctx context.Context, ref intent.PortRef, edit func(*intent.Port) error) (intent.Port, int64, error)
	DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) (deleted []string, revision int64, err error)
	PlanDeletePort(ctx context.Context, ref intent.PortRef) ([]string, error)
	Bindings(ctx context.Context, tenant string) ([]intent.Binding, error)
}

// HostStore knows the registered hosts.
type HostStore interface {
	Hosts(ctx context.Context) ([]intent.HostState, error)
	// RemoveHost refuses when ports are bound to the host, unless cascade
	// releases them.
	RemoveHost(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error)
	PlanRemoveHost(ctx context.Context, name string) ([]string, error)
}

// Plugger attaches ports to workloads on this host.
type Plugger interface {
	Plug(ctx context.Context, r PlugRequest) (PlugResult, error)
	// WaitUp returns nil when the port, plugged here, has its flows installed.
	WaitUp(ctx context.Context, ref intent.PortRef) error
	Unplug(ctx context.Context, ref intent.PortRef) error
}

// Local takes this host out of the overlay.
type Local interface {
	// Leave releases the bindings, gives the network card back, deletes the
	// bridge and unregisters the host. It refuses when ports are plugged here,
	// unless cascade. Both methods list the steps; cut short, Leave returns
	// those done along with the error.
	Leave(ctx context.Context, cascade bool) (done []string, err error)
	PlanLeave(ctx context.Context) ([]string, error)
}
