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
	// configure; nil: it is not known.
	ByHand func(ctx context.Context, host string, ports []intent.PortRef) ([]ByHand, error)

	// Trace follows a packet that is not sent.
	Trace func(ctx context.Context, q intent.TraceQuery) (intent.Trace, error)
}

// Store keeps the intent: package store's Store, or its Reader, which falls back to
// copies. Errors are *intent.Error where a user can do something about them.
type Store interface {
	Get(ctx context.Context, ref intent.Reference) (intent.Object, error)
	// List returns the objects of a class that are part of another: of a tenant, of one
	// of its networks, or of a port. Tenants, externals and hosts (intent.HostState) are
	// part of none: nil.
	List(ctx context.Context, class intent.Class, within intent.Reference) ([]intent.Object, error)
	// Snapshot returns everything of one tenant.
	Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error)

	// Add and Set return the object as it is stored, and the revision that has it.
	Add(ctx context.Context, o intent.Object) (intent.Object, int64, error)
	Set(ctx context.Context, ref intent.Reference, edit func(intent.Object) (intent.Object, error)) (intent.Object, int64, error)
	// Users lists what a cascading Delete would delete besides the object itself, in order.
	Users(ctx context.Context, ref intent.Reference) ([]intent.Reference, error)
	// Delete refuses (InUse) when there are users, unless cascade. It lists what it deleted
	// as "port acme/web/c1", the object included, also when it fails half-way.
	Delete(ctx context.Context, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error)

	// WaitApplied returns nil when every live host whose span has the tenant
	// has applied the revision; progress is told who has not.
	WaitApplied(ctx context.Context, tenant string, revision int64, progress func(pending []string)) error
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
