package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// This file puts packets into the switch that have to do with the outside.

// ToUplink are the actions that send a frame of ovloomd's out by an uplink, as one of
// the external's VLAN (0: untagged).
func ToUplink(port of.PortNo, vlan uint16) []of.Action {
	return append(pushTag(&intent.External{VLAN: vlan}), of.Output{Port: port})
}

// LeaveAgain looks again for the next hop of a packet that leaves.
func LeaveAgain(in of.PacketIn) of.PacketOut { return again(in, externalNeighbour) }

// Open returns a packet without contents that begins the connection of one that came in
// from outside, if a rule lets it, and goes no further.
func Open(in of.PacketIn, frame []byte) of.PacketOut {
	out := enterAgain(in, flagOpener)
	out.Packet = frame
	return out
}

// EnterAgain returns a packet that came in from outside and does so again: its
// connection has begun, if it ever will.
func EnterAgain(in of.PacketIn) of.PacketOut { return enterAgain(in, flagOpened) }

func enterAgain(in of.PacketIn, flag register) of.PacketOut {
	out := again(in, externalIn)
	// A patch port is no port of the datapath: Open vSwitch loses what it looks at again
	// behind the connection tracker. Flows go by the register.
	out.InPort = of.PortController
	out.Metadata = of.MatchOf(with(out.Metadata.Terms, of.Exact(flag.Sub.Field, flag.mask()))...)
	return out
}

// Outside says whether a packet came in by an uplink.
func (p Place) Outside() bool { return p.Source >= intent.VNIReserved }

// ToOutside sends a tenant's IP packet on its way out, as if it were a gateway's: an
// ICMP error gets the address of the connection that it is about.
func ToOutside(vrf uint32, frame []byte) of.PacketOut {
	return of.PacketOut{Packet: frame, InPort: of.PortController,
		Metadata: of.MatchOf(regTenant.is(uint64(vrf))),
		Actions:  []of.Action{of.Resubmit{InPort: of.PortInPort, Table: route.ID}}}
}
