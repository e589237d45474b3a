package ofp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes the actions of connection tracking: ct and nat
// (ovs-actions(7)).

// Flags of ct.
const (
	ctCommit = 1 << iota
	ctForce
)

// Flags of nat.
const (
	natSrc = 1 << iota
	natDst
	natPersistent
	natHash
	natRandom
)

// Parts of nat's range that are present.
const (
	natIPv4Min = 1 << iota
	natIPv4Max
	natIPv6Min
	natIPv6Max
	natPortMin
	natPortMax
)

// ctHeadLen is the length of ct before the actions in it, and natHeadLen that of nat
// before its range.
const (
	ctHeadLen  = 24
	natHeadLen = 16
)

func appendCT(b []byte, a *openflow.CT) ([]byte, error) {
	if a.Force && !a.Commit {
		return b, errors.New("ofp: ct: force is possible only with commit")
	}
	var flags uint16
	if a.Commit {
		flags |= ctCommit
	}
	if a.Force {
		flags |= ctForce
	}
	b = binary.BigEndian.AppendUint16(appendNicira(b, nxCT), flags)
	if a.ZoneSrc.Field != openflow.FieldNone {
		packed, err := offsetAndWidth(a.ZoneSrc)
		if err != nil {
			return b, err
		}
		if a.ZoneSrc.Width != 16 {
			return b, fmt.Errorf("ofp: ct: zone=%s: a zone has 16 bits", a.ZoneSrc)
		}
		if b, err = appendHeader(b, a.ZoneSrc.Field); err != nil {
			return b, err
		}
		b = binary.BigEndian.AppendUint16(b, packed)
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0, 0, 0, 0), a.Zone)
	}
	b = append(b, a.Table, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, a.ALG)
	for i, action := range a.Actions {
		var err error
		switch inner := action.(type) {
		case openflow.NAT:
			if i != 0 {
				return b, errors.New("ofp: ct: nat must be the first of its actions")
			}
			if !a.Commit && inner != (openflow.NAT{}) {
				return b, errors.New("ofp: ct: nat with arguments is possible only with commit")
			}
			b, err = appendNAT(b, &inner)
		case openflow.SetField, openflow.CopyField, openflow.Opaque:
			if !a.Commit {
				return b, errors.New("ofp: ct: exec is possible only with commit")
			}
			b, err = appendAction(b, action)
		default:
			err = fmt.Errorf("ofp: ct: %s is not possible in exec: only set_field and move are", openflow.ActionsString(a.Actions[i:i+1]))
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendNAT(b []byte, a *openflow.NAT) ([]byte, error) {
	start := len(b)
	if err := checkNAT(a); err != nil {
		return b, err
	}
	flags := uint16(0)
	for i, set := range [...]bool{a.Src, a.Dst, a.Persistent, a.Hash, a.Random} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(appendNicira(b, nxNAT), 0, 0)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, 0, 0) // present, filled in below
	present := 0
	if a.AddrMin.IsValid() {
		var bit int
		b, bit = appendNATAddr(b, a.AddrMin, natIPv4Min, natIPv6Min)
		present |= bit
		if a.AddrMax.IsValid() && a.AddrMax != a.AddrMin {
			b, bit = appendNATAddr(b, a.AddrMax, natIPv4Max, natIPv6Max)
			present |= bit
		}
	}
	if a.PortMin != 0 {
		b = binary.BigEndian.AppendUint16(b, a.PortMin)
		present |= natPortMin
		if a.PortMax != 0 && a.PortMax != a.PortMin {
			b = binary.BigEndian.AppendUint16(b, a.PortMax)
			present |= natPortMax
		}
	}
	b[start+15] = byte(present)
	return endAction(b, start)
}

// checkNAT refuses what the switch would refuse without a reason.
func checkNAT(a *openflow.NAT) error {
	switch {
	case a.Src && a.Dst:
		return errors.New("ofp: nat: src and dst exclude each other")
	case a.Hash && a.Random:
		return errors.New("ofp: nat: hash and random exclude each other")
	case !a.Src && !a.Dst && *a != (openflow.NAT{}):
		return errors.New("ofp: nat: arguments need src or dst")
	case !a.AddrMin.IsValid() && (a.AddrMax.IsValid() || a.PortMin != 0 || a.PortMax != 0 || a.Persistent || a.Hash || a.Random):
		return errors.New("ofp: nat: the range has no first address")
	case a.PortMin == 0 && a.PortMax != 0:
		return errors.New("ofp: nat: the range has no first port")
	case a.PortMax != 0 && a.PortMax < a.PortMin:
		return fmt.Errorf("ofp: nat: ports %d-%d are in the wrong order", a.PortMin, a.PortMax)
	case a.AddrMin.IsValid() && a.AddrMin.IsUnspecified():
		return fmt.Errorf("ofp: nat: %s is no address to translate to", a.AddrMin)
	case a.AddrMin.Is4In6() || a.AddrMax.Is4In6() || a.AddrMin.Zone() != "" || a.AddrMax.Zone() != "":
		return fmt.Errorf("ofp: nat: %s: neither mapped addresses nor zones are possible", a.AddrMin)
	case a.AddrMax.IsValid() && (a.AddrMax.Is4() != a.AddrMin.Is4() || a.AddrMax.Less(a.AddrMin)):
		return fmt.Errorf("ofp: nat: %s-%s is not a range", a.AddrMin, a.AddrMax)
	}
	return nil
}

// appendNATAddr appends an address and returns which bit says so.
func appendNATAddr(b []byte, a netip.Addr, bit4, bit6 int) ([]byte, int) {
	if a.Is4() {
		a4 := a.As4()
		return append(b, a4[:]...), bit4
	}
	a16 := a.As16()
	return append(b, a16[:]...), bit6
}

// decodeCT reads a ct action; ok is false if CT cannot hold it.
func decodeCT(raw []byte) (a openflow.CT, ok bool) {
	if len(raw) < ctHeadLen {
		return a, false
	}
	flags := binary.BigEndian.Uint16(raw[10:])
	a.Commit, a.Force = flags&ctCommit != 0, flags&ctForce != 0
	zone := binary.BigEndian.Uint16(raw[16:])
	if header := binary.BigEndian.Uint32(raw[12:]); header == 0 {
		a.Zone = zone
	} else if a.ZoneSrc, ok = unpackSubfield(header, zone); !ok || a.ZoneSrc.Width != 16 {
		return a, false
	}
	a.Table = raw[18]
	a.ALG = binary.BigEndian.Uint16(raw[22:])
	if flags&^(ctCommit|ctForce) != 0 || !allZero(raw[19:22]) || a.Force && !a.Commit {
		return a, false
	}
	a.Actions, ok = decodeCTActions(raw[ctHeadLen:], a.Commit)
	return a, ok
}

// decodeCTActions reads the actions in ct; ok is false if CT cannot hold them.
func decodeCTActions(b []byte, commit bool) (actions []openflow.Action, ok bool) {
	for len(b) > 0 {
		raw, rest, err := nextAction(b)
		if err != nil {
			return nil, false
		}
		b = rest
		if isNicira(raw, nxNAT) {
			nat, ok := decodeNAT(raw)
			if !ok || len(actions) > 0 || !commit && nat != (openflow.NAT{}) {
				return nil, false
			}
			actions = append(actions, nat)
			continue
		}
		a := decodeAction(raw)
		switch a.(type) {
		case openflow.SetField, openflow.CopyField, openflow.Opaque:
		default:
			return nil, false
		}
		if !commit {
			return nil, false
		}
		actions = append(actions, a)
	}
	return actions, true
}

// decodeNAT reads a nat action; ok is false if NAT cannot hold it.
func decodeNAT(raw []byte) (a openflow.NAT, ok bool) {
	if len(raw) < natHeadLen {
		return a, false
	}
	flags, present := binary.BigEndian.Uint16(raw[12:]), binary.BigEndian.Uint16(raw[14:])
	a.Src, a.Dst = flags&natSrc != 0, flags&natDst != 0
	a.Persistent, a.Hash, a.Random = flags&natPersistent != 0, flags&natHash != 0, flags&natRandom != 0
	b := raw[natHeadLen:]
	take := func(bit uint16, n int) []byte {
		if present&bit == 0 {
			return nil
		}
		if len(b) < n {
			b, present = nil, 0xffff // unknown
			return nil
		}
		v := b[:n]
		b = b[n:]
		return v
	}
	addr := func(v4, v6 uint16) netip.Addr {
		addr, _ := netip.AddrFromSlice(take(v4, 4))
		if !addr.IsValid() {
			addr, _ = netip.AddrFromSlice(take(v6, 16))
		}
		return addr
	}
	port := func(bit uint16) uint16 {
		if v := take(bit, 2); v != nil {
			return binary.BigEndian.Uint16(v)
		}
		return 0
	}
	a.AddrMin = addr(natIPv4Min, natIPv6Min)
	a.AddrMax = addr(natIPv4Max, natIPv6Max)
	a.PortMin, a.PortMax = port(natPortMin), port(natPortMax)
	const known = natIPv4Min | natIPv4Max | natIPv6Min | natIPv6Max | natPortMin | natPortMax
	const both4and6 = natIPv4Min | natIPv6Min
	if flags >= natRandom<<1 || present&^known != 0 || present&both4and6 == both4and6 ||
		raw[10]|raw[11] != 0 || !allZero(b) || checkNAT(&a) != nil {
		return a, false
	}
	if a.AddrMax == a.AddrMin {
		a.AddrMax = netip.Addr{}
	}
	if a.PortMax == a.PortMin {
		a.PortMax = 0
	}
	return a, true
}
