package router

import (
	"time"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// solicitation answers a neighbour solicitation for a gateway: Linux's own datapath
// cannot turn it into an advertisement.
func (r *Router) solicitation(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	n, err := packet.ParseNeighbour(in.Packet)
	if err != nil || n.Answer {
		return nil, err
	}
	at := pipeline.PlaceOf(in.Metadata)
	return r.back(at, n.Answer6(r.mac(at))), nil
}
