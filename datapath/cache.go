package datapath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// CacheStats tells how well the datapath's cache of flows (megaflows) serves, since the
// datapath was made.
type CacheStats struct {
	Hits   uint64 // packets that a flow of the cache served
	Misses uint64 // packets that ovs-vswitchd had to pass through the tables
	Lost   uint64 // misses that were dropped, because the queue to ovs-vswitchd was full
	Flows  uint64 // in the cache now

	// Of Linux's datapath only: how many masks the flows have now, and how many masks were
	// tried for all packets. The userspace datapath tells neither: 0.
	Masks    uint64
	MaskHits uint64
}

// cacheReader reads the counters of a datapath where that datapath keeps them.
type cacheReader interface {
	cacheStats(ctx context.Context) (CacheStats, error)
}

// CacheStats returns the counters of the datapath's cache. Linux's datapath is asked by
// netlink, and answers while ovs-vswitchd is down; it must be that of the caller's network
// namespace. For the userspace datapath ovs-vswitchd answers.
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

// parseShow reads the counters that dpctl/show prints of one datapath (ovs-dpctl(8)).
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

// kernelCache is the cache of Linux's datapath.
type kernelCache struct{ netlink genetlink }

// genetlink asks a generic netlink family of the kernel (genetlink(7)).
type genetlink interface {
	// ask sends a command with a payload, and returns the payload of the one answer.
	ask(family string, version, command uint8, payload []byte) ([]byte, error)
}

// What linux/openvswitch.h says of the family of datapaths.
const (
	datapathFamily  = "ovs_datapath"
	datapathVersion = 2
	datapathGet     = 3 // OVS_DP_CMD_GET

	attrName      = 1 // OVS_DP_ATTR_NAME
	attrStats     = 3 // OVS_DP_ATTR_STATS: struct ovs_dp_stats
	attrMegaflows = 4 // OVS_DP_ATTR_MEGAFLOW_STATS: struct ovs_dp_megaflow_stats

	headerSize = 4 // of struct ovs_header, which comes before the attributes
	nlaHeader  = 4 // of an attribute: its length with this header, and its type
)

func (c kernelCache) cacheStats(context.Context) (CacheStats, error) {
	const name = "ovs-system\x00"
	request := make([]byte, headerSize) // any: the name says which
	request = binary.NativeEndian.AppendUint16(request, uint16(nlaHeader+len(name)))
	request = binary.NativeEndian.AppendUint16(request, attrName)
	request = append(request, name...)
	request = append(request, make([]byte, padded(len(name))-len(name))...)
	answer, err := c.netlink.ask(datapathFamily, datapathVersion, datapathGet, request)
	if err != nil {
		return CacheStats{}, err
	}
	return parseDatapath(answer)
}

// parseDatapath reads the counters from the kernel's description of a datapath. Newer
// kernels have longer structures, which begin alike.
func parseDatapath(b []byte) (CacheStats, error) {
	if len(b) < headerSize {
		return CacheStats{}, fmt.Errorf("the kernel's answer has %d bytes", len(b))
	}
	var s CacheStats
	found := false
	for b = b[headerSize:]; len(b) >= nlaHeader; {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < nlaHeader || size > len(b) {
			return CacheStats{}, fmt.Errorf("an attribute of the kernel's answer says that it has %d bytes, with %d left", size, len(b))
		}
		value := b[nlaHeader:size]
		b = b[min(padded(size), len(b)):]
		switch {
		case kind == attrStats && len(value) >= 32:
			s.Hits, s.Misses = binary.NativeEndian.Uint64(value), binary.NativeEndian.Uint64(value[8:])
			s.Lost, s.Flows = binary.NativeEndian.Uint64(value[16:]), binary.NativeEndian.Uint64(value[24:])
			found = true
		case kind == attrMegaflows && len(value) >= 12:
			s.MaskHits, s.Masks = binary.NativeEndian.Uint64(value), uint64(binary.NativeEndian.Uint32(value[8:]))
		}
	}
	if !found {
		return CacheStats{}, errors.New("the kernel's answer has no counters")
	}
	return s, nil
}

// padded returns how many bytes an attribute takes: attributes begin at multiples of four.
func padded(size int) int { return (size + 3) &^ 3 }
