package ofconn

import (
	"context"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// This file reads what the switch holds.

// FlowFilter selects flows. Its zero value selects all.
type FlowFilter struct {
	Tables             []uint8 // none: every table
	Cookie, CookieMask uint64  // flows whose cookie equals Cookie in the bits of CookieMask
	Match              openflow.Match
}

// flowSlices is the number of requests that a dump is cut into, by the lowest bits of
// the cookie: while the switch answers one, it handles no packet that misses its cache.
const flowSlices = 16

// EachFlow calls visit with the flows that match filter, in no order, and returns after
// the last one or with the first error, including visit's. The flows are read in
// slices: a concurrent change may be seen or not. visit runs in the goroutine that
// reads the connection, so it must not wait for an answer on it.
func (c *Conn) EachFlow(ctx context.Context, filter FlowFilter, visit func(openflow.FlowStats) error) error {
	tables := filter.Tables
	if len(tables) == 0 {
		tables = []uint8{openflow.TableAll}
	}
	for _, table := range tables {
		for slice := range uint64(flowSlices) {
			if (slice^filter.Cookie)&filter.CookieMask&(flowSlices-1) != 0 {
				continue // no cookie matches both
			}
			body, err := ofp.AppendFlowRequest(nil, &ofp.FlowFilter{
				Table:      table,
				Cookie:     filter.Cookie&filter.CookieMask | slice,
				CookieMask: filter.CookieMask | (flowSlices - 1),
				Match:      filter.Match,
			})
			if err == nil {
				err = c.multipart(ctx, ofp.MultipartFlowDesc, body, func(part []byte) error {
					return eachFlow(part, visit)
				})
			}
			if err != nil {
				return fmt.Errorf("openflow dump of flows: %w", err)
			}
		}
	}
	return nil
}

// eachFlow visits the flows of one part.
func eachFlow(part []byte, visit func(openflow.FlowStats) error) error {
	flows, err := ofp.DecodeFlowStats(part)
	if err != nil {
		return err
	}
	for i := range flows {
		if err := visit(flows[i]); err != nil {
			return err
		}
	}
	return nil
}

// Flows returns the flows that match filter, in no order.
func (c *Conn) Flows(ctx context.Context, filter FlowFilter) ([]openflow.FlowStats, error) {
	var flows []openflow.FlowStats
	err := c.EachFlow(ctx, filter, func(f openflow.FlowStats) error {
		flows = append(flows, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return flows, nil
}

// CookieFlows returns the flows, without their counters, whose cookies equal cookie in
// the bits of mask.
func (c *Conn) CookieFlows(ctx context.Context, cookie, mask uint64) ([]openflow.Flow, error) {
	var flows []openflow.Flow
	err := c.EachFlow(ctx, FlowFilter{Cookie: cookie, CookieMask: mask}, func(f openflow.FlowStats) error {
		flows = append(flows, f.Flow)
		return nil
	})
	return flows, err
}

// Groups returns all groups.
func (c *Conn) Groups(ctx context.Context) ([]openflow.Group, error) {
	groups, err := collect(ctx, c, ofp.MultipartGroupDesc, ofp.AppendGroupRequest(nil), ofp.DecodeGroupDesc)
	if err != nil {
		return nil, fmt.Errorf("openflow dump of groups: %w", err)
	}
	return groups, nil
}

// Meters returns all meters.
func (c *Conn) Meters(ctx context.Context) ([]openflow.Meter, error) {
	meters, err := collect(ctx, c, ofp.MultipartMeterConfig, ofp.AppendMeterRequest(nil), ofp.DecodeMeterConfig)
	if err != nil {
		return nil, fmt.Errorf("openflow dump of meters: %w", err)
	}
	return meters, nil
}

// MeterStats returns the counters of all meters.
func (c *Conn) MeterStats(ctx context.Context) ([]openflow.MeterStats, error) {
	stats, err := collect(ctx, c, ofp.MultipartMeterStats, ofp.AppendMeterRequest(nil), ofp.DecodeMeterStats)
	if err != nil {
		return nil, fmt.Errorf("openflow dump of meters' counters: %w", err)
	}
	return stats, nil
}

// MaxMeters returns how many meters the switch supports: with Linux's own datapath,
// some kernels have none.
func (c *Conn) MaxMeters(ctx context.Context) (uint32, error) {
	most, err := collect(ctx, c, ofp.MultipartMeterFeatures, nil, ofp.DecodeMeterFeatures)
	if err != nil || len(most) == 0 {
		return 0, errors.Join(fmt.Errorf("openflow: ask how many meters there are: %d answers", len(most)), err)
	}
	return most[0], nil
}

// Ports returns all ports, including the bridge's own (openflow.PortLocal).
func (c *Conn) Ports(ctx context.Context) ([]openflow.Port, error) {
	ports, err := collect(ctx, c, ofp.MultipartPortDesc, ofp.AppendPortRequest(nil), ofp.DecodePorts)
	if err != nil {
		return nil, fmt.Errorf("openflow dump of ports: %w", err)
	}
	return ports, nil
}

// Tables returns all flows, without their counters, and all groups.
func (c *Conn) Tables(ctx context.Context) ([]openflow.Flow, []openflow.Group, error) {
	var flows []openflow.Flow
	err := c.EachFlow(ctx, FlowFilter{}, func(f openflow.FlowStats) error {
		flows = append(flows, f.Flow)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	groups, err := c.Groups(ctx)
	if err != nil {
		return nil, nil, err
	}
	return flows, groups, nil
}

// collect decodes all parts of a reply.
func collect[T any](ctx context.Context, c *Conn, t ofp.MultipartType, body []byte, decode func([]byte) ([]T, error)) ([]T, error) {
	var all []T
	err := c.multipart(ctx, t, body, func(part []byte) error {
		some, err := decode(part)
		all = append(all, some...)
		return err
	})
	return all, err
}

// multipart sends a request and calls visit, in the reader's goroutine, with every part
// of the reply. It returns after the last part, or with the first error, including
// visit's.
func (c *Conn) multipart(ctx context.Context, t ofp.MultipartType, body []byte, visit func(part []byte) error) error {
	var done bool
	var failed error
	k := c.expect(1, func(h ofp.Header, body []byte) {
		if done {
			return // after an error, the rest is ignored
		}
		if h.Type == ofp.TypeError {
			done, failed = true, decodeError(body)
			return
		}
		got, part, more, err := ofp.DecodeMultipart(body)
		switch {
		case err != nil:
		case h.Type != ofp.TypeMultipartReply || got != t:
			err = fmt.Errorf("the switch answered with a %s of kind %d, want kind %d", h.Type, got, t)
		default:
			err = visit(part)
		}
		done, failed = !more || err != nil, err
	})
	defer c.forget(k)
	b, err := ofp.AppendMultipartRequest(c.buffer(), k.first, t, body)
	if err != nil {
		return err
	}
	if err := c.send(ctx, b); err != nil {
		return err
	}
	if err := c.wait(ctx, k, func() bool { return done }); err != nil {
		return err
	}
	return failed
}
