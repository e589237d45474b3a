package router

import (
	"fmt"
	"time"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// TooLarge returns how many packets larger than the MTU of their destination's network
// have come to the router.
func (r *Router) TooLarge() (packets, bytes uint64) {
	return r.tooLargePackets.Load(), r.tooLargeBytes.Load()
}

// tooLarge fragments a packet, or tells its sender how large it may be.
func (r *Router) tooLarge(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	r.tooLargePackets.Add(1)
	r.tooLargeBytes.Add(uint64(len(in.Packet)))
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	if p.DontFragment || p.Src.Is6() {
		return r.icmpError(in, packet.TooBig)
	}
	at := pipeline.PlaceOf(in.Metadata)
	to, ok := r.table.network(at.Network)
	if !ok {
		return nil, fmt.Errorf("a packet to network %d, which is not known", at.Network)
	}
	frames, err := p.Fragments(to.MTU)
	if err != nil {
		return nil, err
	}
	var out []of.PacketOut
	for _, f := range frames {
		out = append(out, pipeline.SendOn(in, f))
	}
	return out, nil
}
