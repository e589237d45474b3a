package datapath

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/digitalocean/go-openvswitch/ovsnl"
	"golang.org/x/sys/unix"
)

// CacheStats tells how well the datapath's cache of flows (megaflows) has served since the
// datapath was created.
type CacheStats struct {
	Hits   uint64 // packets that a cached flow served
	Misses uint64 // packets that ovs-vswitchd had to pass through the tables
	Lost   uint64 // misses dropped because the queue to ovs-vswitchd was full
	Flows  uint64 // in the cache now

	// Only of the kernel datapath: the number of masks that the flows have now, and the
	// number of masks tried for all packets. The userspace datapath reports neither: 0.
	Masks    uint64
	MaskHits uint64
}

// cacheReader reads the counters of a datapath's cache.
type cacheReader interface {
	cacheStats(ctx context.Context) (CacheStats, error)
}

// CacheStats returns the counters of the datapath's cache. It reads the kernel datapath of
// the caller's network namespace by netlink, even while ovs-vswitchd is down. It asks
// ovs-vswitchd for the userspace datapath's counters.
func (d *Datapath) CacheStats(ctx context.Context) (CacheStats, error) {
	s, err := d.cache.cacheStats(ctx)
	if err != nil {
		return CacheStats{}, fmt.Errorf("counters of datapath %s: %w", d.name(), err)
	}
	return s, nil
}

// userspaceCache is the cache of the userspace datapath.
type userspaceCache struct{ vswitchd Caller }

func (c userspaceCache) cacheStats(ctx context.Context) (CacheStats, error) {
	out, err := c.vswitchd.Call(ctx, "dpctl/show", "netdev@ovs-netdev")
	if err != nil {
		return CacheStats{}, err
	}
	return parseShow(out)
}

var (
	lookupsLine = regexp.MustCompile(`(?m)^\s+lookups: hit:(\d+) missed:(\d+) lost:(\d+)`)
	flowsLine   = regexp.MustCompile(`(?m)^\s+flows: (\d+)`)
)

// parseShow parses the counters that dpctl/show prints of one datapath (ovs-dpctl(8)).
func parseShow(show string) (CacheStats, error) {
	lookups, flows := lookupsLine.FindStringSubmatch(show), flowsLine.FindStringSubmatch(show)
	if lookups == nil || flows == nil {
		return CacheStats{}, fmt.Errorf("dpctl/show tells no counters: %q", show)
	}
	var s CacheStats
	var errs []error
	for i, into := range []*uint64{&s.Hits, &s.Misses, &s.Lost, &s.Flows} {
		n, err := strconv.ParseUint(append(lookups[1:], flows[1])[i], 10, 64)
		*into, errs = n, append(errs, err)
	}
	return s, errors.Join(errs...)
}

// kernelCache is the cache of the kernel datapath.
type kernelCache struct{ kernel lister }

// lister lists the datapaths of the kernel.
type lister interface {
	List() ([]ovsnl.Datapath, error)
}

func (c kernelCache) cacheStats(context.Context) (CacheStats, error) {
	all, err := c.kernel.List()
	if err != nil {
		return CacheStats{}, err
	}
	for _, d := range all {
		if d.Name == "ovs-system" { // the name that ovs-vswitchd gives its datapath
			return CacheStats{
				Hits: d.Stats.Hit, Misses: d.Stats.Missed, Lost: d.Stats.Lost, Flows: d.Stats.Flows,
				Masks: uint64(d.MegaflowStats.Masks), MaskHits: d.MegaflowStats.MaskHits,
			}, nil
		}
	}
	return CacheStats{}, unix.ENODEV
}
