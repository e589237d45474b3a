// Parsing of groups, meters and changes.

package openflow

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// ParseGroup reads a group as "ovs-ofctl dump-groups" prints it. Buckets without an
// id are numbered from 0.
func ParseGroup(text string) (Group, error) {
	g, _, err := parseGroup(text)
	if err != nil {
		return Group{}, fmt.Errorf("openflow: group %q: %w", text, err)
	}
	return g, nil
}

// parseGroup reads a group and the command_bucket_id before it, which is BucketAll
// if there is none.
func parseGroup(text string) (g Group, commandBucket uint32, err error) {
	commandBucket = BucketAll
	head, buckets, hasBuckets := cutWord(text, "bucket=")
	words, err := splitWords(head)
	if err != nil {
		return g, 0, err
	}
	hasID := false
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var n uint64
		switch {
		case w == "group_id=all":
			g.ID, hasID = GroupIDAll, true
		case key == "group_id":
			n, err = parseUint(value, 32)
			g.ID, hasID = uint32(n), true
		case key == "type":
			g.Type, err = parseGroupType(value)
		case key == "command_bucket_id":
			commandBucket, err = parseBucketID(value)
		case key == "selection_method":
			g.SelectionMethod = value
		case key == "selection_method_param":
			g.SelectionParam, err = parseUint(value, 64)
		case key == "fields":
			g.SelectionFields, err = parseFieldList(value)
		case strings.HasPrefix(w, "fields(") && strings.HasSuffix(w, ")"):
			g.SelectionFields, err = parseFieldList(w[len("fields(") : len(w)-1])
		case key == "opaque":
			g.Opaque, err = parseOpaque(value)
		default:
			err = fmt.Errorf("no part of a group")
		}
		if err != nil {
			return g, 0, fmt.Errorf("%s: %w", w, err)
		}
	}
	if !hasID {
		return g, 0, fmt.Errorf("group_id= is missing")
	}
	for i := uint32(0); hasBuckets; i++ {
		var one string
		one, buckets, hasBuckets = cutWord(buckets, "bucket=")
		k, err := parseBucket(one, i, g.Type)
		if err != nil {
			return g, 0, fmt.Errorf("bucket %s: %w", one, err)
		}
		g.Buckets = append(g.Buckets, k)
	}
	return g, commandBucket, nil
}

func parseGroupType(name string) (GroupType, error) {
	for i, n := range groupTypeNames {
		if n == name {
			return GroupType(i), nil
		}
	}
	return 0, fmt.Errorf("the types are %s", strings.Join(groupTypeNames[:], ", "))
}

func parseBucketID(text string) (uint32, error) {
	switch text {
	case "first":
		return BucketFirst, nil
	case "last":
		return BucketLast, nil
	case "all":
		return BucketAll, nil
	}
	n, err := parseUint(text, 32)
	return uint32(n), err
}

func parseFieldList(text string) ([]Field, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	var fields []Field
	for _, w := range words {
		f := fieldNamed(w)
		if f == FieldNone {
			return nil, fmt.Errorf("no field %s", w)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func parseOpaque(text string) (string, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("not hexadecimal")
	}
	return string(raw), nil
}

// parseBucket reads a bucket; id is what it has if it does not say.
func parseBucket(text string, id uint32, t GroupType) (Bucket, error) {
	k := Bucket{ID: id}
	if t == GroupSelect {
		k.Weight = 1
	}
	head, actions, ok := cutWord(text, "actions=")
	if !ok {
		return k, fmt.Errorf("actions= is missing")
	}
	words, err := splitWords(head)
	if err != nil {
		return k, err
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, ":")
		var n uint64
		switch key {
		case "bucket_id":
			k.ID, err = parseBucketID(value)
		case "weight":
			n, err = parseUint(value, 16)
			k.Weight = uint16(n)
		case "watch_port":
			k.WatchPort, err = parsePort(value)
		case "watch_group":
			n, err = parseUint(value, 32)
			k.WatchGroup = uint32(n)
		case "opaque":
			k.Opaque, err = parseOpaque(value)
		default:
			err = fmt.Errorf("no part of a bucket")
		}
		if err != nil {
			return k, fmt.Errorf("%s: %w", w, err)
		}
	}
	k.Actions, err = parseActions(actions)
	return k, err
}

// ParseMeter reads a meter as "ovs-ofctl dump-meters" prints it or "ovs-ofctl
// add-meter" takes it.
func ParseMeter(text string) (Meter, error) {
	m, err := parseMeter(text)
	if err != nil {
		return Meter{}, fmt.Errorf("openflow: meter %q: %w", text, err)
	}
	return m, nil
}

func parseMeter(text string) (m Meter, err error) {
	words, err := splitWords(text)
	if err != nil {
		return m, err
	}
	bands, hasID, hasRate := 0, false, false
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if key == "band" || key == "bands" {
			if value == "" {
				continue
			}
			key, value, _ = strings.Cut(value, "=")
			w = key + "=" + value
		}
		var n uint64
		switch {
		case key == "meter":
			n, err = parseUint(value, 32)
			m.ID, hasID = uint32(n), true
		case w == "kbps":
			m.Unit = KilobitsPerSecond
		case w == "pktps":
			m.Unit = PacketsPerSecond
		case w == "burst":
			// Said again by burst_size.
		case w == "stats":
			m.Stats = true
		case key == "type":
			if bands++; value != "drop" || bands > 1 {
				err = fmt.Errorf("only one band, of type drop, is supported")
			}
		case key == "rate":
			n, err = parseUint(value, 32)
			m.Rate, hasRate = uint32(n), true
		case key == "burst_size":
			n, err = parseUint(value, 32)
			m.Burst = uint32(n)
		default:
			err = fmt.Errorf("no part of a meter")
		}
		if err != nil {
			return m, fmt.Errorf("%s: %w", w, err)
		}
	}
	if !hasID || !hasRate || bands == 0 {
		return m, fmt.Errorf("meter=, type=drop or rate= is missing")
	}
	return m, nil
}

// ParseMod reads a change in ovs-ofctl's bundle syntax, as the String method of
// changes prints it.
func ParseMod(text string) (Mod, error) {
	kind, rest, _ := strings.Cut(text, " ")
	command, rest, _ := strings.Cut(rest, " ")
	var m Mod
	var err error
	switch kind {
	case "flow":
		m, err = parseFlowMod(command, rest)
	case "group":
		m, err = parseGroupMod(command, rest)
	case "meter":
		m, err = parseMeterMod(command, rest)
	default:
		err = fmt.Errorf("flow, group or meter must come first")
	}
	if err != nil {
		return nil, fmt.Errorf("openflow: change %q: %w", text, err)
	}
	return m, nil
}

// indexOf returns the number of a command's word.
func indexOf(names []string, name string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q: the commands are %s", name, strings.Join(names, ", "))
}

func parseFlowMod(command, text string) (*FlowMod, error) {
	c, err := indexOf(flowCommandNames[:], command)
	if err != nil {
		return nil, err
	}
	m := &FlowMod{Command: FlowCommand(c)}
	deletes := m.Command == FlowDelete || m.Command == FlowDeleteStrict
	head, actions, hasActions := cutWord(text, "actions=")
	if hasActions == deletes {
		return nil, fmt.Errorf("actions= belongs to add and modify, and only there")
	}
	f, rest, mask, err := parseFlowHead(head)
	if err != nil {
		return nil, err
	}
	if _, _, given := cutWord(head, "table="); !given && m.Command != FlowAdd {
		f.Table = TableAll
	}
	switch {
	case mask != nil && m.Command != FlowAdd:
		m.CookieMask = *mask
	case mask != nil:
		return nil, fmt.Errorf("an added flow's cookie has no mask")
	}
	if f.Match, err = parseMatch(rest); err != nil {
		return nil, err
	}
	if hasActions {
		if f.Actions, err = parseActions(actions); err != nil {
			return nil, err
		}
	}
	m.Flow = f
	return m, nil
}

func parseGroupMod(command, text string) (*GroupMod, error) {
	c, err := indexOf(groupCommandNames[:], command)
	if err != nil {
		return nil, err
	}
	m := &GroupMod{Command: GroupCommand(c)}
	bucket := uint32(0)
	if m.Group, bucket, err = parseGroup(text); err != nil {
		return nil, err
	}
	if m.Command == GroupInsertBucket || m.Command == GroupRemoveBucket {
		m.CommandBucketID = bucket
	}
	return m, nil
}

func parseMeterMod(command, text string) (*MeterMod, error) {
	c, err := indexOf(meterCommandNames[:], command)
	if err != nil {
		return nil, err
	}
	m := &MeterMod{Command: MeterCommand(c)}
	if m.Command == MeterDelete {
		n, err := parseUint(strings.TrimPrefix(strings.TrimSpace(text), "meter="), 32)
		m.Meter.ID = uint32(n)
		return m, err
	}
	m.Meter, err = parseMeter(text)
	return m, err
}
