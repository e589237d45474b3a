package agent

import (
	"context"
	"net/netip"

	"github.com/ovloom/ovloom/hostnet"
)

// Kernel implements Network on the host that the process runs on.
type Kernel struct {
	VTEP  func() netip.Addr // this host's
	Aside *hostnet.Aside    // isolates the host's network from ports; nil: the datapath does
}

// Plug is hostnet.Plug. It isolates the host from the port before the first packet; if that
// fails, the loop that keeps Aside reports it. The rules are added in parallel, because
// nft(8) takes as long as everything else, but the interface carries nothing before.
func (k Kernel) Plug(ctx context.Context, p hostnet.PlugSpec) (hostnet.Plugged, error) {
	if k.Aside == nil {
		return hostnet.Plug(ctx, p)
	}
	name := hostnet.HostIfName(p.Port)
	added := make(chan struct{})
	go func() {
		defer close(added)
		_ = k.Aside.Add(ctx, name)
	}()
	p.BeforeUp = func() error {
		<-added
		return k.Aside.Made(name)
	}
	plugged, err := hostnet.Plug(ctx, p)
	<-added // even if the interface could not be created
	return plugged, err
}

// Unplug is hostnet.Unplug.
func (Kernel) Unplug(ctx context.Context, port string) error { return hostnet.Unplug(ctx, port) }

// CheckTap is hostnet.CheckTap.
func (Kernel) CheckTap(name string, any bool) (hostnet.Tap, error) {
	return hostnet.CheckTap(name, any)
}

// ReadyTap is hostnet.ReadyTap.
func (Kernel) ReadyTap(t hostnet.Tap, mtu int) (func() error, error) { return hostnet.ReadyTap(t, mtu) }

// Watch is hostnet.Watch.
func (Kernel) Watch(ctx context.Context, deliver func(hostnet.Change)) error {
	return hostnet.Watch(ctx, deliver)
}

// Stands is hostnet.Stands.
func (Kernel) Stands(t hostnet.Target, p hostnet.Place) bool { return hostnet.Stands(t, p) }

// FindEnd is hostnet.FindEnd.
func (Kernel) FindEnd(name string) (hostnet.Target, hostnet.Place, string, error) {
	return hostnet.FindEnd(name)
}

// SetUp is hostnet.SetUp.
func (Kernel) SetUp(name string) error { return hostnet.SetUp(name) }

// Underlay is hostnet.UnderlayMTU of the VTEP address.
func (k Kernel) Underlay() (int, string, error) { return hostnet.UnderlayMTU(k.VTEP()) }
