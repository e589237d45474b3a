package ofp_test

import (
	"strings"
	"testing"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// mustParse reads the cases.
func mustParse(t testing.TB) []openflow.Flow {
	t.Helper()
	var flows []openflow.Flow
	for _, text := range flowCases {
		f, err := openflow.ParseFlow(text)
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
	}
	return flows
}

// TestFlowModRoundTrip goes from text to bytes and back, without a switch.
func TestFlowModRoundTrip(t *testing.T) {
	for _, f := range mustParse(t) {
		want := &openflow.FlowMod{Command: openflow.FlowModify, CookieMask: 0xff, Flow: f}
		b, err := ofp.AppendMod(nil, 9, want)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		h, err := ofp.DecodeHeader(b)
		if err != nil || int(h.Length) != len(b) || len(b)%8 != 0 || h.Type != ofp.TypeFlowMod || h.XID != 9 {
			t.Errorf("%s: header %+v, %d bytes, error %v", f, h, len(b), err)
		}
		got, err := ofp.DecodeFlowMod(b[ofp.HeaderLen:])
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if got.String() != want.String() || !got.Flow.Equal(f) {
			t.Errorf("decoded %s\nwant    %s", got.String(), want)
		}
	}
}

// TestEncodeAllocates checks that encoding into a buffer that has room makes no
// garbage, whatever the flow.
func TestEncodeAllocates(t *testing.T) {
	flows := mustParse(t)
	mods := make([]openflow.Mod, len(flows))
	for i := range flows {
		mods[i] = &openflow.FlowMod{Flow: flows[i]}
	}
	b := make([]byte, 0, 1<<16)
	for i, m := range mods {
		if n := testing.AllocsPerRun(10, func() {
			if _, err := ofp.AppendMod(b, 1, m); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations for %s", n, flows[i])
		}
	}
}

// TestRefused checks that what the switch would refuse, or take for something
// else, is refused with a reason, and that nothing is written then.
func TestRefused(t *testing.T) {
	reg := openflow.Reg(0)
	for _, test := range []struct {
		name    string
		actions []openflow.Action
		want    string
	}{
		{"nil", []openflow.Action{nil}, "holds nil"},
		{"nat alone", []openflow.Action{openflow.NAT{}}, "only inside ct"},
		{"action after goto", []openflow.Action{openflow.Goto{Table: 1}, openflow.Output{Port: 1}}, "output:1 comes too late"},
		{"goto twice", []openflow.Action{openflow.Goto{Table: 1}, openflow.Goto{Table: 2}}, "goto_table:2 comes too late"},
		{"metadata after goto", []openflow.Action{openflow.Goto{Table: 1}, openflow.WriteMetadata{}}, "comes too late"},
		{"goto in write_actions", []openflow.Action{openflow.WriteActions{Actions: []openflow.Action{openflow.Goto{Table: 1}}}}, "instructions"},
		{"no field", []openflow.Action{openflow.SetField{}}, "no field"},
		{"no bits", []openflow.Action{openflow.OutputReg{}}, "0 bits"},
		{"bits that are not there", []openflow.Action{openflow.Push{Src: openflow.Subfield{Field: reg, Offset: 20, Width: 20}}}, "NXM_NX_REG0[20..39]"},
		{"too many bits to output", []openflow.Action{openflow.OutputReg{Src: openflow.FieldXXReg0.All()}}, "64 bits"},
		{"copy of different widths", []openflow.Action{openflow.CopyField{Src: reg.Bits(0, 3), Dst: reg.Bits(4, 4)}}, "not equally wide"},
		{"resubmit to a port that is none", []openflow.Action{openflow.Resubmit{InPort: 70000}}, "16 bits"},
		{"check_pkt_larger into two bits", []openflow.Action{openflow.CheckPktLarger{Dst: reg.Bits(0, 2)}}, "not one bit"},
		{"conjunction 0", []openflow.Action{openflow.Conjunction{ID: 1, Of: 2}}, "counted from 1"},
		{"conjunction 3 of 2", []openflow.Action{openflow.Conjunction{ID: 1, Clause: 3, Of: 2}}, "clause 3 of 2"},
		{"force without commit", []openflow.Action{openflow.CT{Force: true}}, "only with commit"},
		{"exec without commit", []openflow.Action{openflow.CT{Actions: []openflow.Action{openflow.Set(openflow.FieldCTMark, 1)}}}, "only with commit"},
		{"nat arguments without commit", []openflow.Action{openflow.CT{Actions: []openflow.Action{openflow.NAT{Src: true}}}}, "only with commit"},
		{"nat second", []openflow.Action{openflow.CT{Commit: true, Actions: []openflow.Action{openflow.Set(openflow.FieldCTMark, 1), openflow.NAT{}}}}, "first"},
		{"output in ct", []openflow.Action{openflow.CT{Commit: true, Actions: []openflow.Action{openflow.Output{Port: 3}}}}, "output:3 is not possible"},
		{"zone of 8 bits", []openflow.Action{openflow.CT{ZoneSrc: reg.Bits(0, 8)}}, "16 bits"},
		{"nat both ways", []openflow.Action{openflow.CT{Commit: true, Actions: []openflow.Action{openflow.NAT{Src: true, Dst: true}}}}, "exclude"},
		{"ports without address", []openflow.Action{openflow.CT{Commit: true, Actions: []openflow.Action{openflow.NAT{Src: true, PortMin: 1}}}}, "no first address"},
		{"learn into table 255", []openflow.Action{openflow.Learn{Table: openflow.TableAll}}, "255"},
		{"learn a value too large", []openflow.Action{openflow.Learn{Specs: []openflow.LearnSpec{{Dst: reg.Bits(0, 4), Value: openflow.BitsOf(16)}}}}, "too large"},
		{"learn different widths", []openflow.Action{openflow.Learn{Specs: []openflow.LearnSpec{{Dst: reg.Bits(0, 4), Src: reg.Bits(0, 5)}}}}, "not equally wide"},
		{"learn result of two bits", []openflow.Action{openflow.Learn{LimitResult: reg.Bits(0, 2)}}, "one bit"},
		{"opaque without length", []openflow.Action{openflow.Opaque{Raw: "12345678"}}, "own length"},
		{"userdata that fills a message", []openflow.Action{openflow.ToController{Userdata: strings.Repeat("x", 65536)}}, "longer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &openflow.FlowMod{Flow: openflow.Flow{Match: openflow.MatchOf(openflow.IPv4), Actions: test.actions}}
			b, err := ofp.AppendMod([]byte("kept"), 1, m)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if string(b) != "kept" {
				t.Errorf("%d bytes are left behind", len(b)-4)
			}
		})
	}
}

// TestUnknownIsKept checks that what the package does not know survives: fields,
// actions and instructions.
func TestUnknownIsKept(t *testing.T) {
	f := openflow.Flow{
		Match: openflow.Match{Terms: openflow.MatchOf(openflow.IPv4).Terms, Opaque: "\x00\x01\x4f\x04\x01\x02\x03\x04"}, // a field with a number that is not given out
		Actions: []openflow.Action{
			openflow.Output{Port: 1},
			openflow.Opaque{Raw: "\xff\xff\x00\x10\x00\x00\x23\x20\x00\x11\x00\x00\x00\x00\x00\x00"}, // exit
			openflow.Goto{Table: 3},
			openflow.OpaqueInstruction{Raw: "\xff\xff\x00\x08\x00\x00\x00\x01"},
		},
	}
	b, err := ofp.AppendMod(nil, 1, &openflow.FlowMod{Flow: f})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ofp.DecodeFlowMod(b[ofp.HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	if !got.Flow.Equal(f) {
		t.Errorf("decoded %s\nwant    %s", got.Flow, f)
	}
	parsed, err := openflow.ParseFlow(f.String())
	if err != nil || !parsed.Equal(f) {
		t.Errorf("parsed %s, error %v\nwant   %s", parsed, err, f)
	}
}

// wideFlow is one of many flows like those that a pipeline makes: b is its number.
func wideFlow(n int) openflow.Flow {
	return openflow.Flow{
		Table: 40, Priority: 100, Cookie: 0x0f01000000000000 | uint64(n),
		Match: openflow.MatchOf(openflow.Masked(openflow.FieldMetadata, uint64(n>>12), 0xffffff),
			openflow.EthDst([6]byte{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)})),
		Actions: []openflow.Action{
			openflow.Set(openflow.Reg(2), uint64(n)),
			openflow.Set(openflow.Reg(3), 0xc0000201),
			openflow.Resubmit{InPort: openflow.PortInPort, Table: 100},
		},
	}
}

func BenchmarkAppendFlowMod(b *testing.B) {
	const count = 1000
	mods := make([]openflow.FlowMod, count)
	for i := range mods {
		mods[i].Flow = wideFlow(i)
	}
	buffer := make([]byte, 0, 1<<12)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		out, err := ofp.AppendFlowMod(buffer, uint32(n), &mods[n%count])
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(out)))
	}
}

func BenchmarkDecodeFlowMod(b *testing.B) {
	f := wideFlow(7)
	message, err := ofp.AppendFlowMod(nil, 1, &openflow.FlowMod{Flow: f})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		if _, err := ofp.DecodeFlowMod(message[ofp.HeaderLen:]); err != nil {
			b.Fatal(err)
		}
	}
}
