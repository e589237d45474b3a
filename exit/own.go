package exit

import (
	"net/netip"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// Own returns what this host has that tenants are to be kept from: its addresses, and the
// network that its tunnels run in.
func Own(host string, vtep netip.Addr) (intent.Guarded, error) {
	own, err := hostnet.OwnAddrs()
	if err != nil {
		return intent.Guarded{}, err
	}
	underlay, err := hostnet.PrefixOf(vtep)
	if err != nil && intent.KindOf(err) != intent.NotFound { // the address is away: others warn of that
		return intent.Guarded{}, err
	}
	return intent.Guarded{Host: host, Addresses: own, Underlay: underlay}, nil
}
