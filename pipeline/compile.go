package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Base emits the flows that every switch has, whatever the intent: one miss for each
// table, and the flows that hold for all ports.
func Base(sw Switch, emit Emit) {
	own := func(t *Table) rules { return rules{MakeCookie(KindBase, intent.ID(t.ID)), emit} }
	classifyBase(own(classify), sw)
	priorityTagBase(own(priorityTag))
	externalInBase(own(externalIn))
	natInBase(own(natIn))
	tunnelInBase(own(tunnelIn), sw)
	tunnelSenderBase(own(tunnelSender))
	frameBase(own(frame), sw)
	portSecurityBase(own(portSecurity))
	taggedBase(own(tagged))
	arpNDBase(own(arpND))
	ndAnswerBase(own(ndAnswer), sw)
	learnBase(own(learn))
	forkBase(own(fork), sw)
	fdbBase(own(fdb))
	unknownBase(own(unknown))
	floodBase(own(flood))
	l3InBase(own(l3In), sw)
	routeBase(own(route), sw)
	answerOutBase(own(answerOut))
	neighbourBase(own(neighbour))
	unresolvedBase(own(unresolved), sw)
	mtuBase(own(mtu))
	forwardBase(own(forward), sw)
	guardBase(own(guard))
	hostForwardBase(own(hostForward))
	snatBase(own(snat))
	externalOutBase(own(externalOut))
	externalNeighbourBase(own(externalNeighbour))
	externalSendBase(own(externalSend), sw)
	outputBase(own(output), sw)
	sharesBase(own(shares), sw)
	dropBase(emit)
}

// Host emits the flows that admit another host's tunnel packets.
func Host(sw Switch, h intent.Host, emit Emit) {
	r := rules{MakeCookie(KindHost, h.ID), emit}
	classifyHost(r, sw, h)
	fdbHost(r, h)
}

// Self emits the flows that let this host route.
func Self(sw Switch, h intent.Host, emit Emit) {
	r := rules{MakeCookie(KindHost, h.ID), emit}
	forkSelf(r, h)
	outputSelf(r, sw, h)
}

// Network emits the flows of a network that do not depend on its ports.
func Network(sw Switch, n *NetworkView, emit Emit) {
	r := rules{MakeCookie(KindNetwork, n.Network.ID), emit}
	tunnelInNetwork(r, n)
	frameNetwork(r, &n.Network)
	arpNDNetwork(r, sw, n)
	learnNetwork(r, n)
	sharesNetwork(r, sw, n)
	forkNetwork(r, n)
	fdbNetwork(r, n)
	unknownNetwork(r, n)
	floodNetwork(r, n)
	l3InNetwork(r, sw, n)
	answersOfNetwork(r, sw, n)
	routeNetwork(r, n)
	neighbourNetwork(r, sw, n)
	mtuNetwork(r, n)
}

// Senders emits the flows that let hosts tunnel for a tenant.
func Senders(v *SendersView, emit Emit) {
	tunnelSenders(rules{MakeCookie(KindSenders, v.Tenant.ID), emit}, v)
}

// Groups returns the groups that the flows of a network refer to.
func Groups(sw Switch, n *NetworkView) []of.Group { return floodGroups(sw, n) }

// Port emits the flows of a port: those that let it send, if it is on this switch, and
// those that lead to it, wherever it is.
func Port(sw Switch, p *PortView, emit Emit) {
	r := rules{MakeCookie(KindPort, p.Port.ID), emit}
	classifyPort(r, sw, p)
	if p.local() {
		portSecurityPort(r, p)
		sharesPort(r, sw, p)
		taggedPort(r, p)
		learnPort(r, p)
	}
	arpNDPort(r, sw, p)
	learnGuard(r, p)
	fdbPort(r, p)
	answersOfPort(r, sw, p)
	neighbourPort(r, sw, p)
}

// PortGroups returns the groups that the flows of a port refer to.
func PortGroups(sw Switch, p *PortView) []of.Group {
	if !p.penalised(sw) {
		return nil
	}
	return []of.Group{penaltyGroup(p, enterPort(p))}
}

// Peer emits the flows of a peer: those that let it send, in its network only, and
// those that learn the MACs behind it.
func Peer(sw Switch, p *PeerView, emit Emit) {
	r := rules{MakeCookie(KindPeer, p.Peer.ID), emit}
	classifyPeer(r, sw, p)
	learnPeer(r, p)
	answersOfPeer(r, sw, p)
}

// Route emits the flows of a static route.
func Route(sw Switch, v *RouteView, emit Emit) {
	routeStatic(rules{MakeCookie(KindRoute, v.Route.ID), emit}, sw, v)
}

// RouteGroups returns the groups that the flows of a route refer to.
func RouteGroups(v *RouteView) []of.Group { return routeGroups(v) }

// LearnsLocally reports whether the switch may have learned MACs behind the port.
func LearnsLocally(p *PortView) bool {
	return p.local() && p.Network.Learning && p.Port.Learn > 0
}

// EntryTable is the number of the table where packets enter.
func EntryTable() uint8 { return classify.ID }

// LearnedTables are the numbers of the tables whose flows the switch adds itself.
func LearnedTables() []uint8 { return []uint8{fdbLearned.ID, neighbourLearned.ID, externalLearned.ID} }

// DropTable is the number of the table that counts drops by reason.
func DropTable() uint8 { return drop.ID }

// SharesTable is the number of the table that passes packets within their share. A
// packet that matches none of its flows passes, too.
func SharesTable() uint8 { return shares.ID }
