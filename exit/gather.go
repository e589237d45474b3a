package exit

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
)

const (
	endpointsEvery = 15 * time.Second // how often the store's endpoints are looked up
	publishFirst   = 100 * time.Millisecond
	publishEvery   = 3 * time.Second // how often the guard is checked for this host's addresses
	lookupTime     = time.Second     // for listing the store's members, and for resolving one name
)

// Sources are where a Gatherer reads the parts of a Config.
type Sources struct {
	Hosts     func(ctx context.Context, deliver func(intent.HostsUpdate)) error
	Externals func(ctx context.Context, deliver func(intent.ExternalsUpdate)) error

	Guard func(ctx context.Context, deliver func(intent.GuardUpdate)) error

	// Own returns this host's part of the guard; Publish stores it for all hosts.
	Own     func() (intent.Guarded, error)
	Publish func(ctx context.Context, own intent.Guarded) error

	// Members returns the client and peer URLs of the store's members. Endpoints are the
	// store's URLs from this host's configuration.
	Members   func(ctx context.Context) ([]string, error)
	Endpoints []string

	Log *slog.Logger
}

// Gatherer collects the wanted Config, and passes it to a Reconciler when all of it is
// known and after every change.
type Gatherer struct {
	// Set by NewGatherer.
	from Sources
	to   interface{ Set(Config) }
	wake chan struct{} // has an element when something changed

	// Guarded by mu.
	mu     sync.Mutex
	config Config
	hosts  []netip.Addr // their VTEPs
	guard  intent.GuardUpdate
	known  struct{ hosts, externals, guard bool }
}

// NewGatherer returns a Gatherer that does nothing before Run.
func NewGatherer(from Sources, to *Reconciler) *Gatherer {
	return &Gatherer{from: from, to: to, wake: make(chan struct{}, 1)}
}

// Run gathers until ctx ends.
func (g *Gatherer) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() {
		loop.Watch(ctx, g.from.Log, "hosts", func(ctx context.Context) error {
			return g.from.Hosts(ctx, func(u intent.HostsUpdate) {
				var vteps []netip.Addr
				for _, h := range u.Hosts {
					vteps = append(vteps, h.VTEP)
				}
				g.change(func(*Config) { g.hosts, g.known.hosts = vteps, true })
			})
		})
	})
	parts.Go(func() {
		loop.Watch(ctx, g.from.Log, "externals", func(ctx context.Context) error {
			return g.from.Externals(ctx, func(u intent.ExternalsUpdate) {
				g.change(func(c *Config) { c.Externals, g.known.externals = u.Externals, true })
			})
		})
	})
	parts.Go(func() {
		loop.Watch(ctx, g.from.Log, "what tenants are kept from", func(ctx context.Context) error {
			return g.from.Guard(ctx, func(u intent.GuardUpdate) {
				g.change(func(c *Config) {
					g.guard, g.known.guard = u, true
					c.Hosts, c.Underlays = u.HostAddresses(), u.Underlays()
				})
			})
		})
	})
	parts.Go(func() { g.publish(ctx) })
	parts.Go(func() { g.findStore(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		}
		g.mu.Lock()
		c, known := g.config, g.known
		c.VTEPs = slices.Concat(g.hosts, g.guard.VTEPs())
		g.mu.Unlock()
		if known.hosts && known.externals && known.guard {
			slices.SortFunc(c.VTEPs, netip.Addr.Compare)
			c.VTEPs = slices.Compact(c.VTEPs)
			g.to.Set(c)
		}
	}
}

// SetForwards sets the forwards of the host's own addresses. It does not block.
func (g *Gatherer) SetForwards(list []intent.Forward) {
	g.change(func(c *Config) { c.Forwards, c.ForwardsKnown = list, true })
}

func (g *Gatherer) change(set func(*Config)) {
	g.mu.Lock()
	set(&g.config)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// publish stores this host's part of the guard whenever the stored one differs or is
// missing: the addresses may have changed, or the store may have been restored from a backup.
func (g *Gatherer) publish(ctx context.Context) {
	pause := publishFirst
	for {
		if own, err := g.from.Own(); err != nil {
			g.from.Log.Warn("cannot read this host's addresses", "error", err)
		} else if own, differs := g.unpublished(own); differs {
			limited, cancel := context.WithTimeout(ctx, atMost)
			err := g.from.Publish(limited, own)
			cancel()
			switch {
			case ctx.Err() != nil:
			case err == nil, pause == publishEvery:
				pause = publishEvery
			default: // this host is not registered yet
				pause = min(2*pause, publishEvery)
			}
			if err != nil && pause == publishEvery && ctx.Err() == nil {
				g.from.Log.Warn("cannot publish this host's addresses", "error", err)
			}
		}
		if !loop.Pause(ctx, pause) {
			return
		}
	}
}

// unpublished returns own without the gateway addresses of externals, and whether the
// guard in the store differs from that.
func (g *Gatherer) unpublished(own intent.Guarded) (intent.Guarded, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known.guard || !g.known.externals {
		return own, false
	}
	own.Addresses = withoutGateways(own.Addresses, g.config.Externals)
	return own, !slices.ContainsFunc(g.guard.Guarded, func(x intent.Guarded) bool { return reflect.DeepEqual(x, own) })
}

// findStore keeps Config.Store current until ctx ends: tenants must not reach the store.
func (g *Gatherer) findStore(ctx context.Context) {
	var last []netip.Addr
	for first := true; ; first = false {
		found := g.storeEndpoints(ctx, last)
		if first || !slices.Equal(found, last) {
			g.change(func(c *Config) { c.Store, c.StoreKnown = found, true })
		}
		last = found
		if !loop.Pause(ctx, endpointsEvery) {
			return
		}
	}
}

// storeEndpoints returns the store's IPv4 addresses, from this host's configuration and
// from the list of members. If one of them cannot be looked up, the last addresses are
// included, too.
func (g *Gatherer) storeEndpoints(ctx context.Context, last []netip.Addr) []netip.Addr {
	limited, cancel := context.WithTimeout(ctx, lookupTime)
	members, err := g.from.Members(limited)
	cancel()
	var found []netip.Addr
	known := err == nil
	for _, text := range slices.Concat(g.from.Endpoints, members) {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			continue // the Unix socket of a store that serves this host alone
		}
		addrs, err := addressesOf(ctx, u.Hostname())
		known = known && err == nil
		found = append(found, addrs...)
	}
	if !known {
		found = append(found, last...)
	}
	found = slices.DeleteFunc(found, func(a netip.Addr) bool { return !a.Is4() || a.IsLoopback() || a.IsUnspecified() })
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found)
}

// addressesOf resolves an address or a host name.
func addressesOf(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	limited, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(limited, "ip4", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}
