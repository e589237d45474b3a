package pipeline

import (
	"net/netip"

	of "github.com/ovloom/ovloom/openflow"
)

// Place is where in the pipeline a packet was when the switch handed it to ovloomd: its
// registers, decoded.
type Place struct {
	Network, Tenant uint32    // VNI and VRF id; after routing, of the destination
	Source          uint32    // VNI of the network it comes from
	InPort          of.PortNo // the port here that sent it; 0: none

	FromTunnel, FromPeer bool
	TunnelSource         netip.Addr // FromTunnel only

	Hop4, Hop6 netip.Addr // next hop, by the packet's family
}

// PlaceOf reads the metadata of a packet-in.
func PlaceOf(m of.Match) Place {
	value := map[of.Field]of.Bits{}
	for _, t := range m.Terms {
		value[t.Field] = t.Value
	}
	read := func(r register) uint64 {
		return value[r.Sub.Field].Uint64() & r.mask() >> r.Sub.Offset
	}
	p := Place{
		Network: uint32(read(regNetwork)), Tenant: uint32(read(regTenant)), Source: uint32(read(regSource)),
		InPort:     of.PortNo(read(regInPort)),
		FromTunnel: read(flagFromTunnel) != 0, FromPeer: read(flagFromPeer) != 0,
		Hop4: ipv4(value[of.FieldReg4]),
	}
	if p.Source == 0 { // not routed yet
		p.Source = p.Network
	}
	if p.FromTunnel {
		p.TunnelSource = ipv4(value[of.FieldTunSrc])
	}
	var hop [16]byte
	for i, f := range []of.Field{of.FieldReg4, of.FieldReg5, of.FieldReg6, of.FieldReg7} {
		word := value[f]
		copy(hop[4*i:], word[12:])
	}
	p.Hop6 = netip.AddrFrom16(hop)
	return p
}

func ipv4(b of.Bits) netip.Addr { return netip.AddrFrom4([4]byte(b[12:])) }

// SendOn returns a packet that continues where a larger one stopped: a fragment of it.
func SendOn(in of.PacketIn, frame []byte) of.PacketOut {
	out := again(in, forward, flagOversize)
	out.Packet = frame
	return out
}

// LookAgain returns a packet that looks up its next hop again, now that it is learned.
func LookAgain(in of.PacketIn) of.PacketOut { return again(in, neighbour) }

// again returns a packet to a table with its metadata, except for flags to clear.
func again(in of.PacketIn, t *Table, clear ...register) of.PacketOut {
	out := of.PacketOut{Packet: in.Packet, Actions: []of.Action{of.Resubmit{InPort: of.PortInPort, Table: t.ID}}}
	var terms []of.Term
	for _, x := range in.Metadata.Terms {
		switch {
		case x.Field == of.FieldInPort:
			out.InPort = of.PortNo(x.Value.Uint64())
			continue
		case x.Field != of.FieldMetadata && x.Field != of.FieldTunID && x.Field != of.FieldTunSrc && x.Field != of.FieldTunDst &&
			(x.Field < of.FieldReg0 || x.Field > of.FieldReg15):
			continue
		}
		for _, c := range clear {
			if c.Sub.Field == x.Field {
				x = of.Exact(x.Field, x.Value.Uint64()&^c.mask())
			}
		}
		terms = append(terms, x)
	}
	out.Metadata = of.MatchOf(terms...)
	return out
}

// Flood returns a gateway's frame to all of a network.
func Flood(vni, vrf uint32, frame []byte) of.PacketOut {
	return of.PacketOut{Packet: frame,
		Metadata: of.MatchOf(of.Exact(of.FieldMetadata, uint64(vrf)<<regTenant.Sub.Offset|uint64(vni))),
		Actions:  []of.Action{of.Resubmit{InPort: of.PortInPort, Table: flood.ID}}}
}

// FloodFrom returns a frame to all of a network except the port that the frame
// announces.
func FloodFrom(port of.PortNo, vni, vrf uint32, frame []byte) of.PacketOut {
	out := Flood(vni, vrf, frame)
	out.InPort = port
	return out
}

// ToPeers returns a gateway's frame to all peers of a network.
func ToPeers(vni uint32, frame []byte) of.PacketOut {
	return of.PacketOut{Packet: frame, Actions: []of.Action{of.Set(of.FieldTunID, uint64(vni)), of.ToGroup{ID: groupPeers | vni}}}
}
