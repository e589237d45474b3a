package controller

import (
	"context"
	"log/slog"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Deps are the parts of the host that a Controller acts on.
type Deps struct {
	Span       Span
	Claims     Claims
	Progress   Progress
	Interfaces Interfaces
	Log        *slog.Logger

	NAT *NAT // nil: tenants have no NAT

	// KernelDatapath: Linux's own datapath handles the switch's packets.
	KernelDatapath bool

	Repairs Repairs // nil: repairs are only logged as changes
}

// Interface is an interface on the integration bridge, as in the Open_vSwitch database.
type Interface struct {
	UUID       string // of its row
	Name       string
	IfaceID    string    // external_ids:iface-id; a port's UUID or name
	OFPort     of.PortNo // 0: the switch has not opened it yet, or cannot
	Generation uint64    // external_ids:ovloom-generation; 0: never claimed
	Installed  bool      // external_ids:ovloom-installed
	Error      string    // why the switch cannot open it
	Plugged    bool      // ovloom plugged it: it takes no port from another host without --take
	Fault      string    // why it passes no packets although the switch has opened it
}

// Switch is a connected OpenFlow switch.
type Switch interface {
	// Apply makes the changes in order and returns when the switch has them all.
	Apply(ctx context.Context, mods []of.Mod) error
	// Tables returns all flows and groups.
	Tables(ctx context.Context) ([]of.Flow, []of.Group, error)
	// Meters returns all meters.
	Meters(ctx context.Context) ([]of.Meter, error)
}

// Sampler is a Switch whose contents can be read in parts.
type Sampler interface {
	// Groups returns all groups.
	Groups(ctx context.Context) ([]of.Group, error)
	// CookieFlows returns the flows whose cookies equal cookie in the bits of mask.
	CookieFlows(ctx context.Context, cookie, mask uint64) ([]of.Flow, error)
}

// Span watches the part of the store that concerns a host. Each watch blocks until ctx
// ends and hides lost connections.
type Span interface {
	// DropCopy removes the cached copy of a tenant.
	DropCopy(tenant string) error

	WatchTenant(ctx context.Context, tenant string, deliver func(intent.SpanUpdate)) error
	WatchResolve(ctx context.Context, ifaceID string, deliver func(ref intent.PortRef, ok bool)) error
	WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error
}

// Claims are this host's claims on ports, in the store.
type Claims interface {
	// Claim claims the port for the host, or confirms the claim with generation have.
	Claim(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error)
	// ClaimFree is Claim, but fails (kind Conflict) while another live host holds the
	// port.
	ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error)
	Release(ctx context.Context, ref intent.PortRef, host string, generation uint64) error
	// MarkUp records whether the host has installed the port's flows, and why no packet
	// can reach the port there.
	MarkUp(ctx context.Context, ref intent.PortRef, host string, generation uint64, up bool, fault string) error
}

// Progress reports to the other hosts how far this host's switch is.
type Progress interface {
	// SetAppliedSpan records up to which revision the switch has each tenant of the
	// host's span. Tenants left out no longer concern the host.
	SetAppliedSpan(ctx context.Context, host string, tenants map[string]int64) error
	// WaitOthers waits until all other live hosts with a part in a tenant have a
	// revision of it in their switches.
	WaitOthers(ctx context.Context, host, tenant string, revision int64) error
}

// Interfaces writes to the rows of the local interfaces.
type Interfaces interface {
	SetGeneration(ctx context.Context, uuid string, generation uint64) error
	SetInstalled(ctx context.Context, uuid string, installed bool) error
}
