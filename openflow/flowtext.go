// The text of flows, groups, meters and their changes, as ovs-ofctl prints and
// takes them.

package openflow

import (
	"encoding/hex"
	"strconv"
)

// String returns the flow as "ovs-ofctl dump-flows --no-stats" prints it, without
// the leading space. Cookie, table and priority are left out where they are what
// "ovs-ofctl add-flow" assumes: 0, 0 and 32768.
func (f Flow) String() string { return string(f.appendText(nil, false)) }

// appendText appends the flow; withTable prints table 0 too.
func (f *Flow) appendText(b []byte, withTable bool) []byte {
	if f.Cookie != 0 {
		b = append(appendHex(append(b, "cookie="...), BitsOf(f.Cookie)), ", "...)
	}
	if f.Table != 0 || withTable {
		b = append(appendUint(b, "table=", uint64(f.Table)), ", "...)
	}
	if f.IdleTimeout != 0 {
		b = append(appendUint(b, "idle_timeout=", uint64(f.IdleTimeout)), ", "...)
	}
	if f.HardTimeout != 0 {
		b = append(appendUint(b, "hard_timeout=", uint64(f.HardTimeout)), ", "...)
	}
	for i, name := range flowFlagNames {
		if f.Flags&(1<<i) != 0 {
			b = append(append(b, name...), ' ')
		}
	}
	if f.Importance != 0 {
		b = append(appendUint(b, "importance=", uint64(f.Importance)), ", "...)
	}
	b = f.appendPriorityAndMatch(b)
	return appendActions(append(b, "actions="...), f.Actions)
}

// appendPriorityAndMatch appends what is neither default nor empty, with a space
// behind.
func (f *Flow) appendPriorityAndMatch(b []byte) []byte {
	start := len(b)
	if f.Priority != defaultPriority {
		b = append(appendUint(b, "priority=", uint64(f.Priority)), ',')
	}
	b = f.Match.appendText(b)
	if len(b) > start {
		if b[len(b)-1] == ',' {
			b = b[:len(b)-1]
		}
		b = append(b, ' ')
	}
	return b
}

// flowFlagNames are ovs-ofctl's names of FlowFlags, lowest bit first.
var flowFlagNames = [...]string{"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"}

// flowCommandNames are the words of the bundle syntax.
var flowCommandNames = [...]string{
	FlowAdd: "add", FlowModify: "modify", FlowModifyStrict: "modify_strict",
	FlowDelete: "delete", FlowDeleteStrict: "delete_strict",
}

// String returns the command's word in ovs-ofctl's bundle syntax.
func (c FlowCommand) String() string { return nameOf(flowCommandNames[:], int(c)) }

// String returns the change in ovs-ofctl's bundle syntax: "flow add …".
func (m *FlowMod) String() string {
	b := append([]byte("flow "), m.Command.String()...)
	b = append(b, ' ')
	f := m.Flow
	if m.CookieMask != 0 {
		b = appendHex(append(b, "cookie="...), BitsOf(f.Cookie))
		b = append(appendHex(append(b, '/'), BitsOf(m.CookieMask)), ", "...)
		f.Cookie = 0
	}
	switch m.Command {
	case FlowDelete, FlowDeleteStrict:
		if f.Table != TableAll {
			b = append(appendUint(b, "table=", uint64(f.Table)), ", "...)
		}
		if m.Command == FlowDelete {
			b = append(f.Match.appendText(b), ' ')
		} else {
			b = f.appendPriorityAndMatch(b)
		}
		return trimRight(b)
	case FlowModify:
		f.Priority = defaultPriority // it filters nothing
	}
	return string(f.appendText(b, m.Command != FlowAdd && f.Table != TableAll))
}

func (m *FlowMod) mod() {}

// trimRight returns text without separators at its end.
func trimRight(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == ',') {
		b = b[:len(b)-1]
	}
	return string(b)
}

// nameOf returns names[i], or i itself.
func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// groupTypeNames are ovs-ofctl's names of group types.
var groupTypeNames = [...]string{"all", "select", "indirect", "ff"}

// String returns ovs-ofctl's name of the type.
func (t GroupType) String() string { return nameOf(groupTypeNames[:], int(t)) }

// String returns the group as "ovs-ofctl dump-groups" prints it.
func (g Group) String() string { return string(g.appendText(nil, true)) }

func (g *Group) appendText(b []byte, withType bool) []byte {
	b = append(b, "group_id="...)
	if g.ID == GroupIDAll {
		b = append(b, "all"...)
	} else {
		b = strconv.AppendUint(b, uint64(g.ID), 10)
	}
	if withType {
		b = append(append(b, ",type="...), g.Type.String()...)
	}
	if g.SelectionMethod != "" {
		b = append(append(b, ",selection_method="...), g.SelectionMethod...)
		if g.SelectionParam != 0 {
			b = appendUint(b, ",selection_method_param=", g.SelectionParam)
		}
		if len(g.SelectionFields) == 1 {
			b = append(append(b, ",fields="...), g.SelectionFields[0].String()...)
		} else if len(g.SelectionFields) > 1 {
			l := openList(b, ",fields(")
			for _, f := range g.SelectionFields {
				l.b = append(l.next(), f.String()...)
			}
			b = append(l.b, ')')
		}
	}
	if g.Opaque != "" {
		b = hex.AppendEncode(append(b, ",opaque="...), []byte(g.Opaque))
	}
	for i := range g.Buckets {
		b = g.Buckets[i].appendText(append(b, ','), g.Type)
	}
	return b
}

// String returns the bucket as "ovs-ofctl dump-groups" prints one of a group that
// is not of type select.
func (k Bucket) String() string { return string(k.appendText(nil, GroupAll)) }

func (k *Bucket) appendText(b []byte, t GroupType) []byte {
	b = append(appendBucketID(append(b, "bucket=bucket_id:"...), k.ID), ',')
	usual := uint16(0)
	if t == GroupSelect {
		usual = 1
	}
	if k.Weight != usual {
		b = append(appendUint(b, "weight:", uint64(k.Weight)), ',')
	}
	if k.WatchPort != 0 {
		b = append(k.WatchPort.appendText(append(b, "watch_port:"...)), ',')
	}
	if k.WatchGroup != 0 {
		b = append(appendUint(b, "watch_group:", uint64(k.WatchGroup)), ',')
	}
	if k.Opaque != "" {
		b = append(hex.AppendEncode(append(b, "opaque:"...), []byte(k.Opaque)), ',')
	}
	return appendActions(append(b, "actions="...), k.Actions)
}

func appendBucketID(b []byte, id uint32) []byte {
	switch id {
	case BucketFirst:
		return append(b, "first"...)
	case BucketLast:
		return append(b, "last"...)
	case BucketAll:
		return append(b, "all"...)
	}
	return strconv.AppendUint(b, uint64(id), 10)
}

// groupCommandNames are the words of the bundle syntax.
var groupCommandNames = [...]string{
	GroupAdd: "add", GroupModify: "modify", GroupDelete: "delete",
	GroupAddOrModify: "add_or_mod", GroupInsertBucket: "insert_bucket", GroupRemoveBucket: "remove_bucket",
}

// String returns the command's word in ovs-ofctl's bundle syntax.
func (c GroupCommand) String() string { return nameOf(groupCommandNames[:], int(c)) }

// String returns the change in ovs-ofctl's bundle syntax: "group add …".
func (m *GroupMod) String() string {
	b := append([]byte("group "), m.Command.String()...)
	b = append(b, ' ')
	g := m.Group
	switch m.Command {
	case GroupDelete:
		g = Group{ID: g.ID}
		return string(g.appendText(b, false))
	case GroupInsertBucket, GroupRemoveBucket:
		if m.Command == GroupRemoveBucket {
			g.Buckets = nil
		}
		g = Group{ID: g.ID, Buckets: g.Buckets}
		b = appendBucketID(append(b, "command_bucket_id="...), m.CommandBucketID)
		return string(g.appendText(append(b, ','), false))
	}
	return string(g.appendText(b, true))
}

func (m *GroupMod) mod() {}

// String returns the meter as "ovs-ofctl dump-meters" prints it, on one line;
// "ovs-ofctl add-meter" takes it.
func (m Meter) String() string { return string(m.appendText(nil)) }

func (m *Meter) appendText(b []byte) []byte {
	b = appendUint(b, "meter=", uint64(m.ID))
	if m.Unit == KilobitsPerSecond {
		b = append(b, " kbps"...)
	} else {
		b = append(b, " pktps"...)
	}
	if m.Burst != 0 {
		b = append(b, " burst"...)
	}
	if m.Stats {
		b = append(b, " stats"...)
	}
	b = appendUint(b, " bands= type=drop rate=", uint64(m.Rate))
	if m.Burst != 0 {
		b = appendUint(b, " burst_size=", uint64(m.Burst))
	}
	return b
}

// meterCommandNames are words like those of the bundle syntax, which has none
// for meters.
var meterCommandNames = [...]string{MeterAdd: "add", MeterModify: "modify", MeterDelete: "delete"}

// String returns the command's word: add, modify or delete.
func (c MeterCommand) String() string { return nameOf(meterCommandNames[:], int(c)) }

// String returns the change as "meter add …"; ovs-ofctl's add-meter, mod-meter and
// del-meters take what follows the command.
func (m *MeterMod) String() string {
	b := append([]byte("meter "), m.Command.String()...)
	b = append(b, ' ')
	if m.Command == MeterDelete {
		return string(appendUint(b, "meter=", uint64(m.Meter.ID)))
	}
	return string(m.Meter.appendText(b))
}

func (m *MeterMod) mod() {}
