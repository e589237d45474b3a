package pipeline

import (
	"fmt"

	"github.com/ovloom/ovloom/intent"
)

// Cookie says which object a flow belongs to: 8 bits owner, 8 bits kind, 48 bits the
// object's id. So any flow, and any megaflow traced back to flows, leads to a tenant,
// network or port.
type Cookie uint64

// Owner is the cookie's first byte in all flows of ovloom.
const Owner = 0x0f

// OwnerMask covers the owner in a cookie mask.
const OwnerMask uint64 = 0xff << 56

// Kind is the kind of object that a flow belongs to.
type Kind uint8

// Kinds of objects.
const (
	KindBase            Kind = 1 + iota // the pipeline itself; the id is a table's number
	KindHost                            // another host's VTEP
	KindNetwork                         // a network
	KindPort                            // a port
	KindReason                          // a reason for dropping; the id is its number
	KindLearnedPort                     // a MAC learned behind a port; the id is the port's
	KindLearnedNetwork                  // a MAC learned from a tunnel; the id is the network's
	KindPeer                            // a foreign VTEP of a network
	KindLearnedPeer                     // a MAC learned behind a peer; the id is the peer's
	KindRoute                           // a static route
	KindExternal                        // a network outside the overlay
	KindTenant                          // a tenant
	KindSNAT                            // the SNAT of a tenant
	KindFloating                        // the floating address of a port
	KindForward                         // a forward
	KindAddress                         // an external address; the id is AddressID
	KindGuard                           // addresses that tenants must not reach; the id is 0
	KindLearnedExternal                 // a MAC learned beyond an uplink; the id is the external's
)

// KindSenders is which hosts may tunnel for a tenant; the id is the tenant's.
const KindSenders Kind = 0x20

var kindNames = map[Kind]string{
	KindBase: "base", KindHost: "host", KindNetwork: "network", KindPort: "port",
	KindReason: "reason", KindLearnedPort: "learned behind port", KindLearnedNetwork: "learned in network",
	KindPeer: "peer", KindLearnedPeer: "learned behind peer", KindRoute: "route",
	KindExternal: "external", KindTenant: "tenant", KindSNAT: "snat", KindFloating: "floating", KindForward: "forward",
	KindAddress: "external address", KindGuard: "guard", KindSenders: "senders of tenant", KindLearnedExternal: "learned beyond external",
}

// String returns the kind in words.
func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MakeCookie returns the cookie of an object's flows.
func MakeCookie(k Kind, id intent.ID) Cookie {
	return Cookie(uint64(Owner)<<56 | uint64(k)<<48 | uint64(id&intent.IDMax))
}

// Ours reports whether ovloom made the flow.
func (c Cookie) Ours() bool { return c>>56 == Owner }

// Kind returns the kind of object.
func (c Cookie) Kind() Kind { return Kind(c >> 48) }

// ID returns the object's id.
func (c Cookie) ID() intent.ID { return intent.ID(c) & intent.IDMax }

// Learned reports whether the switch made the flow by itself. Such flows come and go
// with traffic, and are not compared with the wanted flows.
func (c Cookie) Learned() bool {
	if !c.Ours() {
		return false
	}
	switch c.Kind() {
	case KindLearnedPort, KindLearnedNetwork, KindLearnedPeer, KindLearnedExternal:
		return true
	}
	return false
}
