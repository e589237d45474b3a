package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file watches flows (OpenFlow 1.5, 7.3.5.18). Updates come as a multipart reply
// with xid 0.

// What a monitor reports (OpenFlow 1.5, ofp_flow_monitor_flags). Without the flags for
// instructions and for own changes in full, a connection gets only the xid of its own
// changes, once for each bundle.
const (
	monitorAdd    = 1 << 1
	monitorRemove = 1 << 2
	monitorModify = 1 << 3
)

// AppendMonitorRequest appends the body of a multipart request of type
// MultipartFlowMonitor, after which the switch reports each flow of a table that is
// added, removed or modified; openflow.TableAll means all tables. The id is the
// monitor's, unique within the connection.
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

// EachFlowUpdate visits the updates in one part of a reply of type
// MultipartFlowMonitor, without the connection's own changes. It returns the first
// error, including visit's.
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

// Subtypes with which older switches pause and resume updates.
const (
	nxtMonitorPaused  = 22
	nxtMonitorResumed = 23
)

// MonitorPause reports whether the body of an experimenter message pauses or resumes
// flow updates.
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
