// Flows, groups and meters as values, and the changes of them.

package openflow

// Flow is one entry of a switch's flow table.
type Flow struct {
	Table    uint8
	Priority uint16
	Cookie   uint64
	Match    Match

	// Actions holds instructions too (Goto, WriteMetadata, MeterID, …), in the
	// order in which ovs-ofctl prints them. None means drop.
	Actions []Action

	IdleTimeout uint16 // seconds; 0 never
	HardTimeout uint16 // seconds; 0 never
	Importance  uint16
	Flags       FlowFlags
}

// FlowKey identifies a flow within a switch: adding a flow replaces the one with the
// same key.
type FlowKey struct {
	Table    uint8
	Priority uint16
	Match    string // canonical bytes of the match; not for people
}

// FlowFlags are the flags of a flow-mod (OpenFlow 1.5, 7.3.4.4).
type FlowFlags uint16

// Flags of a flow.
const (
	SendFlowRem FlowFlags = 1 << iota
	CheckOverlap
	ResetCounts
	NoPacketCounts
	NoByteCounts
)

// FlowStats is a flow as a switch dumps it, with its counters.
type FlowStats struct {
	Flow
	Packets, Bytes uint64
	Duration       float64 // seconds since it was installed
	IdleAge        float64 // seconds since a packet last hit it
}

// Mod is one change of a switch: *FlowMod, *GroupMod or *MeterMod. They are
// pointers so that a list of them costs no copies.
type Mod interface {
	// String returns the change in ovs-ofctl's bundle syntax: "flow add …".
	String() string
	mod()
}

// FlowCommand is what a FlowMod does.
type FlowCommand uint8

// Commands of a flow-mod (OpenFlow 1.5, 7.3.4.2).
const (
	FlowAdd FlowCommand = iota
	FlowModify
	FlowModifyStrict
	FlowDelete       // all flows that Match covers, filtered by Cookie and CookieMask
	FlowDeleteStrict // the one flow with the same table, priority and match
)

// TableAll stands for every table in a FlowDelete.
const TableAll = 0xff

// FlowMod adds, modifies or deletes flows.
type FlowMod struct {
	Command    FlowCommand
	CookieMask uint64 // FlowModify and FlowDelete…: only flows whose cookie agrees with Flow.Cookie here; 0: all
	Flow       Flow
}

// GroupType says which buckets of a group run.
type GroupType uint8

// Types of groups (OpenFlow 1.5, 7.3.4.3).
const (
	GroupAll GroupType = iota
	GroupSelect
	GroupIndirect
	GroupFastFailover
)

// Group is an entry of the switch's group table.
type Group struct {
	ID      uint32
	Type    GroupType
	Buckets []Bucket

	// Type GroupSelect only: Open vSwitch's selection method ("", "hash",
	// "dp_hash"), its parameter and the fields hashed.
	SelectionMethod string
	SelectionParam  uint64
	SelectionFields []Field

	Opaque string // properties that package ofp does not know, as bytes
}

// Bucket is one list of actions of a group.
type Bucket struct {
	ID      uint32
	Weight  uint16 // GroupSelect only
	Actions []Action

	// GroupFastFailover only: the bucket runs while this port or group is live.
	WatchPort  PortNo // 0: none
	WatchGroup uint32 // 0: none

	Opaque string // properties that package ofp does not know, as bytes
}

// GroupCommand is what a GroupMod does.
type GroupCommand uint8

// Commands of a group-mod.
const (
	GroupAdd GroupCommand = iota
	GroupModify
	GroupDelete
	GroupAddOrModify  // Open vSwitch's extension
	GroupInsertBucket // Group.Buckets go where CommandBucketID says
	GroupRemoveBucket // the bucket CommandBucketID goes
)

// Places for GroupInsertBucket and GroupRemoveBucket.
const (
	BucketFirst uint32 = 0xfffffffd
	BucketLast  uint32 = 0xfffffffe
	BucketAll   uint32 = 0xffffffff
)

// GroupMod adds, changes or deletes a group. Deleting a group deletes the flows
// that refer to it.
type GroupMod struct {
	Command         GroupCommand
	CommandBucketID uint32
	Group           Group
}

// GroupIDAll stands for every group in a GroupDelete.
const GroupIDAll uint32 = 0xfffffffc

// Meter limits a rate. Packets above it are dropped.
type Meter struct {
	ID    uint32
	Unit  MeterUnit
	Rate  uint32 // per second, in Unit
	Burst uint32 // in packets or kilobits; 0: the switch's own
	Stats bool   // ask for counters; Open vSwitch counts anyway
}

// MeterStats is what a meter has counted.
type MeterStats struct {
	ID                    uint32
	Packets, Bytes        uint64 // packets that reached the meter
	Dropped, DroppedBytes uint64 // packets beyond the rate
}

// MeterUnit is the unit of a meter's rate.
type MeterUnit uint8

// Units of meters.
const (
	PacketsPerSecond MeterUnit = iota
	KilobitsPerSecond
)

// MeterCommand is what a MeterMod does.
type MeterCommand uint8

// Commands of a meter-mod.
const (
	MeterAdd MeterCommand = iota
	MeterModify
	MeterDelete
)

// MeterMod adds, changes or deletes a meter. Open vSwitch refuses it in a bundle.
type MeterMod struct {
	Command MeterCommand
	Meter   Meter
}
