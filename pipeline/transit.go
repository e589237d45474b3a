package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Transit is the path of a connection from outside that enters by one host and has its
// target on another. The entry host translates it, and tunnels its packets to the
// target's host under the gateway's MAC, which no other tunnelled packet has. The
// target's host tracks the connection, untranslated, and stores the entry host with it.
// There, answers look like any leaving packet until conntrack identifies them: then
// they go back through the tunnel, and the entry host, which alone has the translation,
// translates them and lets them out. So the target sees the client's address.

// Stored with a connection in transit: the entry's VTEP in the mark, and in the label
// the MAC of the entry host's router, which also marks the connection as one in
// transit.
var (
	transitVTEP   = of.FieldCTMark.All()
	transitRouter = of.Subfield{Field: of.FieldCTLabel, Offset: 0, Width: 48}
)

// transitTenant receives packets from the entry. The stored entry is refreshed by each
// packet, because the address of a forward may move to another host.
func transitTenant(r rules, v *TenantView) {
	r.add(l3In, l3Transit, "from outside, came in by another host",
		on(flagFromTunnel.is(1), flagFromPeer.is(0), regTenant.is(uint64(v.Tenant.VRF)), gatewayMAC, of.IPv4),
		of.Copy(regNetwork.Sub, regSource.Sub),
		of.CT{Commit: true, Zone: v.Zone, Table: route.ID, Actions: []of.Action{
			of.Copy(of.FieldTunSrc.All(), transitVTEP),
			of.Copy(of.FieldEthSrc.All(), transitRouter),
		}})
}

// transitBack sends answers to the entry host, in the network of the answering port.
func transitBack(r rules) {
	r.add(externalOut, outTransit, "answers what came in by another host: back to it",
		answersTransit, append(backToEntry(), to(output))...)
}

// answersTransit matches answers, after conntrack.
var answersTransit = on(of.CTState(of.CTTrk|of.CTRpl, 0), of.MACMasked(of.FieldCTLabel, intent.RouterMAC(0), intent.MAC{0xff, 0xff}), of.IPv4)

func backToEntry() []of.Action {
	return []of.Action{
		of.Copy(regSource.Sub, regNetwork.Sub),
		of.Copy(transitVTEP, regVTEP.Sub),
		of.Copy(transitRouter, of.FieldEthDst.All()),
	}
}
