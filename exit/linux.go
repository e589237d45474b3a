package exit

import (
	"context"
	"net/netip"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// Linux implements Host on the host that the process runs on.
type Linux struct{}

// OwnAddrs implements Host.
func (Linux) OwnAddrs() ([]netip.Addr, error) { return hostnet.OwnAddrs() }

// HasAddr implements Host.
func (Linux) HasAddr(link string) bool { return hostnet.HasAddr(link) }

// Listens implements Host.
func (Linux) Listens(p intent.Protocol, port uint16) (hostnet.Service, error) {
	return hostnet.Listens(p, port)
}

// EnsureExit implements Host.
func (Linux) EnsureExit(ctx context.Context, e hostnet.Exit) error { return hostnet.EnsureExit(ctx, e) }

// RemoveExit implements Host.
func (Linux) RemoveExit(ctx context.Context, link string) error { return hostnet.RemoveExit(ctx, link) }

// ExitFaults implements Host.
func (Linux) ExitFaults(ctx context.Context, e hostnet.Exit) ([]hostnet.ExitFault, error) {
	return hostnet.ExitFaults(ctx, e)
}

// FixExit implements Host.
func (Linux) FixExit(ctx context.Context, faults []hostnet.ExitFault) (done []string, err error) {
	return hostnet.FixExit(ctx, faults)
}

// ExitTable implements Host.
func (Linux) ExitTable(ctx context.Context, link string) (string, error) {
	return hostnet.ExitTable(ctx, link)
}

// ExitChanged implements Host.
func (Linux) ExitChanged(ctx context.Context, e hostnet.Exit, table string) ([]string, error) {
	return hostnet.ExitChanged(ctx, e, table)
}

// ProbeExit implements Host.
func (Linux) ProbeExit(ctx context.Context, e hostnet.Exit, send func(context.Context, ...[]byte) error) ([]hostnet.ExitFault, error) {
	return hostnet.ProbeExit(ctx, e, send)
}

// WatchExit implements Host.
func (Linux) WatchExit(ctx context.Context, link string, deliver func(hostnet.ExitEvent)) error {
	return hostnet.WatchExit(ctx, link, deliver)
}

// LinkExists implements Host.
func (Linux) LinkExists(name string) bool { return hostnet.LinkExists(name) }
