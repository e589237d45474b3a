package pipeline

import (
	"net/netip"

	of "github.com/ovloom/ovloom/openflow"
)

// Place is where in the pipeline a packet was that came to ovloomd: its registers in
// words.
type Place struct {
	Network, Tenant uint32    // VNI and VRF id; of a routed packet those that it goes to
	Source          uint32    // VNI of the network that it comes from
	InPort          of.PortNo // that of the port here which sent it; 0: none did

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
	if p.Source == 0 { // not on its way to another yet
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

// SendOn returns a packet that goes on where another was found too large: a
// fragment of it.
func SendOn(in of.PacketIn, frame []byte) of.PacketOut {
	out := again(in, forward, flagOversize)
	out.Packet = frame
	return out
}

// LookAgain returns a packet that looks for its next hop again: it was learned.
func LookAgain(in of.PacketIn) of.PacketOut { return again(in, neighbour) }

// again puts a packet back into a table as it was, but for some flags, which are
// cleared.
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

// Flood returns a frame of a gateway's for everybody in a network.
func Flood(vni, vrf uint32, frame []byte) of.PacketOut {
	return of.PacketOut{Packet: frame,
		Metadata: of.MatchOf(of.Exact(of.FieldMetadata, uint64(vrf)<<regTenant.Sub.Offset|uint64(vni))),
		Actions:  []of.Action{of.Resubmit{InPort: of.PortInPort, Table: flood.ID}}}
}

// FloodFrom returns a frame for everybody in a network but the port that it speaks of.
func FloodFrom(port of.PortNo, vni, vrf uint32, frame []byte) of.PacketOut {
	out := Flood(vni, vrf, frame)
	out.InPort = port
	return out
}

// ToPeers returns a frame of a gateway's for all peers of a network.
func ToPeers(vni uint32, frame []byte) of.PacketOut {
	return of.PacketOut{Packet: frame, Actions: []of.Action{of.Set(of.FieldTunID, uint64(vni)), of.ToGroup{ID: groupPeers | vni}}}
}
