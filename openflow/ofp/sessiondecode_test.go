package ofp

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/ovloom/ovloom/openflow"
)

// packetInBody returns the body of a packet-in with the properties of a resume,
// which are the same.
func packetInBody(p openflow.PacketIn) []byte {
	b := must(AppendResume(nil, 0, p))
	b[HeaderLen+7] = nxtPacketIn2
	return b[HeaderLen:]
}

var testPacketIn = openflow.PacketIn{
	Packet: testPacket, FullLen: len(testPacket), Table: 4, Cookie: 0x1234567890abcdef, Reason: openflow.ReasonAction,
	Metadata:     openflow.MatchOf(openflow.InPort(3), openflow.Exact(openflow.FieldReg1, 9)),
	Continuation: "the switch's own state",
}

func TestPacketInRoundTrip(t *testing.T) {
	got, err := DecodePacketIn(packetInBody(testPacketIn))
	if err != nil || !reflect.DeepEqual(got, testPacketIn) {
		t.Errorf("a packet-in became\n%+v, %v\nwant\n%+v", got, err, testPacketIn)
	}
}

func TestPacketInProperties(t *testing.T) {
	// Built by hand: a packet cut to 2 of 1,500 bytes, userdata, and a property that is
	// not known.
	body := must(hex.DecodeString("00002320" + "0000001e" +
		"00000006aabb0000" + "00010008000005dc" + "000700077573650000"[:16] + "00630004" + "00000000"))
	got, err := DecodePacketIn(body)
	want := openflow.PacketIn{Packet: []byte{0xaa, 0xbb}, FullLen: 1500, Cookie: 1<<64 - 1, Userdata: "use"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v, %v\nwant\n%+v", got, err, want)
	}
}

func TestFlowRemovedDecodes(t *testing.T) {
	body := must(hex.DecodeString("0500" + "0064" + "000a" + "0000" + "0000000000000077" + // table, reason, …
		"0001000c" + "80000004" + "00000003" + "00000000" + // in_port=3
		"00000028" + "80020008" + "000000021dcd6500" + "80020808" + "0000000000000007" + "80020a08" + "00000000000001a4"))
	got, err := DecodeFlowRemoved(body)
	want := openflow.FlowRemoved{
		Flow:   openflow.Flow{Table: 5, Priority: 100, IdleTimeout: 10, Cookie: 0x77, Match: openflow.MatchOf(openflow.InPort(3))},
		Reason: openflow.RemovedIdleTimeout, Packets: 7, Bytes: 420, Duration: 2.5,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v, %v\nwant\n%+v", got, err, want)
	}
}

// testPort is port 3, "veth1", administratively down, without properties.
const testPort = "00000003" + "00280000" + "0200000000050000" + "76657468310000000000000000000000" + "00000001" + "00000005"

func TestPortsDecode(t *testing.T) {
	want := openflow.Port{No: 3, Name: "veth1", MAC: [6]byte{2, 0, 0, 0, 0, 5}, PortConfig: openflow.PortConfig{Down: true}, LinkDown: true}
	ports, err := DecodePorts(must(hex.DecodeString(testPort + testPort)))
	if err != nil || !reflect.DeepEqual(ports, []openflow.Port{want, want}) {
		t.Errorf("decoded\n%+v, %v\nwant\n%+v twice", ports, err, want)
	}
	change, err := DecodePortStatus(must(hex.DecodeString("0100000000000000" + testPort)))
	if err != nil || change != (openflow.PortChange{Event: openflow.PortDeleted, Port: want}) {
		t.Errorf("decoded %+v, %v", change, err)
	}
}

func TestBundleAddHoldsTheMessage(t *testing.T) {
	m := &openflow.MeterMod{Meter: openflow.Meter{ID: 1, Rate: 10}}
	b := must(AppendBundleAdd(nil, 7, 99, m))
	h, err := DecodeHeader(b)
	if err != nil || h.Type != TypeBundleAdd || int(h.Length) != len(b) {
		t.Fatalf("header %+v, %v", h, err)
	}
	id, message, err := DecodeBundleAdd(b[HeaderLen:])
	if want := must(AppendMod(nil, 7, m)); err != nil || id != 99 || string(message) != string(want) {
		t.Errorf("bundle %d holds %x, %v; want %x", id, message, err, want)
	}
}

// fuzz feeds a decoder with seeds, every prefix of them, and what the fuzzer makes of
// them. decode must not panic; what it accepts is up to its tests.
func fuzz(f *testing.F, decode func(b []byte), seeds ...[]byte) {
	for _, s := range seeds {
		for n := range s {
			f.Add(s[:n])
		}
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { decode(b) })
}

func FuzzDecodeHeader(f *testing.F) {
	fuzz(f, func(b []byte) { _, _ = DecodeHeader(b) }, AppendHello(nil, 1))
}

func FuzzOffers(f *testing.F) {
	fuzz(f, func(b []byte) { _, _ = Offers(Header{Version: Version}, b) }, AppendHello(nil, 1)[HeaderLen:])
}

func FuzzDecodeError(f *testing.F) {
	fuzz(f, func(b []byte) {
		if e, err := DecodeError(b); err == nil {
			_ = e.Error()
		}
	}, must(hex.DecodeString("ffff002300002320")), append([]byte{0, 4, 0, 9}, AppendEchoRequest(nil, 1)...))
}

func FuzzDecodeFeatures(f *testing.F) {
	fuzz(f, func(b []byte) { _, _ = DecodeFeatures(b) }, make([]byte, 24))
}

func FuzzDecodeBundle(f *testing.F) {
	fuzz(f, func(b []byte) {
		_, _, _ = DecodeBundleControl(b)
		_, _, _ = DecodeBundleAdd(b)
	}, AppendBundleControl(nil, 1, 2, BundleOpen)[HeaderLen:], append(make([]byte, 8), AppendEchoRequest(nil, 1)...))
}

func FuzzDecodeMultipart(f *testing.F) {
	fuzz(f, func(b []byte) { _, _, _, _ = DecodeMultipart(b) }, must(AppendMultipartRequest(nil, 1, MultipartPortDesc, AppendPortRequest(nil)))[HeaderLen:])
}

func FuzzDecodePorts(f *testing.F) {
	fuzz(f, func(b []byte) {
		_, _ = DecodePorts(b)
		_, _ = DecodePortStatus(b)
	}, must(hex.DecodeString(testPort+testPort)), must(hex.DecodeString("0100000000000000"+testPort)))
}

func FuzzDecodeFlowRemoved(f *testing.F) {
	fuzz(f, func(b []byte) { _, _ = DecodeFlowRemoved(b) }, must(hex.DecodeString("0500"+"0064"+"000a"+"0000"+"0000000000000077"+
		"0001000c"+"80000004"+"00000003"+"00000000"+"00000010"+"80020808"+"0000000000000007")))
}

// FuzzDecodePacketIn also checks that a packet-in which decodes encodes and decodes
// to itself.
func FuzzDecodePacketIn(f *testing.F) {
	seed := packetInBody(testPacketIn)
	for n := range seed {
		f.Add(seed[:n])
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePacketIn(b)
		if err != nil || p.Continuation == "" {
			return
		}
		again, err := AppendResume(nil, 0, p)
		if err != nil {
			return // too long, or fields that only the switch can set
		}
		again[HeaderLen+7] = nxtPacketIn2
		got, err := DecodePacketIn(again[HeaderLen:])
		p.FullLen, p.Userdata = len(p.Packet), "" // which a resume does not send
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("a packet-in became\n%+v, %v\nwant\n%+v", got, err, p)
		}
	})
}
