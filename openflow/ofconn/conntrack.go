package ofconn

import (
	"context"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// This file cuts tracked connections.

// CTFlush cuts tracked connections and returns once the switch has done so. The error
// is an errors.ErrUnsupported if the switch can only flush whole zones: finer flushes
// came with Open vSwitch 3.1.
func (c *Conn) CTFlush(ctx context.Context, which ...openflow.Connections) error {
	refused, err := c.confirm(ctx, len(which), func(b []byte, i int, xid uint32) ([]byte, error) {
		return ofp.AppendCTFlush(b, xid, which[i])
	})
	if err != nil {
		return fmt.Errorf("openflow ct flush: %w", err)
	}
	var errs []error
	for _, r := range refused {
		var e *ofp.Error
		if errors.As(r.err, &e) && e.IsUnknownRequest() {
			r.err = fmt.Errorf("%w: needs Open vSwitch 3.1 (%w)", errors.ErrUnsupported, r.err)
		}
		if r.index < len(which) {
			r.err = fmt.Errorf("openflow ct flush in zone %d: %w", which[r.index].Zone, r.err)
		}
		errs = append(errs, r.err)
	}
	return errors.Join(errs...)
}
