package openflow

import (
	"fmt"
	"strings"
)

// This file holds a switch's unsolicited messages to its controller, and the packets
// sent back.

// PacketIn is a packet that the switch hands to the controller (NXT_PACKET_IN2).
type PacketIn struct {
	Packet   []byte // from the Ethernet header on; cut to the MaxLen of ToController
	FullLen  int    // of the packet before it was cut, in bytes
	Table    uint8
	Cookie   uint64 // of the flow that sent it; all ones: there is none
	Reason   PacketInReason
	Metadata Match  // registers, metadata, in_port, tunnel and conntrack fields, all exact
	Userdata string // from ToController

	// Continuation is the switch's own state of a packet held by ToController with
	// Pause; empty if it is not held. It can be resumed once.
	Continuation string
}

// PacketOut is a packet that the controller puts into the pipeline.
type PacketOut struct {
	Packet  []byte // from the Ethernet header on
	InPort  PortNo // PortController if zero
	Actions []Action
	// Metadata sets registers, metadata and tunnel fields before Actions run. It must
	// not hold in_port.
	Metadata Match
}

// FlowRemovedReason is why a flow was removed (OpenFlow 1.5, 7.4.2).
type FlowRemovedReason uint8

// Reasons of FlowRemoved.
const (
	RemovedIdleTimeout FlowRemovedReason = iota
	RemovedHardTimeout
	RemovedDelete
	RemovedGroupDelete
	RemovedMeterDelete
	RemovedEviction
)

// String returns the reason in words.
func (r FlowRemovedReason) String() string {
	names := [...]string{"idle timeout", "hard timeout", "deleted", "group deleted", "meter deleted", "evicted"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// FlowRemoved says that a flow with SendFlowRem is gone. Its Flow has neither actions
// nor flags: the switch does not send them.
type FlowRemoved struct {
	Flow           Flow
	Reason         FlowRemovedReason
	Packets, Bytes uint64
	Duration       float64 // lifetime in seconds
}

// Port is a port of the switch.
type Port struct {
	No   PortNo
	Name string // at most 15 bytes: OpenFlow cuts longer names
	MAC  [6]byte
	PortConfig
	LinkDown bool
}

// PortConfig is what a controller can configure on a port (OpenFlow 1.5,
// ofp_port_config). Its zero value is a working port.
type PortConfig struct {
	Down       bool // administratively: as `ip link set dev down`, where it has a device
	NoReceive  bool // packets that come in by it are dropped
	NoForward  bool // packets that leave by it are dropped
	NoPacketIn bool // its packets are not sent to controllers
}

// String returns what is set, as ovs-ofctl mod-port calls it.
func (c PortConfig) String() string {
	var words []string
	for _, w := range []struct {
		on   bool
		name string
	}{{c.Down, "down"}, {c.NoReceive, "no-receive"}, {c.NoForward, "no-forward"}, {c.NoPacketIn, "no-packet-in"}} {
		if w.on {
			words = append(words, w.name)
		}
	}
	return strings.Join(words, " ")
}

// PortEvent is what happened to a port.
type PortEvent uint8

// Events of ports (OpenFlow 1.5, 7.4.3).
const (
	PortAdded PortEvent = iota
	PortDeleted
	PortModified
)

// String returns the event in words.
func (e PortEvent) String() string {
	names := [...]string{"added", "deleted", "modified"}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("event %d", uint8(e))
}

// PortChange says that a port was added, removed or changed.
type PortChange struct {
	Event PortEvent
	Port  Port
}

// FlowEvent is an event of a flow, or of the flow monitor itself (OpenFlow 1.5,
// 7.3.5.18).
type FlowEvent uint16

// Events of a flow monitor.
const (
	FlowInitial        FlowEvent = iota // was there when the monitor began
	FlowAdded                           //
	FlowGone                            //
	FlowModified                        // has other actions or another cookie
	FlowOwnChange                       // this connection changed something
	FlowUpdatesPaused                   // the switch has too many events; until the next one, the list is incomplete
	FlowUpdatesResumed                  //
)

// String returns the event in words.
func (e FlowEvent) String() string {
	names := [...]string{"there", "added", "removed", "modified", "own change", "updates paused", "updates resumed"}
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("event %d", uint16(e))
}

// FlowChange says that another connection, or the switch itself, changed a flow. Its
// Flow has no actions.
type FlowChange struct {
	Event  FlowEvent
	Reason FlowRemovedReason // for FlowGone
	Flow   Flow
}
