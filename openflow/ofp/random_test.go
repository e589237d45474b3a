package ofp_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
)

// dice makes random flows that a switch takes.
type dice struct{ *rand.Rand }

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// bits returns a random value of n bits, often one with a zero somewhere.
func (d dice) bits(mask openflow.Bits) openflow.Bits {
	var b openflow.Bits
	binary.BigEndian.PutUint64(b[:8], d.Uint64())
	binary.BigEndian.PutUint64(b[8:], d.Uint64())
	if d.chance(30) {
		b = b.And(openflow.BitsOf(d.Uint64N(256)))
	}
	return b.And(mask)
}

// mask returns a random mask: all bits, a prefix or anything.
func (d dice) mask(f openflow.Field) openflow.Bits {
	full := f.Mask()
	switch d.IntN(4) {
	case 0:
		return full
	case 1:
		if a, ok := prefixMask(f.Width(), d.IntN(f.Width()+1)); ok {
			return a.And(full)
		}
	}
	mask := d.bits(full)
	if f.Width() == 128 {
		mask[0] |= 0xf0 // ovs-ofctl takes an IPv6 mask that begins with a decimal digit for a prefix length
	}
	return mask
}

// prefixMask returns the mask of a prefix of an address.
func prefixMask(width, n int) (openflow.Bits, bool) {
	ones := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	switch width {
	case 32:
	case 128:
		ones = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	default:
		return openflow.Bits{}, false
	}
	p, err := ones.Prefix(n)
	return openflow.BitsOfAddr(p.Addr()), err == nil
}

// masked returns a term with a random mask.
func (d dice) masked(f openflow.Field) openflow.Term {
	return openflow.MaskedBits(f, d.bits(f.Mask()), d.mask(f))
}

// exact returns a term with all bits.
func (d dice) exact(f openflow.Field) openflow.Term {
	return openflow.ExactBits(f, d.bits(f.Mask()))
}

// maskedFields need nothing beside them.
var maskedFields = []openflow.Field{
	openflow.FieldMetadata, openflow.FieldTunID, openflow.FieldTunSrc, openflow.FieldTunDst, openflow.FieldTunIPv6Src,
	openflow.FieldTunIPv6Dst, openflow.FieldTunGBPID, openflow.FieldPktMark, openflow.FieldCTMark, openflow.FieldCTLabel,
	openflow.FieldEthSrc, openflow.FieldEthDst, openflow.FieldTunFlags,
	openflow.FieldXReg1, openflow.FieldXXReg2, openflow.FieldReg4, openflow.FieldReg5, openflow.FieldReg0, openflow.FieldReg15,
}

func (d dice) match() openflow.Match {
	var terms []openflow.Term
	for _, f := range maskedFields {
		if d.chance(12) {
			terms = append(terms, d.masked(f))
		}
	}
	if d.chance(20) {
		// Not invalid ones: they cannot be committed.
		bits := openflow.CTBits(d.Uint32()) &^ openflow.CTInv
		terms = append(terms, openflow.CTState(bits, openflow.CTBits(d.Uint32())&^bits))
	}
	if d.chance(20) {
		terms = append(terms, openflow.InPort(openflow.PortNo(1+d.IntN(1000))))
	}
	if d.chance(10) {
		terms = append(terms, d.exact(openflow.FieldCTZone))
	}
	if d.chance(10) {
		terms = append(terms, d.exact(openflow.FieldConjID))
	}
	switch d.IntN(10) {
	case 0:
		terms = append(terms, openflow.VLAN(uint16(d.IntN(4096))))
	case 1:
		terms = append(terms, openflow.NoVLAN())
	case 2:
		terms = append(terms, openflow.VLAN(uint16(d.IntN(4096))), d.exact(openflow.FieldVLANPCP))
	}
	switch d.IntN(5) {
	case 0:
		terms = append(terms, openflow.ARP)
		terms = d.some(terms, 50, openflow.FieldARPSPA, openflow.FieldARPTPA, openflow.FieldARPSHA, openflow.FieldARPTHA)
		if d.chance(50) {
			terms = append(terms, openflow.Exact(openflow.FieldARPOp, d.Uint64N(5)))
		}
	case 1:
		terms = append(terms, openflow.IPv4)
		terms = d.some(terms, 50, openflow.FieldIPSrc, openflow.FieldIPDst)
		terms = append(terms, d.ip(openflow.ICMP, openflow.FieldICMPType, openflow.FieldICMPCode)...)
	case 2:
		terms = append(terms, openflow.IPv6)
		terms = d.some(terms, 50, openflow.FieldIPv6Src, openflow.FieldIPv6Dst, openflow.FieldIPv6Label)
		terms = append(terms, d.ip(openflow.ICMPv6, openflow.FieldICMPv6Type, openflow.FieldICMPv6Code)...)
	case 3:
		terms = append(terms, openflow.EthType(uint16(0x9000+d.IntN(0x100))))
	}
	return openflow.MatchOf(terms...)
}

// some appends terms for some of the fields.
func (d dice) some(terms []openflow.Term, percent int, fields ...openflow.Field) []openflow.Term {
	for _, f := range fields {
		if d.chance(percent) {
			terms = append(terms, d.masked(f))
		}
	}
	return terms
}

// ip returns terms that IPv4 and IPv6 have in common.
func (d dice) ip(icmp openflow.Term, icmpType, icmpCode openflow.Field) []openflow.Term {
	var terms []openflow.Term
	for _, f := range []openflow.Field{openflow.FieldIPDSCP, openflow.FieldIPECN, openflow.FieldIPTTL} {
		if d.chance(20) {
			terms = append(terms, d.exact(f))
		}
	}
	if d.chance(20) {
		// Not "later": such packets have no ports to match.
		frag := [...][2]uint64{{0, 3}, {1, 3}, {0, 1}, {1, 1}, {0, 2}}[d.IntN(5)]
		terms = append(terms, openflow.Masked(openflow.FieldIPFrag, frag[0], frag[1]))
	}
	switch d.IntN(6) {
	case 0:
		terms = append(terms, openflow.TCP)
		terms = d.some(terms, 50, openflow.FieldTCPSrc, openflow.FieldTCPDst, openflow.FieldTCPFlags)
	case 1:
		terms = append(terms, openflow.UDP)
		terms = d.some(terms, 50, openflow.FieldUDPSrc, openflow.FieldUDPDst)
	case 2:
		terms = append(terms, openflow.SCTP)
		terms = d.some(terms, 50, openflow.FieldSCTPSrc, openflow.FieldSCTPDst)
	case 3:
		terms = append(terms, icmp, d.exact(icmpType), d.exact(icmpCode))
	case 4:
		terms = append(terms, openflow.IPProto(uint8(133+d.IntN(100))))
	}
	return terms
}

// written are fields that actions can write whatever the packet.
var written = []openflow.Field{
	openflow.FieldMetadata, openflow.FieldTunID, openflow.FieldTunSrc, openflow.FieldTunDst, openflow.FieldTunIPv6Src,
	openflow.FieldTunIPv6Dst, openflow.FieldPktMark, openflow.FieldEthSrc, openflow.FieldEthDst,
	openflow.FieldXReg1, openflow.FieldXXReg2, openflow.FieldReg4, openflow.FieldReg15,
}

// part returns random bits of a field.
func (d dice) part(f openflow.Field, width int) openflow.Subfield {
	width = min(width, f.Width())
	return f.Bits(d.IntN(f.Width()-width+1), width)
}

func (d dice) pick(fields []openflow.Field) openflow.Field { return fields[d.IntN(len(fields))] }

// set returns a set_field of some bits.
func (d dice) set(f openflow.Field) openflow.Action {
	for {
		if mask := d.mask(f); !mask.IsZero() {
			return openflow.SetBits(f, d.bits(f.Mask()), mask)
		}
	}
}

func (d dice) action() openflow.Action {
	width := 1 + d.IntN(32)
	reg := openflow.Reg(d.IntN(16))
	switch d.IntN(15) {
	case 0:
		return openflow.Output{Port: openflow.PortNo(1 + d.IntN(1000))}
	case 1:
		return openflow.OutputReg{Src: d.part(reg, 16+d.IntN(17))}
	case 2:
		return openflow.ToController{
			MaxLen: uint16(d.Uint32()), ID: uint16(d.IntN(9)), Reason: openflow.PacketInReason(2 + d.IntN(4)),
			Userdata: strings.Repeat("\x01\xfe", d.IntN(9)), Pause: d.chance(30), MeterID: uint32(d.IntN(2)),
		}
	case 3, 4, 5:
		return d.set(d.pick(written))
	case 6, 7:
		return openflow.Copy(d.part(d.pick(written), width), d.part(reg, width))
	case 8:
		s := d.part(d.pick(written), width)
		if d.chance(50) {
			return openflow.Push{Src: s}
		}
		return openflow.Push{Src: reg.All()}
	case 9:
		return openflow.Resubmit{InPort: openflow.PortNo(d.IntN(1000)), Table: uint8(d.IntN(256))}
	case 10:
		return d.learn()
	case 11:
		return openflow.CheckPktLarger{Len: uint16(d.Uint32()), Dst: d.part(reg, 1)}
	case 12:
		return openflow.CTClear{}
	case 13:
		return openflow.ToGroup{ID: 1}
	}
	return openflow.Output{Port: openflow.PortInPort}
}

func (d dice) learn() openflow.Action {
	a := openflow.Learn{
		Table: uint8(d.IntN(250)), Priority: uint16(d.Uint32()), Cookie: d.Uint64(), IdleTimeout: uint16(d.IntN(100)),
		FinHard: uint16(d.IntN(3)), Limit: uint32(d.IntN(5)), SendFlowRem: d.chance(50), DeleteLearned: d.chance(50),
	}
	if d.chance(50) {
		a.LimitResult = openflow.Reg(3).Bits(d.IntN(32), 1)
	}
	for range 1 + d.IntN(4) {
		width := 1 + d.IntN(60)
		s := openflow.LearnSpec{Kind: openflow.LearnKind(d.IntN(3))}
		s.Src = d.part(d.pick(written), width)
		width = int(s.Src.Width)
		switch {
		case s.Kind == openflow.LearnOutput:
			s.Src = openflow.Reg(1).All()
		default:
			s.Dst = d.part(d.pick(written), width)
			s.Src.Width = s.Dst.Width
			if d.chance(50) {
				s.Value = d.bits(s.Src.Field.Mask()).And(openflow.BitsOf(1<<s.Dst.Width - 1))
				s.Src = openflow.Subfield{}
			}
		}
		a.Specs = append(a.Specs, s)
	}
	return a
}

func (d dice) ct(ipv6 bool) openflow.Action {
	a := openflow.CT{Commit: d.chance(60), Zone: uint16(d.Uint32()), Table: openflow.TableAll}
	a.Force = a.Commit && d.chance(20)
	if d.chance(30) {
		a.ZoneSrc, a.Zone = openflow.Reg(8).Bits(16*d.IntN(2), 16), 0
	}
	if d.chance(50) {
		a.Table = uint8(d.IntN(250))
	}
	if d.chance(50) {
		var nat openflow.NAT
		if a.Commit {
			nat = d.nat(ipv6)
		}
		a.Actions = append(a.Actions, nat)
	}
	if a.Commit && d.chance(50) {
		a.Actions = append(a.Actions, d.set(openflow.FieldCTMark), d.set(openflow.FieldCTLabel),
			openflow.Copy(openflow.Reg(0).All(), openflow.FieldCTLabel.Bits(32*d.IntN(4), 32)))
	}
	return a
}

func (d dice) nat(ipv6 bool) openflow.NAT {
	var a openflow.NAT
	a.Src = d.chance(50)
	a.Dst = !a.Src
	if d.chance(20) {
		return a
	}
	addr := func(high byte) netip.Addr {
		if ipv6 {
			return netip.AddrFrom16([16]byte{0x20, 1, high, byte(d.IntN(256)), 15: byte(d.IntN(256))})
		}
		return netip.AddrFrom4([4]byte{10, high, byte(d.IntN(256)), byte(d.IntN(256))})
	}
	a.AddrMin = addr(1)
	if d.chance(50) {
		a.AddrMax = addr(2)
	}
	if d.chance(50) {
		a.PortMin = uint16(1 + d.IntN(1000))
		if d.chance(50) {
			a.PortMax = uint16(1001 + d.IntN(1000))
		}
	}
	a.Persistent, a.Random = d.chance(30), d.chance(30)
	a.Hash = !a.Random && d.chance(30)
	return a
}

// flow returns flow number n.
func (d dice) flow(n int) openflow.Flow {
	f := openflow.Flow{
		Table: uint8(n % 200), Priority: uint16(n), Cookie: uint64(n + 1), Match: d.match(),
		IdleTimeout: uint16(d.IntN(2) * 600), HardTimeout: uint16(d.IntN(2) * 900), Importance: uint16(d.IntN(2)),
	}
	if d.chance(30) {
		f.Flags = openflow.SendFlowRem
	}
	if d.chance(20) {
		f.Actions = append(f.Actions, openflow.ApplyMeter{ID: 1}) // ovs-ofctl takes it only here
	}
	for range d.IntN(6) {
		f.Actions = append(f.Actions, d.action())
	}
	for _, t := range f.Match.Terms {
		if ip4 := t == openflow.IPv4; (ip4 || t == openflow.IPv6) && d.chance(50) {
			f.Actions = append(f.Actions, openflow.DecTTL{}, d.ct(!ip4))
		}
	}
	if d.chance(20) {
		f.Actions = append(f.Actions, openflow.WriteMetadata{Value: d.Uint64() & 0xff, Mask: 0xff})
	}
	if d.chance(30) {
		f.Actions = append(f.Actions, openflow.Goto{Table: uint8(201 + d.IntN(50))})
	}
	return f
}

// TestRandomFlows is TestInstall and TestDecodeForeign for flows that no one
// thought of.
func TestRandomFlows(t *testing.T) {
	const count = 3000
	d := dice{rand.New(rand.NewPCG(1, 2))}
	flows := make([]openflow.Flow, count)
	var mods []openflow.Mod
	var text strings.Builder
	for i := range flows {
		flows[i] = d.flow(i)
		m := &openflow.FlowMod{Flow: flows[i]}
		mods = append(mods, m)
		text.WriteString(m.String() + "\n")
		parsed, err := openflow.ParseMod(m.String())
		if err != nil {
			t.Error(err)
			continue
		}
		p := parsed.(*openflow.FlowMod).Flow
		if !p.Equal(flows[i]) || p.String() != flows[i].String() {
			t.Errorf("parsed %s\nfrom %s", p, m)
		}
	}
	t.Run("our bytes", func(t *testing.T) {
		s := ovstest.StartBridge(t)
		w := dial(t, s)
		prepare(w)
		w.mustApply(mods...)
		agree(t, s, w, flows)
	})
	t.Run("our text", func(t *testing.T) {
		s := ovstest.StartBridge(t)
		w := dial(t, s)
		prepare(w)
		if _, err := s.OfctlInput(text.String(), "bundle", "br0", "-"); err != nil {
			t.Fatal(err)
		}
		agree(t, s, w, flows)
	})
}
