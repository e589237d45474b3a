package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file has the switch tell of flows that change (OpenFlow 1.5, 7.3.5.18). What
// comes unasked is a multipart reply with xid 0.

// What a monitor hears of (OpenFlow 1.5, ofp_flow_monitor_flags). Without the flags for
// instructions and for changes of its own in full, a connection is told of its own
// changes by no more than their xid, once for each bundle.
const (
	monitorAdd    = 1 << 1
	monitorRemove = 1 << 2
	monitorModify = 1 << 3
)

// AppendMonitorRequest appends the body of a multipart request of type
// MultipartFlowMonitor that has the switch tell of each flow of a table that is added,
// removed or modified from now on; openflow.TableAll means all tables. The id is
// the monitor's, unique within the connection.
func AppendMonitorRequest(b []byte, id uint32, table uint8) []byte {
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, anyPort)
	b = binary.BigEndian.AppendUint32(b, anyGroup)
	b = binary.BigEndian.AppendUint16(b, monitorAdd|monitorRemove|monitorModify)
	b = append(b, table, 0)                  // OFPFMC_ADD
	return append(b, 0, 1, 0, 4, 0, 0, 0, 0) // a match of everything
}

// Lengths of flow updates before their match, and of those that have none.
const (
	updateFullLen  = 24
	updateShortLen = 8
)

// EachFlowUpdate visits the updates of one part of a reply of type
// MultipartFlowMonitor. Those of the connection's own changes are left out. It
// returns the first error, also of visit.
func EachFlowUpdate(part []byte, visit func(openflow.FlowChange) error) error {
	for len(part) > 0 {
		if len(part) < updateShortLen {
			return fmt.Errorf("ofp: flow update: %d bytes, want at least %d", len(part), updateShortLen)
		}
		n := int(binary.BigEndian.Uint16(part))
		if n < updateShortLen || n > len(part) {
			return fmt.Errorf("ofp: flow update: says %d bytes, %d are there", n, len(part))
		}
		c, own, err := decodeUpdate(part[:n])
		if err == nil && !own {
			err = visit(c)
		}
		if err != nil {
			return err
		}
		part = part[n:]
	}
	return nil
}

func decodeUpdate(b []byte) (c openflow.FlowChange, own bool, err error) {
	c.Event = openflow.FlowEvent(binary.BigEndian.Uint16(b[2:]))
	switch c.Event {
	case openflow.FlowUpdatesPaused, openflow.FlowUpdatesResumed:
		return c, false, nil
	case openflow.FlowOwnChange:
		return c, true, nil
	case openflow.FlowInitial, openflow.FlowAdded, openflow.FlowGone, openflow.FlowModified:
	default:
		return c, false, fmt.Errorf("ofp: flow update: event %d is not known", uint16(c.Event))
	}
	if len(b) < updateFullLen {
		return c, false, fmt.Errorf("ofp: flow update: %d bytes, want at least %d", len(b), updateFullLen)
	}
	c.Flow = openflow.Flow{
		Table:       b[4],
		IdleTimeout: binary.BigEndian.Uint16(b[6:]),
		HardTimeout: binary.BigEndian.Uint16(b[8:]),
		Priority:    binary.BigEndian.Uint16(b[10:]),
		Cookie:      binary.BigEndian.Uint64(b[16:]),
	}
	if c.Event == openflow.FlowGone {
		c.Reason = openflow.FlowRemovedReason(b[5])
	}
	c.Flow.Match, _, err = DecodeMatch(b[updateFullLen:])
	if err != nil {
		return c, false, fmt.Errorf("flow update: %w", err)
	}
	return c, false, nil
}

// Subtypes by which older switches say that updates pause and go on.
const (
	nxtMonitorPaused  = 22
	nxtMonitorResumed = 23
)

// MonitorPause says whether the body of an experimenter message is one by which a switch
// pauses or resumes flow updates.
func MonitorPause(body []byte) (e openflow.FlowEvent, ok bool) {
	if len(body) < 8 || binary.BigEndian.Uint32(body) != NiciraID {
		return 0, false
	}
	switch binary.BigEndian.Uint32(body[4:]) {
	case nxtMonitorPaused:
		return openflow.FlowUpdatesPaused, true
	case nxtMonitorResumed:
		return openflow.FlowUpdatesResumed, true
	}
	return 0, false
}
