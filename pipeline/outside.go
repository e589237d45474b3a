package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// This file makes the packets that ovloomd injects for connections with the outside.

// ToUplink returns the actions that send a frame from ovloomd out by an uplink, tagged
// with the external's VLAN (0: untagged).
func ToUplink(port of.PortNo, vlan uint16) []of.Action {
	return append(pushTag(&intent.External{VLAN: vlan}), of.Output{Port: port})
}

// LeaveAgain looks again for the next hop of a packet that leaves the overlay.
func LeaveAgain(in of.PacketIn) of.PacketOut { return again(in, externalNeighbour) }

// Open returns an empty packet that begins the connection of a packet from outside, if
// a rule lets it, and goes no further.
func Open(in of.PacketIn, frame []byte) of.PacketOut {
	out := enterAgain(in, flagOpener)
	out.Packet = frame
	return out
}

// EnterAgain returns a packet from outside that enters again, after Open: if a rule
// lets it, its connection exists by then.
func EnterAgain(in of.PacketIn) of.PacketOut { return enterAgain(in, flagOpened) }

func enterAgain(in of.PacketIn, flag register) of.PacketOut {
	out := again(in, externalIn)
	// A patch port is no port of the datapath: Open vSwitch loses its number when a
	// packet recirculates behind the connection tracker. Flows match the register
	// instead.
	out.InPort = of.PortController
	out.Metadata = of.MatchOf(with(out.Metadata.Terms, of.Exact(flag.Sub.Field, flag.mask()))...)
	return out
}

// Outside reports whether a packet came in by an uplink.
func (p Place) Outside() bool { return p.Source >= intent.VNIReserved }

// ToOutside sends a tenant's IP packet to the outside, as if from a gateway: an ICMP
// error gets the address of the connection that it is about.
func ToOutside(vrf uint32, frame []byte) of.PacketOut {
	return of.PacketOut{Packet: frame, InPort: of.PortController,
		Metadata: of.MatchOf(regTenant.is(uint64(vrf))),
		Actions:  []of.Action{of.Resubmit{InPort: of.PortInPort, Table: route.ID}}}
}
