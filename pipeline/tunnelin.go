package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// tunnelIn is a second table for tunnel packets: matching sender and VNI in one would
// take VTEPs × VNIs flows.
var tunnelIn = &Table{
	ID:      idTunnelIn,
	Name:    "tunnel_in",
	Purpose: "Put a tunnel packet into the network of its VNI.",
	Reads:   []of.Field{of.FieldTunID, of.FieldVLANVID, of.FieldEthType},
	Writes:  []of.Field{of.FieldMetadata, of.FieldReg0, of.FieldReg15},
	Next:    []*Table{tunnelSender, drop},
}

// ProbeController is the controller id of the connection that receives probes.
const ProbeController = 0x0f01

// The meter for probes to ovloomd, and how much of each ovloomd needs.
const (
	meterProbes  = 1
	probesRate   = 2000 // packets per second: some hundred hosts that probe their paths at once
	probeHeadMax = 128  // bytes
)

// Meters returns the meters that all flows may refer to. They must exist before the
// flows, as must PortMeters and the like.
func Meters(sw Switch) []of.Meter {
	if sw.NoMeters {
		return nil
	}
	meters := []of.Meter{{ID: meterProbes, Unit: of.PacketsPerSecond, Rate: probesRate, Burst: probesRate}}
	for _, c := range causes {
		meters = append(meters, of.Meter{ID: meterCauses + uint32(c), Unit: of.PacketsPerSecond, Rate: causeRate, Burst: causeRate})
	}
	return meters
}

func tunnelInBase(r rules, sw Switch) {
	// The meter is an action of its own, so that excess packets end in the datapath.
	// Without meters, only hosts of the overlay can send probes.
	probe := []of.Action{of.ToController{MaxLen: probeHeadMax, ID: ProbeController}}
	if len(Meters(sw)) > 0 {
		probe = append([]of.Action{of.ApplyMeter{ID: meterProbes}}, probe...)
	}
	r.add(tunnelIn, 10, "a probe of another host, to ovloomd", on(of.Exact(of.FieldTunID, intent.VNIProbe)), probe...)
	// A host running an older ovloomd does not check tags.
	refuseTags(r, tunnelIn, 20, "a tag that the network does not carry")
	r.add(tunnelIn, 0, "a VNI of no network here", on(), because(ReasonUnknownVNI)...)
}

// tunnelInNetwork trusts the sending host about the source: it checked the packet
// before tunnelling it. tunnel_sender then checks whether the host may send for that
// tenant.
func tunnelInNetwork(r rules, n *NetworkView) {
	enters := []of.Action{enter(n.Network.VNI, n.VRF)}
	if n.Network.Learning {
		enters = append(enters, flagLearns.set(1))
	}
	enters = append(enters, to(tunnelSender))
	vni := on(of.Exact(of.FieldTunID, uint64(n.Network.VNI)))
	r.add(tunnelIn, 10, "a tunnel packet with the network's VNI enters the network", vni, enters...)
	if n.Network.VLANTransparent {
		r.add(tunnelIn, 30, "with a tag, which the network carries", with(vni, of.AnyVLAN()), enters...)
	}
}
