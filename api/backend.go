// What the server needs from the rest of ovloomd.

package api

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// Backend is what the server serves. Every field but Started and ByHand is required.
type Backend struct {
	// Started returns when this host's switch is there to be asked and changed, or says
	// why it is not. What concerns the store alone is answered before; nil: all is.
	Started func(ctx context.Context) error

	Store  Store
	Local  Local
	Plug   Plugger
	Upkeep Upkeep
	Status func(ctx context.Context) (Status, error)
	Flows  func(ctx context.Context, q FlowQuery) ([]Flow, error)

	// FlowsDiff returns the changes, in ovs-ofctl's bundle syntax, that the switch
	// lacks to hold what a new process would want it to hold.
	FlowsDiff func(ctx context.Context) ([]string, error)

	// Fix sets what the host lacks for tenants to leave through it, and says what it
	// did, also when it fails half-way.
	Fix func(ctx context.Context) (done []string, err error)

	// Health has every live host examine its paths to the others.
	Health func(ctx context.Context) (intent.Health, error)

	// Connections returns a tenant's connections with the outside, and Learned the MACs
	// that were learned in a network, both as this host's switch has them.
	Connections func(ctx context.Context, tenant intent.Snapshot) ([]intent.Connection, error)
	Learned     func(ctx context.Context, tenant intent.Snapshot, n intent.Network) ([]intent.LearnedMAC, error)

	// ByHand returns those of ports plugged at a host whose interfaces ovloom does not
	// configure; nil: nobody knows.
	ByHand func(ctx context.Context, host string, ports []intent.PortRef) ([]ByHand, error)

	// Trace follows a packet that is not sent.
	Trace func(ctx context.Context, q intent.TraceQuery) (intent.Trace, error)
}

// Store keeps the intent. It is larger than an interface should be because it
// is one thing: package store's Store, one method per change a user can make.
// Errors are *intent.Error where a user can do something about them.
//
// The Users methods list what a cascading delete would delete besides the
// object itself, in order, as "port acme/web/c1". The deletes refuse (InUse)
// when there is any, unless cascade; they list what they deleted, the object
// included, also when they fail half-way.
type Store interface {
	TenantStore
	NetworkStore
	PortStore
	PeerStore
	HostStore
	RouteStore
	ExternalStore
	NATStore
}

// TenantStore keeps tenants.
type TenantStore interface {
	Tenants(ctx context.Context) ([]intent.Tenant, error)
	Tenant(ctx context.Context, name string) (intent.Tenant, error)
	// Snapshot returns everything of one tenant.
	Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error)
	AddTenant(ctx context.Context, name string) (intent.Tenant, int64, error)
	TenantUsers(ctx context.Context, name string) ([]string, error)
	DeleteTenant(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error)
	// WaitApplied returns nil when every live host whose span has the tenant
	// has applied the revision; progress is told who has not.
	WaitApplied(ctx context.Context, tenant string, revision int64, progress func(pending []string)) error
}

// NetworkStore keeps networks.
type NetworkStore interface {
	Networks(ctx context.Context, tenant string) ([]intent.Network, error)
	Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error)
	AddNetwork(ctx context.Context, n intent.Network) (intent.Network, int64, error)
	SetNetwork(ctx context.Context, ref intent.NetworkRef, edit func(*intent.Network) error) (intent.Network, int64, error)
	NetworkUsers(ctx context.Context, ref intent.NetworkRef) ([]string, error)
	DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) (deleted []string, revision int64, err error)
}

// PortStore keeps ports and the claims on them.
type PortStore interface {
	Port(ctx context.Context, ref intent.PortRef) (intent.Port, error)
	Bindings(ctx context.Context, ref intent.PortRef) ([]intent.Binding, error)
	AddPort(ctx context.Context, p intent.Port) (intent.Port, int64, error)
	SetPort(ctx context.Context, ref intent.PortRef, edit func(*intent.Port) error) (intent.Port, int64, error)
	PortUsers(ctx context.Context, ref intent.PortRef) ([]string, error)
	DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) (deleted []string, revision int64, err error)
}

// PeerStore keeps peers. Nothing uses one.
type PeerStore interface {
	Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error)
	AddPeer(ctx context.Context, p intent.Peer) (intent.Peer, int64, error)
	DeletePeer(ctx context.Context, ref intent.PeerRef) (deleted []string, revision int64, err error)
}

// HostStore knows the registered hosts.
type HostStore interface {
	Hosts(ctx context.Context) ([]intent.HostState, error)
	// HostUsers may return nothing for a host that does not exist.
	HostUsers(ctx context.Context, name string) ([]string, error)
	RemoveHost(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error)
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
