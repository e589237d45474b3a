// What the server needs from the rest of ovloomd.

package api

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// Backend is what the server serves. Every field but Started and ByHand is required.
type Backend struct {
	// Started returns nil once this host's switch can be asked and changed, or an error
	// that says why it cannot. Requests that concern the store alone are answered before
	// then. nil: the switch is ready from the start.
	Started func(ctx context.Context) error

	Store  Store
	Local  Local
	Plug   Plugger
	Upkeep Upkeep
	Status func(ctx context.Context) (Status, error)
	Flows  func(ctx context.Context, q FlowQuery) ([]Flow, error)

	// FlowsDiff returns the changes, in ovs-ofctl's bundle syntax, that turn the switch's
	// flows into the flows that a new process would install.
	FlowsDiff func(ctx context.Context) ([]string, error)

	// Fix corrects what keeps tenants from leaving through this host. It lists what it
	// did, even when it fails half-way.
	Fix func(ctx context.Context) (done []string, err error)

	// Health has every live host examine its paths to the others.
	Health func(ctx context.Context) (intent.Health, error)

	// Connections returns a tenant's connections with the outside, and Learned the MACs
	// learned in a network, both from this host's switch.
	Connections func(ctx context.Context, tenant intent.Snapshot) ([]intent.Connection, error)
	Learned     func(ctx context.Context, tenant intent.Snapshot, n intent.Network) ([]intent.LearnedMAC, error)

	// ByHand returns, of ports plugged at a host, those whose interfaces ovloom does not
	// configure; nil: unknown.
	ByHand func(ctx context.Context, host string, ports []intent.PortRef) ([]ByHand, error)

	// Trace follows a packet without sending one.
	Trace func(ctx context.Context, q intent.TraceQuery) (intent.Trace, error)
}

// Store keeps the intent: package store's Store, or its Reader, which falls back to cached
// copies. Errors are *intent.Error where a user can act on them.
type Store interface {
	Get(ctx context.Context, ref intent.Reference) (intent.Object, error)
	// List returns the objects of a class that are part of another object: of a tenant, a
	// network or a port. Tenants, externals and hosts (intent.HostState) are part of none:
	// within is nil.
	List(ctx context.Context, class intent.Class, within intent.Reference) ([]intent.Object, error)
	// Snapshot returns all objects of one tenant.
	Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error)

	// Add and Set return the object as stored, and the store's revision with it.
	Add(ctx context.Context, o intent.Object) (intent.Object, int64, error)
	Set(ctx context.Context, ref intent.Reference, edit func(intent.Object) (intent.Object, error)) (intent.Object, int64, error)
	// Users lists what a cascading Delete would delete besides the object itself, in the
	// order of deletion.
	Users(ctx context.Context, ref intent.Reference) ([]intent.Reference, error)
	// Delete refuses (InUse) while the object has users, unless cascade. It lists what it
	// deleted, as "port acme/web/c1", including the object, even when it fails half-way.
	Delete(ctx context.Context, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error)

	// WaitApplied returns nil when every live host whose span has the tenant has applied
	// the revision; it calls progress with the hosts that have not.
	WaitApplied(ctx context.Context, tenant string, revision int64, progress func(pending []string)) error
}

// Plugger attaches ports to workloads on this host.
type Plugger interface {
	Plug(ctx context.Context, r PlugRequest) (PlugResult, error)
	// WaitUp returns nil when the port, plugged on this host, has its flows installed.
	WaitUp(ctx context.Context, ref intent.PortRef) error
	Unplug(ctx context.Context, ref intent.PortRef) error
}

// Local takes this host out of the overlay.
type Local interface {
	// Leave releases the bindings, gives the network card back, deletes the bridge and
	// unregisters the host. It refuses while ports are plugged here, unless cascade. Both
	// methods list the steps; if Leave is cut short, it returns the steps done along with
	// the error.
	Leave(ctx context.Context, cascade bool) (done []string, err error)
	PlanLeave(ctx context.Context) ([]string, error)
}
