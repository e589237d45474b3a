package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Transit is the way of a connection from outside whose target is not on the host that
// it comes in by. The host of the entry translates it, and tunnels its packets to the
// target's host under the MAC of the gateway, which nothing else does. That host
// tracks the connection, untranslated, and remembers with it where it came from.
// Answers look to it like all that leaves, until the connection tracker says
// otherwise: then they go back through the tunnel, and the host of the entry, which
// alone knows how, translates and lets them out. So the target sees the address of
// the client.

// What is remembered with a connection in transit: the VTEP of its entry in the mark,
// and in the label the MAC of that host's router, which also tells that it is one.
var (
	transitVTEP   = of.FieldCTMark.All()
	transitRouter = of.Subfield{Field: of.FieldCTLabel, Offset: 0, Width: 48}
)

// transitTenant takes in what comes from the entry. What it remembers of a connection
// is as new as its last packet: the address of a forward may move to another host.
func transitTenant(r rules, v *TenantView) {
	r.add(l3In, l3Transit, "from outside, came in by another host",
		on(flagFromTunnel.is(1), flagFromPeer.is(0), regTenant.is(uint64(v.Tenant.VRF)), gatewayMAC, of.IPv4),
		of.Copy(regNetwork.Sub, regSource.Sub),
		of.CT{Commit: true, Zone: v.Zone, Table: route.ID, Actions: []of.Action{
			of.Copy(of.FieldTunSrc.All(), transitVTEP),
			of.Copy(of.FieldEthSrc.All(), transitRouter),
		}})
}

// transitBack sends answers to the host of the entry, in the network of who answers.
func transitBack(r rules) {
	r.add(externalOut, outTransit, "answers what came in by another host: back to it",
		answersTransit, append(backToEntry(), to(output))...)
}

// answersTransit matches answers, behind the connection tracker.
var answersTransit = on(of.CTState(of.CTTrk|of.CTRpl, 0), of.MACMasked(of.FieldCTLabel, intent.RouterMAC(0), intent.MAC{0xff, 0xff}), of.IPv4)

func backToEntry() []of.Action {
	return []of.Action{
		of.Copy(regSource.Sub, regNetwork.Sub),
		of.Copy(transitVTEP, regVTEP.Sub),
		of.Copy(transitRouter, of.FieldEthDst.All()),
	}
}
