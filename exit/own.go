package exit

import (
	"net/netip"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// Own returns this host's part of the guard: its addresses, and the network that carries
// its tunnels.
func Own(host string, vtep netip.Addr) (intent.Guarded, error) {
	own, err := hostnet.OwnAddrs()
	if err != nil {
		return intent.Guarded{}, err
	}
	underlay, err := hostnet.PrefixOf(vtep)
	if err != nil && intent.KindOf(err) != intent.NotFound { // the VTEP address is gone: status warns of that
		return intent.Guarded{}, err
	}
	return intent.Guarded{Host: host, Addresses: own, Underlay: underlay}, nil
}
