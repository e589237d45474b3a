package router

import (
	"time"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// fragment handles a fragment of a first packet to one of several forwards. Only the
// first fragment has the port number that selects one: the router begins the datagram's
// connection with it, and the connection tracker sends the other fragments the same
// way.
func (r *Router) fragment(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	enter := pipeline.EnterAgain(in)
	if opener := p.Opener(); opener != nil {
		return []of.PacketOut{pipeline.Open(in, opener), enter}, nil
	}
	return []of.PacketOut{enter}, nil
}
