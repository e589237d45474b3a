package ofp

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes groups (OpenFlow 1.5, 7.3.4.3 and 7.3.5.11) with the
// selection method of Netronome's extension, as Open vSwitch has it.

// groupCommands are the numbers of commands.
var groupCommands = [...]uint16{
	openflow.GroupAdd: 0, openflow.GroupModify: 1, openflow.GroupDelete: 2, openflow.GroupInsertBucket: 3,
	openflow.GroupRemoveBucket: 5, openflow.GroupAddOrModify: 0x8000,
}

// Properties of buckets.
const (
	bucketWeight     = 0
	bucketWatchPort  = 1
	bucketWatchGroup = 2
)

// The selection method among the properties of a group.
const (
	propertyExperimenter = 0xffff
	netronomeID          = 0x0000154d
	selectionMethod      = 1
	selectionNameLen     = 16 // with a zero at its end
	selectionLen         = 36 // of its value without fields
)

// groupModLen is the length of a group-mod's body before the buckets, and bucketLen
// that of a bucket before its actions.
const (
	groupModLen = 16
	bucketLen   = 8
)

// AppendGroupMod appends a whole group-mod message. The error says what cannot be
// encoded, or that the buckets do not fit in one message (about 1,170 buckets that set
// a tunnel destination do); b is then returned as it was. Do not insert more buckets
// later: Open vSwitch 3.1 cannot describe such a group, and its reply to a request for
// all groups is then malformed. Let the last bucket lead to another group instead.
func AppendGroupMod(b []byte, xid uint32, m *openflow.GroupMod) ([]byte, error) {
	if int(m.Command) >= len(groupCommands) {
		return b, fmt.Errorf("ofp: group-mod: command %d is not known", m.Command)
	}
	out, start := begin(b, TypeGroupMod, xid)
	out = binary.BigEndian.AppendUint16(out, groupCommands[m.Command])
	g := openflow.Group{ID: m.Group.ID}
	commandBucket := openflow.BucketAll
	switch m.Command {
	case openflow.GroupAdd, openflow.GroupModify, openflow.GroupAddOrModify:
		g = m.Group
	case openflow.GroupInsertBucket:
		g.Buckets, g.Type = m.Group.Buckets, m.Group.Type
		commandBucket = m.CommandBucketID
	case openflow.GroupRemoveBucket:
		commandBucket = m.CommandBucketID
	}
	out = append(out, byte(g.Type), 0)
	out = binary.BigEndian.AppendUint32(out, g.ID)
	lengthAt := len(out)
	out = append(out, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, commandBucket)
	bucketsAt := len(out)
	var err error
	for i := range g.Buckets {
		if out, err = appendBucket(out, &g.Buckets[i], g.Type); err != nil {
			return b, err
		}
	}
	n := len(out) - bucketsAt
	if n > MaxLen {
		return b, fmt.Errorf("ofp: group %d: %d buckets do not fit in one message: let the last one lead to another group", g.ID, len(g.Buckets))
	}
	binary.BigEndian.PutUint16(out[lengthAt:], uint16(n))
	if out, err = appendGroupProperties(out, &g); err != nil {
		return b, err
	}
	if out, err = end(out, start); err != nil {
		return b, err
	}
	return out, nil
}

func appendBucket(b []byte, k *openflow.Bucket, t openflow.GroupType) ([]byte, error) {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, k.ID)
	b, err := AppendActions(b, k.Actions)
	if err != nil {
		return b, err
	}
	actionsLen := len(b) - start - bucketLen
	var at int
	if t == openflow.GroupSelect {
		b, at = beginProperty(b, bucketWeight)
		b = append(binary.BigEndian.AppendUint16(b, k.Weight), 0, 0)
		b = endProperty(b, at)
	}
	if k.WatchPort != 0 {
		b, at = beginProperty(b, bucketWatchPort)
		b = endProperty(binary.BigEndian.AppendUint32(b, uint32(k.WatchPort)), at)
	}
	if k.WatchGroup != 0 {
		b, at = beginProperty(b, bucketWatchGroup)
		b = endProperty(binary.BigEndian.AppendUint32(b, k.WatchGroup), at)
	}
	b = append(b, k.Opaque...)
	n := len(b) - start
	if n > MaxLen {
		return b, fmt.Errorf("ofp: bucket %d: %d bytes are longer than a message", k.ID, n)
	}
	binary.BigEndian.PutUint16(b[start:], uint16(n))
	binary.BigEndian.PutUint16(b[start+2:], uint16(actionsLen))
	return b, nil
}

func appendGroupProperties(b []byte, g *openflow.Group) ([]byte, error) {
	if g.SelectionMethod != "" {
		if len(g.SelectionMethod) >= selectionNameLen {
			return b, fmt.Errorf("ofp: group %d: selection method %q is longer than %d bytes", g.ID, g.SelectionMethod, selectionNameLen-1)
		}
		var at int
		b, at = beginProperty(b, propertyExperimenter)
		b = binary.BigEndian.AppendUint32(b, netronomeID)
		b = binary.BigEndian.AppendUint32(b, selectionMethod)
		b = append(b, 0, 0, 0, 0)
		var name [selectionNameLen]byte
		copy(name[:], g.SelectionMethod)
		b = append(b, name[:]...)
		b = binary.BigEndian.AppendUint64(b, g.SelectionParam)
		for _, f := range g.SelectionFields {
			var err error
			if b, err = appendHeader(b, f); err != nil {
				return b, err
			}
			mask := f.Mask()
			b = append(b, mask[16-oxmFields[f].size:]...)
		}
		b = endProperty(b, at)
	}
	return append(b, g.Opaque...), nil
}

// AppendGroupRequest appends the body of a multipart request of type
// MultipartGroupDesc for every group.
func AppendGroupRequest(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, openflow.GroupIDAll), 0, 0, 0, 0)
}

// DecodeGroupDesc reads one part of the reply to a request of type
// MultipartGroupDesc.
func DecodeGroupDesc(part []byte) ([]openflow.Group, error) {
	var groups []openflow.Group
	for len(part) > 0 {
		if len(part) < groupModLen {
			return nil, fmt.Errorf("ofp: group: %d bytes, want at least %d", len(part), groupModLen)
		}
		n := int(binary.BigEndian.Uint16(part))
		if n < groupModLen || n > len(part) {
			return nil, fmt.Errorf("ofp: group: says %d bytes, %d are there", n, len(part))
		}
		g := openflow.Group{ID: binary.BigEndian.Uint32(part[4:]), Type: openflow.GroupType(part[2])}
		if err := decodeGroupBody(part[groupModLen:n], int(binary.BigEndian.Uint16(part[8:])), &g); err != nil {
			return nil, err
		}
		groups = append(groups, g)
		part = part[n:]
	}
	return groups, nil
}

// DecodeGroupMod reads the body of a group-mod, which may be untrusted.
func DecodeGroupMod(body []byte) (openflow.GroupMod, error) {
	var m openflow.GroupMod
	if len(body) < groupModLen {
		return m, fmt.Errorf("ofp: group-mod: %d bytes, want at least %d", len(body), groupModLen)
	}
	command := -1
	for c, number := range groupCommands {
		if number == binary.BigEndian.Uint16(body) {
			command = c
		}
	}
	if command < 0 {
		return m, fmt.Errorf("ofp: group-mod: command %d is not known", binary.BigEndian.Uint16(body))
	}
	m.Command = openflow.GroupCommand(command)
	m.Group = openflow.Group{ID: binary.BigEndian.Uint32(body[4:]), Type: openflow.GroupType(body[2])}
	if m.Command == openflow.GroupInsertBucket || m.Command == openflow.GroupRemoveBucket {
		m.CommandBucketID = binary.BigEndian.Uint32(body[12:])
	}
	return m, decodeGroupBody(body[groupModLen:], int(binary.BigEndian.Uint16(body[8:])), &m.Group)
}

// decodeGroupBody reads n bytes of buckets and the properties behind them.
func decodeGroupBody(b []byte, n int, g *openflow.Group) error {
	if n > len(b) {
		return fmt.Errorf("ofp: group %d: buckets say %d bytes, %d are there", g.ID, n, len(b))
	}
	buckets, properties := b[:n], b[n:]
	for len(buckets) > 0 {
		if len(buckets) < bucketLen {
			return fmt.Errorf("ofp: group %d: bucket of %d bytes, want at least %d", g.ID, len(buckets), bucketLen)
		}
		n := int(binary.BigEndian.Uint16(buckets))
		if n < bucketLen || n > len(buckets) {
			return fmt.Errorf("ofp: group %d: bucket says %d bytes, %d are there", g.ID, n, len(buckets))
		}
		k, err := decodeBucket(buckets[:n], g.Type)
		if err != nil {
			return fmt.Errorf("ofp: group %d: %w", g.ID, err)
		}
		g.Buckets = append(g.Buckets, k)
		buckets = buckets[n:]
	}
	var opaque []byte
	for len(properties) > 0 {
		p, rest, err := nextProperty(properties)
		if err != nil {
			return err
		}
		if g.SelectionMethod != "" || !decodeSelection(p, g) {
			opaque = append(opaque, properties[:len(properties)-len(rest)]...)
		}
		properties = rest
	}
	g.Opaque = string(opaque)
	return nil
}

func decodeBucket(b []byte, t openflow.GroupType) (openflow.Bucket, error) {
	k := openflow.Bucket{ID: binary.BigEndian.Uint32(b[4:])}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if bucketLen+n > len(b) {
		return k, fmt.Errorf("bucket %d: actions say %d bytes, %d are there", k.ID, n, len(b)-bucketLen)
	}
	var err error
	if k.Actions, err = DecodeActions(b[bucketLen : bucketLen+n]); err != nil {
		return k, err
	}
	if t == openflow.GroupSelect {
		k.Weight = 1
	}
	var opaque []byte
	for b = b[bucketLen+n:]; len(b) > 0; {
		p, rest, err := nextProperty(b)
		if err != nil {
			return k, err
		}
		var v uint64
		switch {
		case p.kind == bucketWeight && len(p.value) == 4:
			k.Weight = binary.BigEndian.Uint16(p.value)
			if t != openflow.GroupSelect {
				k.Weight = 0 // meaningless in other types
			}
		case p.kind == bucketWatchPort && len(p.value) == 4:
			if v, err = p.uint(4); v != uint64(openflow.PortAny) {
				k.WatchPort = openflow.PortNo(v)
			}
		case p.kind == bucketWatchGroup && len(p.value) == 4:
			if v, err = p.uint(4); v != anyGroup {
				k.WatchGroup = uint32(v)
			}
		default:
			opaque = append(opaque, b[:len(b)-len(rest)]...)
		}
		if err != nil {
			return k, err
		}
		b = rest
	}
	k.Opaque = string(opaque)
	return k, nil
}

// decodeSelection reads the selection method of a group; false if p is another property
// or Group cannot hold it.
func decodeSelection(p property, g *openflow.Group) bool {
	v := p.value
	if p.kind != propertyExperimenter || len(v) < selectionLen ||
		binary.BigEndian.Uint32(v) != netronomeID || binary.BigEndian.Uint32(v[4:]) != selectionMethod {
		return false
	}
	name, after, ended := bytes.Cut(v[12:12+selectionNameLen], []byte{0})
	if len(name) == 0 || !ended || !allZero(after) || !allZero(v[8:12]) || !isWord(name) {
		return false
	}
	var fields []openflow.Field
	for b := v[selectionLen:]; len(b) > 0; {
		e, rest, err := nextOXM(b)
		if err != nil || e.field == openflow.FieldNone || e.raw[2]&1 != 0 || e.value != e.field.Mask() {
			return false
		}
		fields = append(fields, e.field)
		b = rest
	}
	g.SelectionMethod = string(name)
	g.SelectionParam = binary.BigEndian.Uint64(v[28:])
	g.SelectionFields = fields
	return true
}

// isWord reports whether a name can stand in the text of a group.
func isWord(name []byte) bool {
	for _, c := range name {
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
