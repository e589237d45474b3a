package router

import (
	"fmt"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// A packet that cannot be forwarded is answered with an ICMP error.

func (r *Router) expired(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	return r.icmpError(in, packet.Expired)
}

func (r *Router) noPort(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	return r.icmpError(in, packet.NoPort)
}

func (r *Router) noRoute(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	return r.icmpError(in, packet.NoRoute)
}

func (r *Router) unreachable(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	return r.icmpError(in, packet.HostUnreachable)
}

// icmpError tells a packet's sender what is wrong with it, as the gateway of the
// network that it came from.
func (r *Router) icmpError(in of.PacketIn, what packet.Problem) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	at := pipeline.PlaceOf(in.Metadata)
	if at.Outside() {
		return r.icmpErrorOutside(at, p, what), nil
	}
	from, ok := r.table.network(at.Source)
	if !ok {
		return nil, fmt.Errorf("a packet from network %d, which is not known", at.Source)
	}
	gateway, ok := from.gateway(p.Src)
	switch what {
	case packet.NoPort:
		gateway = p.Dst
		if p.Proto != protoTCP && p.Proto != protoUDP && p.Proto != protoSCTP {
			what = packet.NoProtocol
		}
		if p.Proto == protoICMP || p.Proto == protoICMPv6 {
			return nil, nil // a protocol that the gateway speaks, but no ping
		}
	default:
		if !ok {
			return nil, nil // no gateway of this family
		}
	}
	to, _ := r.table.network(at.Network)
	return r.back(at, p.Error(what, to.MTU, r.mac(at), gateway)), nil
}

// Protocols in IP packets (IANA).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// icmpErrorOutside tells a sender beyond an uplink. The packet has been translated to a
// port by now, and so has the error: on its way out the connection tracker translates
// it back to the external address.
func (r *Router) icmpErrorOutside(at pipeline.Place, p packet.IP, what packet.Problem) []of.PacketOut {
	to, _ := r.table.network(at.Network)
	if frame := p.Error(what, to.MTU, intent.GatewayMAC, p.Dst); frame != nil {
		return []of.PacketOut{pipeline.ToOutside(at.Tenant, frame)}
	}
	return nil
}
