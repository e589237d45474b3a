package peers

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"antrea.io/libOpenflow/openflow15"
	"k8s.io/klog/v2"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

func TestMain(m *testing.M) {
	quiet := flag.NewFlagSet("klog", flag.PanicOnError) // it logs every message that it cannot read
	klog.InitFlags(quiet)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := quiet.Set(name, value); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard)
	code := m.Run()
	if all := flag.Lookup("test.run").Value.String() == ""; all && code == 0 {
		for _, name := range unmet() {
			fmt.Printf("FAIL: a gap is listed that no test meets: %s\n", name)
			code = 1
		}
	}
	os.Exit(code)
}

// second returns what libOpenflow makes of a message: "" if it decodes it and encodes
// the same bytes again, else what goes wrong.
func second(message []byte) (verdict string) {
	defer func() {
		if r := recover(); r != nil {
			verdict = fmt.Sprintf("panics: %v", r)
		}
	}()
	m, err := openflow15.Parse(bytes.Clone(message))
	if err != nil {
		return "fails: " + err.Error()
	}
	if m == nil {
		return "decodes to nothing"
	}
	again, err := m.MarshalBinary()
	if err != nil {
		return "does not encode again: " + err.Error()
	}
	if len(again) != len(message) {
		return fmt.Sprintf("encodes %d bytes again, not %d", len(again), len(message))
	}
	for i := range message {
		if again[i] != message[i] {
			return fmt.Sprintf("encodes byte %d again as %#02x, not %#02x", i, again[i], message[i])
		}
	}
	return ""
}

// check compares what libOpenflow makes of a message with what is known of it.
func check(t *testing.T, message []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("ofp does not encode it: %v", err)
	}
	met[t.Name()] = true
	got, gap := second(message), gaps[t.Name()]
	switch {
	case gap.verdict == "" && got != "":
		t.Errorf("libOpenflow disagrees: it %s\n%x", got, message)
	case gap.verdict != "" && got == "":
		t.Errorf("libOpenflow agrees now; take this gap off the list: %s", gap.words)
	case !strings.HasPrefix(got, gap.verdict):
		t.Errorf("libOpenflow %s; known is that it %s (%s)", got, gap.verdict, gap.words)
	}
}

// flowWith encodes a flow-mod with these actions.
func flowWith(actions ...of.Action) ([]byte, error) {
	return ofp.AppendMod(nil, 7, &of.FlowMod{Flow: of.Flow{Table: 3, Priority: 100, Cookie: 0x1234567890abcdef, Actions: actions}})
}

// matching encodes a flow-mod with this match.
func matching(terms ...of.Term) ([]byte, error) {
	return ofp.AppendMod(nil, 7, &of.FlowMod{Flow: of.Flow{Table: 3, Priority: 100, Match: of.MatchOf(terms...), IdleTimeout: 5, Flags: of.SendFlowRem}})
}

func TestMatches(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("2001:db8::/32")
	mac := [6]byte{2, 0, 0, 0, 0, 5}
	ip, ip6, arp := of.EthType(0x800), of.EthType(0x86dd), of.EthType(0x806)
	for _, c := range []struct {
		name  string
		terms []of.Term
	}{
		{"everything", nil},
		{"in_port", []of.Term{of.InPort(3)}},
		{"metadata", []of.Term{of.Exact(of.FieldMetadata, 0x2a)}},
		{"metadata, masked", []of.Term{of.Masked(of.FieldMetadata, 0x2a, 0xffffff)}},
		{"tun_id", []of.Term{of.Exact(of.FieldTunID, 7)}},
		{"tun_src", []of.Term{of.Addr(of.FieldTunSrc, netip.MustParseAddr("192.0.2.1"))}},
		{"pkt_mark", []of.Term{of.Exact(of.FieldPktMark, 7)}},
		{"conj_id", []of.Term{of.Exact(of.FieldConjID, 7)}},
		{"ct_state", []of.Term{of.Masked(of.FieldCTState, 0x21, 0x23)}},
		{"ct_zone", []of.Term{of.Exact(of.FieldCTZone, 9)}},
		{"ct_mark", []of.Term{of.Masked(of.FieldCTMark, 1, 1)}},
		{"ct_label", []of.Term{of.ExactBits(of.FieldCTLabel, of.BitsOf128(1, 2))}},
		{"ct_nw_src", []of.Term{ip, of.Exact(of.FieldCTNwProto, 6), of.Prefix(of.FieldCTNwSrc, v4)}},
		{"reg0", []of.Term{of.Exact(of.FieldReg0, 9)}},
		{"reg15, masked", []of.Term{of.Masked(of.FieldReg15, 0x10, 0xf0)}},
		{"eth_dst", []of.Term{of.EthDst(mac)}},
		{"eth_dst, masked", []of.Term{of.EthDstMasked([6]byte{1}, [6]byte{1})}},
		{"eth_src", []of.Term{of.EthSrc(mac)}},
		{"vlan_vid", []of.Term{of.VLAN(7)}},
		{"no VLAN", []of.Term{of.NoVLAN()}},
		{"ip_src prefix", []of.Term{ip, of.Prefix(of.FieldIPSrc, v4)}},
		{"ip_dst", []of.Term{ip, of.Addr(of.FieldIPDst, netip.MustParseAddr("10.0.0.1"))}},
		{"ip_ttl", []of.Term{ip, of.Exact(of.FieldIPTTL, 1)}},
		{"ip_dscp", []of.Term{ip, of.Exact(of.FieldIPDSCP, 10)}},
		{"ip_frag", []of.Term{ip, of.Exact(of.FieldIPFrag, 1)}},
		{"tcp_dst", []of.Term{ip, of.IPProto(6), of.Exact(of.FieldTCPDst, 80)}},
		{"tcp_flags", []of.Term{ip, of.IPProto(6), of.Masked(of.FieldTCPFlags, 2, 0x12)}},
		{"udp_src, masked", []of.Term{ip, of.IPProto(17), of.Masked(of.FieldUDPSrc, 0x100, 0xff00)}},
		{"sctp_dst", []of.Term{ip, of.IPProto(132), of.Exact(of.FieldSCTPDst, 5)}},
		{"icmp_type", []of.Term{ip, of.IPProto(1), of.Exact(of.FieldICMPType, 8)}},
		{"ipv6_dst prefix", []of.Term{ip6, of.Prefix(of.FieldIPv6Dst, v6)}},
		{"icmpv6_type", []of.Term{ip6, of.IPProto(58), of.Exact(of.FieldICMPv6Type, 135), of.Exact(of.FieldICMPv6Code, 0)}},
		{"nd_target", []of.Term{ip6, of.IPProto(58), of.Exact(of.FieldICMPv6Type, 135), of.Exact(of.FieldICMPv6Code, 0),
			of.Addr(of.FieldNDTarget, netip.MustParseAddr("2001:db8::1")), of.MAC(of.FieldNDSLL, mac)}},
		{"arp_op", []of.Term{arp, of.Exact(of.FieldARPOp, 1)}},
		{"arp_spa", []of.Term{arp, of.Addr(of.FieldARPSPA, netip.MustParseAddr("10.0.0.1"))}},
		{"arp_tpa prefix", []of.Term{arp, of.Prefix(of.FieldARPTPA, v4)}},
		{"arp_sha", []of.Term{arp, of.MAC(of.FieldARPSHA, mac)}},
		{"arp_tha", []of.Term{arp, of.MAC(of.FieldARPTHA, mac)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			message, err := matching(c.terms...)
			check(t, message, err)
		})
	}
}

func TestActions(t *testing.T) {
	reg := func(n, from, width int) of.Subfield { return of.Reg(n).Bits(from, width) }
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name    string
		actions []of.Action
	}{
		{"drop", nil},
		{"output", []of.Action{of.Output{Port: 3}}},
		{"output to in_port", []of.Action{of.Output{Port: of.PortInPort}}},
		{"output to a register", []of.Action{of.OutputReg{Src: reg(2, 0, 16)}}},
		{"group", []of.Action{of.ToGroup{ID: 5}}},
		{"controller", []of.Action{of.ToController{MaxLen: 0xffff, ID: 7, Reason: of.ReasonAction}}},
		{"controller with userdata", []of.Action{of.ToController{MaxLen: 0xffff, ID: 7, Reason: of.ReasonAction, Userdata: "abc"}}},
		{"controller with pause", []of.Action{of.ToController{MaxLen: 0xffff, ID: 7, Reason: of.ReasonAction, Pause: true}}},
		{"set_field of a register", []of.Action{of.Set(of.FieldReg2, 7)}},
		{"set_field, masked", []of.Action{of.SetMasked(of.FieldReg0, 1, 1)}},
		{"set_field of a MAC", []of.Action{of.SetMAC(of.FieldEthDst, [6]byte{2, 0, 0, 0, 0, 1})}},
		{"set_field of tun_dst", []of.Action{of.SetAddr(of.FieldTunDst, addr("192.0.2.1"))}},
		{"set_field of metadata", []of.Action{of.SetMasked(of.FieldMetadata, 7, 0xffffff)}},
		{"set_field of an IPv6 address", []of.Action{of.SetAddr(of.FieldIPv6Dst, addr("2001:db8::1"))}},
		{"copy_field", []of.Action{of.Copy(of.FieldEthSrc.All(), of.FieldEthDst.All())}},
		{"copy_field of some bits", []of.Action{of.Copy(reg(1, 0, 16), reg(2, 16, 16))}},
		{"push", []of.Action{of.Push{Src: reg(0, 0, 32)}}},
		{"pop", []of.Action{of.Pop{Dst: reg(0, 0, 32)}}},
		{"push_vlan and its VLAN", []of.Action{of.PushVLAN{EtherType: 0x8100}, of.SetVLAN(100)}},
		{"dec_ttl", []of.Action{of.DecTTL{}}},
		{"resubmit", []of.Action{of.Resubmit{InPort: of.PortInPort, Table: 4}}},
		{"resubmit with ct", []of.Action{of.Resubmit{InPort: of.PortInPort, Table: 4, CT: true}}},
		{"ct", []of.Action{of.CT{Zone: 7, Table: 4}}},
		{"ct, zone in a register", []of.Action{of.CT{ZoneSrc: reg(8, 0, 16), Table: 4}}},
		{"ct, committing with a mark", []of.Action{of.CT{Commit: true, Zone: 7, Table: of.TableAll,
			Actions: []of.Action{of.SetMasked(of.FieldCTMark, 1, 1)}}}},
		{"ct, committing with a label", []of.Action{of.CT{Commit: true, Zone: 7, Table: of.TableAll,
			Actions: []of.Action{of.SetBits(of.FieldCTLabel, of.BitsOf(1), of.BitsOf(1))}}}},
		{"ct with nat", []of.Action{of.CT{Zone: 7, Table: 4, Actions: []of.Action{of.NAT{}}}}},
		{"ct with nat to an address", []of.Action{of.CT{Commit: true, Zone: 7, Table: of.TableAll,
			Actions: []of.Action{of.NAT{Src: true, AddrMin: addr("192.0.2.1")}}}}},
		{"ct with nat to a port range", []of.Action{of.CT{Commit: true, Zone: 7, Table: of.TableAll,
			Actions: []of.Action{of.NAT{Src: true, AddrMin: addr("192.0.2.1"), AddrMax: addr("192.0.2.9"), PortMin: 1000, PortMax: 2000}}}}},
		{"ct_clear", []of.Action{of.CTClear{}}},
		{"check_pkt_larger", []of.Action{of.CheckPktLarger{Len: 1464, Dst: reg(0, 2, 1)}}},
		{"conjunction", []of.Action{of.Conjunction{ID: 9, Clause: 1, Of: 2}}},
		{"learn", []of.Action{of.Learn{Table: 9, Priority: 5, Cookie: 1, IdleTimeout: 60, Specs: []of.LearnSpec{
			{Kind: of.LearnMatch, Src: of.FieldEthSrc.All(), Dst: of.FieldEthDst.All()},
			{Kind: of.LearnLoad, Src: of.FieldInPort.All(), Dst: reg(2, 0, 32)}}}}},
		{"learn with a limit", []of.Action{of.Learn{Table: 9, Priority: 5, Limit: 10, LimitResult: reg(0, 1, 1), Specs: []of.LearnSpec{
			{Kind: of.LearnMatch, Src: of.FieldEthSrc.All(), Dst: of.FieldEthDst.All()}}}}},
		{"goto_table", []of.Action{of.Goto{Table: 9}}},
		{"write_metadata", []of.Action{of.WriteMetadata{Value: 1, Mask: 0xff}}},
		{"meter", []of.Action{of.ApplyMeter{ID: 9}}},
		{"clear_actions", []of.Action{of.ClearActions{}}},
		{"write_actions", []of.Action{of.WriteActions{Actions: []of.Action{of.Output{Port: 1}}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			message, err := flowWith(c.actions...)
			check(t, message, err)
		})
	}
}

func TestMessages(t *testing.T) {
	group := of.Group{ID: 5, Type: of.GroupAll, Buckets: []of.Bucket{{ID: 1, Actions: []of.Action{of.Output{Port: 1}}}}}
	meter := of.Meter{ID: 9, Unit: of.PacketsPerSecond, Rate: 100, Burst: 10}
	none := func(b []byte) ([]byte, error) { return b, nil }
	for _, c := range []struct {
		name   string
		encode func() ([]byte, error)
	}{
		{"hello", func() ([]byte, error) { return none(ofp.AppendHello(nil, 1)) }},
		{"echo request", func() ([]byte, error) { return none(ofp.AppendEchoRequest(nil, 1)) }},
		{"barrier", func() ([]byte, error) { return none(ofp.AppendBarrierRequest(nil, 1)) }},
		{"features request", func() ([]byte, error) { return none(ofp.AppendFeaturesRequest(nil, 1)) }},
		{"set-config", func() ([]byte, error) { return none(ofp.AppendSetConfig(nil, 1, ofp.Config{MissSendLen: 128})) }},
		{"packet-in format", func() ([]byte, error) { return none(ofp.AppendPacketIn2Format(nil, 1)) }},
		{"controller id", func() ([]byte, error) { return none(ofp.AppendSetControllerID(nil, 1, 7)) }},
		{"set-async", func() ([]byte, error) { return none(ofp.AppendSetAsync(nil, 1, ofp.Async{PacketIns: 2})) }},
		{"bundle-control", func() ([]byte, error) { return none(ofp.AppendBundleControl(nil, 1, 2, ofp.BundleCommit)) }},
		{"bundle-add-message", func() ([]byte, error) {
			return ofp.AppendBundleAdd(nil, 1, 2, &of.FlowMod{Flow: of.Flow{Actions: []of.Action{of.Output{Port: 1}}}})
		}},
		{"delete of flows", func() ([]byte, error) {
			return ofp.AppendMod(nil, 1, &of.FlowMod{Command: of.FlowDelete, CookieMask: 0xff, Flow: of.Flow{Table: of.TableAll, Cookie: 7}})
		}},
		{"group added", func() ([]byte, error) {
			return ofp.AppendMod(nil, 1, &of.GroupMod{Command: of.GroupAdd, Group: group})
		}},
		{"bucket inserted", func() ([]byte, error) {
			return ofp.AppendMod(nil, 1, &of.GroupMod{Command: of.GroupInsertBucket, CommandBucketID: of.BucketLast, Group: group})
		}},
		{"group deleted", func() ([]byte, error) {
			return ofp.AppendMod(nil, 1, &of.GroupMod{Command: of.GroupDelete, Group: of.Group{ID: of.GroupIDAll}})
		}},
		{"meter", func() ([]byte, error) {
			return ofp.AppendMod(nil, 1, &of.MeterMod{Command: of.MeterAdd, Meter: meter})
		}},
		{"packet-out", func() ([]byte, error) {
			return ofp.AppendPacketOut(nil, 1, of.PacketOut{Packet: make([]byte, 60), InPort: 3, Actions: []of.Action{of.Output{Port: 1}}})
		}},
		{"resume", func() ([]byte, error) {
			return ofp.AppendResume(nil, 1, of.PacketIn{Packet: make([]byte, 60), Cookie: 5, Metadata: of.MatchOf(of.InPort(3)),
				Continuation: "\xff\xff\x00\x10\x00\x00\x23\x20\x00\x00\x00\x00ABCD"})
		}},
		{"ct flush of a zone", func() ([]byte, error) { return ofp.AppendCTFlush(nil, 1, of.Connections{Zone: 7}) }},
		{"dump of flows", func() ([]byte, error) {
			body, err := ofp.AppendFlowRequest(nil, &ofp.FlowFilter{Table: of.TableAll})
			if err != nil {
				return nil, err
			}
			return ofp.AppendMultipartRequest(nil, 1, ofp.MultipartFlowDesc, body)
		}},
		{"dump of groups", func() ([]byte, error) {
			return ofp.AppendMultipartRequest(nil, 1, ofp.MultipartGroupDesc, ofp.AppendGroupRequest(nil))
		}},
		{"dump of meters", func() ([]byte, error) {
			return ofp.AppendMultipartRequest(nil, 1, ofp.MultipartMeterConfig, ofp.AppendMeterRequest(nil))
		}},
		{"dump of ports", func() ([]byte, error) {
			return ofp.AppendMultipartRequest(nil, 1, ofp.MultipartPortDesc, ofp.AppendPortRequest(nil))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			message, err := c.encode()
			check(t, message, err)
		})
	}
}

// TestFlowModReadsTheSame compares what libOpenflow understood, not only that it
// gives back the bytes.
func TestFlowModReadsTheSame(t *testing.T) {
	message, err := ofp.AppendMod(nil, 7, &of.FlowMod{Command: of.FlowModifyStrict, CookieMask: 0xf0, Flow: of.Flow{
		Table: 3, Priority: 100, Cookie: 0xa0, IdleTimeout: 5, HardTimeout: 6, Flags: of.SendFlowRem, Importance: 9,
		Match:   of.MatchOf(of.InPort(3), of.Exact(of.FieldMetadata, 0x2a)),
		Actions: []of.Action{of.Output{Port: 4}, of.Goto{Table: 9}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := openflow15.Parse(message)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := parsed.(*openflow15.FlowMod)
	if !ok {
		t.Fatalf("libOpenflow reads a %T", parsed)
	}
	got := fmt.Sprintf("xid %d command %d cookie %#x/%#x table %d priority %d timeouts %d %d flags %d importance %d",
		m.Xid, m.Command, m.Cookie, m.CookieMask, m.TableId, m.Priority, m.IdleTimeout, m.HardTimeout, m.Flags, m.Importance)
	const want = "xid 7 command 2 cookie 0xa0/0xf0 table 3 priority 100 timeouts 5 6 flags 1 importance 9"
	if got != want {
		t.Errorf("libOpenflow reads\n%s\nwant\n%s", got, want)
	}
	if n := len(m.Match.Fields); n != 2 {
		t.Fatalf("libOpenflow reads %d match fields, want 2", n)
	}
	if p, ok := m.Match.Fields[0].Value.(*openflow15.InPortField); !ok || p.InPort != 3 {
		t.Errorf("in_port is %+v", m.Match.Fields[0].Value)
	}
	if d, ok := m.Match.Fields[1].Value.(*openflow15.MetadataField); !ok || d.Metadata != 0x2a {
		t.Errorf("metadata is %+v", m.Match.Fields[1].Value)
	}
	if n := len(m.Instructions); n != 2 {
		t.Fatalf("libOpenflow reads %d instructions, want 2", n)
	}
	if g, ok := m.Instructions[1].(*openflow15.InstrGotoTable); !ok || g.TableId != 9 {
		t.Errorf("goto_table is %+v", m.Instructions[1])
	}
}
