package intent

import "net/netip"

// TraceQuery asks what would happen to a packet that a port might send, or that might
// come from outside.
type TraceQuery struct {
	From PortRef `json:"from"`
	// To is an IP address, a port (acme/web/c2), a MAC address, or "broadcast".
	To string `json:"to"`

	// External is the external that the packet comes in by. Then From is not set, and
	// To is an IPv4 address.
	External string `json:"external,omitempty"`
	Host     string `json:"host,omitempty"` // the host by whose uplink it comes in; "": any host that answers for To

	// Protocol of the packet, with its ports; "": an ICMP echo request.
	Protocol Protocol `json:"protocol,omitempty"`
	DstPort  uint16   `json:"dst_port,omitempty"`
	SrcPort  uint16   `json:"src_port,omitempty"` // 0: chosen
	ICMPType *uint8   `json:"icmp_type,omitempty"`

	TTL  uint8 `json:"ttl,omitempty"`  // or hop limit; 0: 64
	Size int   `json:"size,omitempty"` // bytes of IP packet; 0: a small one

	// The packet's sender fields, where they differ from the port's.
	SrcAddr netip.Addr `json:"src,omitzero"`
	SrcMAC  MAC        `json:"src_mac,omitzero"`

	// Ask traces only the question for the destination's MAC address, ARP or neighbour
	// solicitation, and no packet.
	Ask bool `json:"ask,omitempty"`
}

// Validate checks what can be checked without the store.
func (q TraceQuery) Validate() error {
	if err := q.validateWay(); err != nil {
		return err
	}
	if q.Size != 0 && (q.Size < traceSizeMin || q.Size > traceSizeMax) {
		return Invalidf("a packet cannot have %d bytes", q.Size).WithHint("choose between %d and %d", traceSizeMin, traceSizeMax)
	}
	switch {
	case q.Protocol != "":
		if q.Protocol.Number() == 0 {
			return Invalidf("protocol %q cannot be traced", string(q.Protocol)).WithHint("choose %s, %s or %s", TCP, UDP, SCTP)
		}
		if q.DstPort == 0 {
			return Invalidf("%s needs a destination port", q.Protocol).WithHint("give one, such as --%s 80", q.Protocol)
		}
		if q.ICMPType != nil {
			return Invalidf("a packet is either ICMP or %s", q.Protocol).WithHint("leave one of them out")
		}
	case q.DstPort != 0 || q.SrcPort != 0:
		return Invalidf("a port is given, but no protocol").WithHint("give --tcp, --udp or --sctp with the destination port")
	}
	if q.Ask && (q.Protocol != "" || q.ICMPType != nil) {
		return Invalidf("only the question for an address is asked for, and a packet, too").WithHint("leave --ask or the protocol out")
	}
	return nil
}

// Sizes of packets that can be traced, in bytes (RFC 791, 3.1).
const (
	traceSizeMin = 20
	traceSizeMax = 65535
)

// validateWay checks the packet's source and destination.
func (q TraceQuery) validateWay() error {
	if q.External == "" {
		if err := q.From.Validate(); err != nil {
			return err
		}
		if q.Host != "" {
			return Invalidf("host %s is given, but no external", q.Host).WithHint("a port is where it is plugged: leave the host out")
		}
		if q.To == "" {
			return Invalidf("no destination is given").WithHint("give an IP address, a port such as acme/web/c2, a MAC address, or broadcast")
		}
		return nil
	}
	if q.From != (PortRef{}) {
		return Invalidf("a packet comes either from port %s or by external %s", q.From, q.External).WithHint("leave one of them out")
	}
	if err := ValidateName("external", q.External); err != nil {
		return err
	}
	if q.To == "" {
		return Invalidf("no destination is given").WithHint("give an external address that a tenant uses: `ovloom nat list` shows them")
	}
	if a, err := netip.ParseAddr(q.To); err != nil || !a.Is4() {
		return Invalidf("destination %q is not an IPv4 address", q.To).WithHint("give an external address that a tenant uses: `ovloom nat list` shows them")
	}
	if q.SrcAddr.IsValid() && !q.SrcAddr.Is4() {
		return Invalidf("source address %s is not IPv4", q.SrcAddr).WithHint("what comes by an external is IPv4")
	}
	return nil
}

// Trace is the path of a packet that was not sent: what the switches would do with it
// in their current state.
type Trace struct {
	From    string       `json:"from"` // port, or "external campus"
	To      string       `json:"to"`   // as asked for
	Verdict TraceVerdict `json:"verdict"`
	Summary string       `json:"summary"` // the verdict in a sentence
	Advice  []string     `json:"advice"`  // what would change it
	Silent  []string     `json:"silent"`  // hosts that did not answer: the trace ends there

	// Packets are in the order in which they would be sent: the question for the
	// destination's MAC address, if one is needed, and the packet itself.
	Packets []TracePacket `json:"packets"`
}

// TracePacket is one packet and its path.
type TracePacket struct {
	What    string       `json:"what"` // in words
	Verdict TraceVerdict `json:"verdict"`
	Summary string       `json:"summary"`
	Hops    []TraceHop   `json:"hops"` // the first hop, then those reached through tunnels
}

// TraceVerdict is the fate of a packet.
type TraceVerdict string

// Verdicts, and kinds of ends.
const (
	TraceDelivered TraceVerdict = "delivered" // to at least one port
	TraceAnswered  TraceVerdict = "answered"  // by the switch itself
	TraceLeft      TraceVerdict = "left"      // the overlay, by an external or to a peer
	TraceDropped   TraceVerdict = "dropped"
	TraceUnknown   TraceVerdict = "unknown" // a host did not answer, or traces cannot tell

	// Of ends only.
	TraceTunnelled TraceVerdict = "tunnelled" // another hop goes on
	TraceHanded    TraceVerdict = "handed"    // to ovloomd, which acts on it
)

// TraceHop is the path of a packet through the switch of one host.
type TraceHop struct {
	Host   string      `json:"host"`
	Via    string      `json:"via"`    // how it arrived: "sent by port acme/web/c1", "through the tunnel from host1, VNI 10003"
	Packet string      `json:"packet"` // as it arrived, in the syntax of ovs-fields(7)
	Steps  []TraceStep `json:"steps"`
	Ends   []TraceEnd  `json:"ends"`
	Raw    string      `json:"raw"` // what ofproto/trace printed

	Error string `json:"error,omitempty"` // why there is nothing else
}

// TraceStep is one table that a packet passes, or what happens between tables.
type TraceStep struct {
	Table   string   `json:"table"`  // "": between tables
	Object  string   `json:"object"` // the flow's object, such as "port acme/web/c1"
	Words   string   `json:"words"`  // what the flow is for
	Flow    string   `json:"flow"`   // what it matches, as ovs-ofctl prints it
	Actions []string `json:"actions"`
	Notes   []string `json:"notes"`  // what Open vSwitch says of the actions
	Branch  int      `json:"branch"` // depth of copies
}

// TraceEnd is where a packet, or one copy of it, ends on a host.
type TraceEnd struct {
	Kind   TraceVerdict `json:"kind"`
	Table  string       `json:"table"`            // the table that decided
	Port   string       `json:"port,omitempty"`   // delivered to, or answered
	Reason string       `json:"reason,omitempty"` // why it was dropped, such as "spoof-mac"; "": no reason is known
	Words  string       `json:"words"`            // in a sentence

	// For packets that were tunnelled, or that left to a peer.
	VTEP netip.Addr `json:"vtep,omitzero"`
	VNI  uint32     `json:"vni,omitempty"`
	Host string     `json:"host,omitempty"` // or "peer acme/web/tor1"

	// The external by which it left, or would have left if it had not been dropped.
	External string `json:"external,omitempty"`

	Packet string `json:"packet"` // as it is there
	// Answer is the MAC address in the switch's answer; it is a string because a
	// gateway's is no valid MAC.
	Answer string `json:"answer,omitempty"`
}
