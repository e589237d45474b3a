package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads messages about removed flows (OpenFlow 1.5, 7.4.2).

// DecodeFlowRemoved reads the body of a flow-removed message.
func DecodeFlowRemoved(body []byte) (openflow.FlowRemoved, error) {
	if len(body) < 16 {
		return openflow.FlowRemoved{}, fmt.Errorf("ofp: flow-removed: %d bytes, want at least 16", len(body))
	}
	f := openflow.FlowRemoved{
		Reason: openflow.FlowRemovedReason(body[1]),
		Flow: openflow.Flow{
			Table:       body[0],
			Priority:    binary.BigEndian.Uint16(body[2:]),
			IdleTimeout: binary.BigEndian.Uint16(body[4:]),
			HardTimeout: binary.BigEndian.Uint16(body[6:]),
			Cookie:      binary.BigEndian.Uint64(body[8:]),
		},
	}
	match, rest, err := DecodeMatch(body[16:])
	if err != nil {
		return openflow.FlowRemoved{}, fmt.Errorf("flow-removed: %w", err)
	}
	f.Flow.Match = match
	stats, _, err := decodeStats(rest)
	if err != nil {
		return openflow.FlowRemoved{}, fmt.Errorf("flow-removed: %w", err)
	}
	f.Packets, f.Bytes, f.Duration = stats.packets, stats.bytes, stats.duration
	return f, nil
}
