package ofp

import (
	"encoding/hex"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/openflow"
)

// ofpPrint returns how ovs-ofctl understands a message.
func ofpPrint(t *testing.T, message []byte) string {
	t.Helper()
	cmd := exec.Command("ovs-ofctl", "-O", "OpenFlow15", "ofp-print", "-")
	cmd.Stdin = strings.NewReader(hex.EncodeToString(message))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ovs-ofctl ofp-print: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// must returns the message of an encoder that cannot fail here.
func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestSessionMessagesAreUnderstood(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"hello", AppendHello(nil, 1), "OFPT_HELLO (OF1.5) (xid=0x1):\n version bitmap: 0x06"},
		{"echo request", AppendEchoRequest(nil, 2), "OFPT_ECHO_REQUEST (OF1.5) (xid=0x2): 0 bytes of payload"},
		{"echo reply", must(AppendEchoReply(nil, 3, []byte("ping"))), "OFPT_ECHO_REPLY (OF1.5) (xid=0x3): 4 bytes of payload"},
		{"features request", AppendFeaturesRequest(nil, 4), "OFPT_FEATURES_REQUEST (OF1.5) (xid=0x4):"},
		{"barrier", AppendBarrierRequest(nil, 5), "OFPT_BARRIER_REQUEST (OF1.5) (xid=0x5):"},
		{"set-config", AppendSetConfig(nil, 6, Config{MissSendLen: 0xffff}),
			"OFPT_SET_CONFIG (OF1.5) (xid=0x6): frags=normal miss_send_len=65535"},
		{"packet-in format", AppendPacketIn2Format(nil, 8), "NXT_SET_PACKET_IN_FORMAT (OF1.5) (xid=0x8): format=nxt_packet_in2"},
		{"controller id", AppendSetControllerID(nil, 9, 77), "NXT_SET_CONTROLLER_ID (OF1.5) (xid=0x9): id=77"},
		{"set-async", AppendSetAsync(nil, 10, Async{PacketIns: AllPacketIns, PortChanges: AllPortChanges, FlowsRemoved: AllFlowsRemoved}),
			`OFPT_SET_ASYNC (OF1.5) (xid=0xa):
 primary:
       PACKET_IN: no_match action invalid_ttl action_set group packet_out
     PORT_STATUS: add delete modify
    FLOW_REMOVED: idle hard delete group_delete meter_delete eviction`},
		{"bundle open", AppendBundleControl(nil, 11, 5, BundleOpen),
			"OFPT_BUNDLE_CONTROL (OF1.5) (xid=0xb):\n bundle_id=0x5 type=OPEN_REQUEST flags=atomic ordered"},
		{"bundle commit", AppendBundleControl(nil, 12, 5, BundleCommit),
			"OFPT_BUNDLE_CONTROL (OF1.5) (xid=0xc):\n bundle_id=0x5 type=COMMIT_REQUEST flags=atomic ordered"},
		{"port-desc request", must(AppendMultipartRequest(nil, 13, MultipartPortDesc, AppendPortRequest(nil))), "OFPST_PORT_DESC request (OF1.5) (xid=0xd): port=ANY"},
		{"ct flush of a zone", must(AppendCTFlush(nil, 14, openflow.Connections{Zone: 9})),
			"NXT_CT_FLUSH_ZONE (OF1.5) (xid=0xe): zone_id=9"},
		{"ct flush of a TCP connection", must(AppendCTFlush(nil, 15, openflow.Connections{Zone: 9, Orig: openflow.Tuple{
			Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), Proto: 6, SrcPort: 1234, DstPort: 80}})),
			"NXT_CT_FLUSH (OF1.5) (xid=0xf): zone=9 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_tp_src=1234,ct_tp_dst=80,ct_nw_proto=6' " +
				"'ct_nw_src=::,ct_nw_dst=::,ct_tp_src=0,ct_tp_dst=0'"},
		{"ct flush of replies from an address", must(AppendCTFlush(nil, 16, openflow.Connections{Zone: 3, Reply: openflow.Tuple{
			Src: addr("2001:db8::1")}})),
			"NXT_CT_FLUSH (OF1.5) (xid=0x10): zone=3 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0,ct_nw_proto=0' " +
				"'ct_ipv6_src=2001:db8::1,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0'"},
		{"ct flush of a ping", must(AppendCTFlush(nil, 17, openflow.Connections{Zone: 3, Orig: openflow.Tuple{
			Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), Proto: 1, ICMPID: 7, ICMPType: 8}})),
			"NXT_CT_FLUSH (OF1.5) (xid=0x11): zone=3 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,icmp_id=7,icmp_type=8,icmp_code=0,ct_nw_proto=1' " +
				"'ct_nw_src=::,ct_nw_dst=::,icmp_id=0,icmp_type=0,icmp_code=0'"},
		{"packet-out", must(AppendPacketOut(nil, 18, openflow.PacketOut{
			Packet:   testPacket,
			InPort:   7,
			Metadata: openflow.MatchOf(openflow.Exact(openflow.FieldMetadata, 0x2a), openflow.Exact(openflow.FieldReg0, 5)),
			Actions:  []openflow.Action{openflow.Resubmit{InPort: openflow.PortInPort, Table: 3}},
		})), "OFPT_PACKET_OUT (OF1.5) (xid=0x12): reg0=0x5,metadata=0x2a,in_port=7 actions=resubmit(,3) data_len=42"},
		{"packet-out from the controller", must(AppendPacketOut(nil, 19, openflow.PacketOut{
			Packet: testPacket, Actions: []openflow.Action{openflow.Output{Port: 1}},
		})), "OFPT_PACKET_OUT (OF1.5) (xid=0x13): in_port=CONTROLLER actions=output:1 data_len=42"},
		{"resume", must(AppendResume(nil, 20, openflow.PacketIn{
			Packet: testPacket, Table: 4, Cookie: 0x99, Reason: openflow.ReasonAction,
			Metadata:     openflow.MatchOf(openflow.InPort(3), openflow.Exact(openflow.FieldReg1, 9)),
			Continuation: "\xff\xff\x00\x10\x00\x00\x23\x20\x00\x00\x00\x00ABCD",
		})), "NXT_RESUME (OF1.5) (xid=0x14): table_id=4 cookie=0x99 total_len=42 reg1=0x9,in_port=3 (via action) data_len=42 (unbuffered)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ofpPrint(t, c.message)
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("ovs-ofctl reads\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// testPacket is an ARP request.
var testPacket = must(hex.DecodeString("ffffffffffff02000000000108060001080006040001" + "020000000001" + "0a000001" + "000000000000" + "0a000002"))

func TestRefusedMessagesLeaveTheBufferAlone(t *testing.T) {
	before := []byte("before")
	long := strings.Repeat("x", MaxLen)
	for _, c := range []struct {
		name   string
		encode func(b []byte) ([]byte, error)
		want   string
	}{
		{"echo reply too long", func(b []byte) ([]byte, error) { return AppendEchoReply(b, 1, []byte(long)) },
			"ofp: echo reply of 65543 bytes is longer than the 65535 that fit in a message"},
		{"packet-out too long", func(b []byte) ([]byte, error) {
			return AppendPacketOut(b, 1, openflow.PacketOut{Packet: []byte(long)})
		}, "ofp: packet-out of 65567 bytes"},
		{"packet-out with in_port twice", func(b []byte) ([]byte, error) {
			return AppendPacketOut(b, 1, openflow.PacketOut{Metadata: openflow.MatchOf(openflow.InPort(1))})
		}, "ofp: packet-out: in_port belongs in InPort"},
		{"resume of a packet that is not held", func(b []byte) ([]byte, error) {
			return AppendResume(b, 1, openflow.PacketIn{Packet: testPacket})
		}, "ofp: resume: the packet-in is not of a held packet"},
		{"resume too long", func(b []byte) ([]byte, error) {
			return AppendResume(b, 1, openflow.PacketIn{Packet: []byte(long), Continuation: "x"})
		}, "ofp: experimenter of 65"},
		{"multipart request too long", func(b []byte) ([]byte, error) {
			return AppendMultipartRequest(b, 1, MultipartFlowDesc, []byte(long))
		}, "ofp: multipart request of 65551 bytes"},
		{"ct flush of two protocols", func(b []byte) ([]byte, error) {
			return AppendCTFlush(b, 1, openflow.Connections{Orig: openflow.Tuple{Proto: 6}, Reply: openflow.Tuple{Proto: 17}})
		}, "ofp: ct flush: protocols 17 and 6 in one connection"},
		{"ct flush of ports without protocol", func(b []byte) ([]byte, error) {
			return AppendCTFlush(b, 1, openflow.Connections{Orig: openflow.Tuple{SrcPort: 1}})
		}, "ofp: ct flush: ports without a protocol"},
		{"ct flush of ICMP ports", func(b []byte) ([]byte, error) {
			return AppendCTFlush(b, 1, openflow.Connections{Orig: openflow.Tuple{Proto: 1, DstPort: 1}})
		}, "ofp: ct flush: protocol 1 has no ports"},
		{"ct flush of a TCP ping", func(b []byte) ([]byte, error) {
			return AppendCTFlush(b, 1, openflow.Connections{Orig: openflow.Tuple{Proto: 6, ICMPID: 1}})
		}, "ofp: ct flush: protocol 6 has no ICMP fields"},
		{"ct flush of a ping from anywhere", func(b []byte) ([]byte, error) {
			return AppendCTFlush(b, 1, openflow.Connections{Orig: openflow.Tuple{Proto: 1, ICMPID: 1}})
		}, "ofp: ct flush: ICMP fields need both addresses"},
		{"ct flush of IPv4 to IPv6", func(b []byte) ([]byte, error) {
			return AppendCTFlush(b, 1, openflow.Connections{Orig: openflow.Tuple{
				Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("::1")}})
		}, "ofp: ct flush: 10.0.0.1 and ::1 are not of one IP version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := c.encode(before)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want %s…", err, c.want)
			}
			if string(b) != "before" {
				t.Errorf("the buffer became %q", b)
			}
		})
	}
}

func TestHelloOffers(t *testing.T) {
	for _, c := range []struct {
		name    string
		version uint8
		body    string // hex
		want    bool
	}{
		{"bitmap with 1.5", 6, "0001000800000040", true},
		{"bitmap of all versions", 6, "000100080000007e", true},
		{"bitmap of 1.0 and 1.3, newer header", 7, "0001000800000012", false},
		{"no bitmap, 1.5", 6, "", true},
		{"no bitmap, newer", 7, "", true},
		{"no bitmap, 1.4", 5, "", false},
		{"unknown element first", 1, "00990006aabb0000" + "0001000800000040", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Offers(Header{Version: c.version}, must(hex.DecodeString(c.body)))
			if err != nil || got != c.want {
				t.Errorf("Offers: %v, %v; want %v", got, err, c.want)
			}
		})
	}
	if _, err := Offers(Header{}, []byte{0, 1, 0, 99}); err == nil {
		t.Error("an element longer than the hello was accepted")
	}
}

func TestErrorsInWords(t *testing.T) {
	for _, c := range []struct {
		body string // hex
		want string
	}{
		{"00040009", "bad match: a field that this one needs is not matched (OFPBMC_BAD_PREREQ)"},
		{"0011000d", "bundle failed: a message in it failed (OFPBFC_MSG_FAILED)"},
		{"00060008", "group-mod failed: no such group (OFPGMFC_UNKNOWN_GROUP)"},
		{"000d0002", "table features failed: error of type 13, code 2"},
		{"000400ff", "bad match: error of type 4, code 255"},
		{"00630001", "error of type 99, code 1"},
		{"ffff0023" + "00002320", "resume: the switch no longer holds this packet (NXR_STALE)"},
		{"ffff0007" + "4f4e4600", "error 7 of experimenter 0x4f4e4600"},
		{"00000000" + hex.EncodeToString([]byte("only 1.0\x00")), "hello failed: no version in common (OFPHFC_INCOMPATIBLE): only 1.0"},
	} {
		e, err := DecodeError(must(hex.DecodeString(c.body)))
		if err != nil || e.Error() != c.want {
			t.Errorf("error %s reads\n%v, %v\nwant\n%s", c.body, e, err, c.want)
		}
	}
}

// TestErrorNamesAreThoseOfOVS asks ovs-ofctl for the name of every error that this
// package knows.
func TestErrorNamesAreThoseOfOVS(t *testing.T) {
	// OpenFlow's names where Open vSwitch keeps older ones.
	older := map[string]string{"OFPBAC_BAD_EXPERIMENTER": "OFPBAC_BAD_VENDOR", "OFPBAC_BAD_EXP_TYPE": "OFPBAC_BAD_VENDOR_TYPE"}
	check := func(t *testing.T, name string, message []byte) {
		if o, ok := older[name]; ok {
			name = o
		}
		if got := ofpPrint(t, message); !strings.Contains(got, ": "+name+"\n") {
			t.Errorf("%x: ovs-ofctl reads\n%s\nwant %s", message, got, name)
		}
	}
	// The same for all: what was refused is an echo request.
	refused := hex.EncodeToString(AppendEchoRequest(nil, 1))
	for kind, et := range errorTypes {
		for code, w := range et.codes {
			if w.name == "" || kind == 0 { // ovs-ofctl prints the text of a failed hello instead
				continue
			}
			message := must(hex.DecodeString("0601001400000001" + hex.EncodeToString([]byte{0, byte(kind), 0, byte(code)}) + refused))
			check(t, et.prefix+"_"+w.name, message)
		}
	}
	for code, w := range niciraErrors {
		message := must(hex.DecodeString("0601001800000001" + "ffff" + hex.EncodeToString([]byte{0, byte(code)}) + "00002320" + refused))
		check(t, w.name, message)
	}
}

func TestUnknownRequestsAreToldFromBadOnes(t *testing.T) {
	if !(&Error{Type: 1, Code: 4}).IsUnknownRequest() || (&Error{Type: 4, Code: 4}).IsUnknownRequest() {
		t.Error("IsUnknownRequest confuses an unknown request with a bad match")
	}
}
