package doctor

import (
	"net/netip"

	"github.com/ovloom/ovloom/hostnet"
)

// Linux is the Host that the process runs on.
type Linux struct{}

// UDPSockets is hostnet.UDPSockets.
func (Linux) UDPSockets(port int) ([]hostnet.UDPSocket, error) { return hostnet.UDPSockets(port) }

// VXLANDevices is hostnet.VXLANDevices.
func (Linux) VXLANDevices(port int) ([]string, error) { return hostnet.VXLANDevices(port) }

// TapsLeavingChecksums is hostnet.TapsLeavingChecksums.
func (Linux) TapsLeavingChecksums(names []string) ([]string, error) {
	return hostnet.TapsLeavingChecksums(names)
}

// ReadPeerEnds is hostnet.ReadPeerEnds.
func (Linux) ReadPeerEnds(names []string) (map[string]hostnet.PeerEnd, error) {
	return hostnet.ReadPeerEnds(names)
}

// NextHop is hostnet.NextHop.
func (Linux) NextHop(to netip.Addr) (netip.Addr, string, error) { return hostnet.NextHop(to) }

// NeighbourMAC is hostnet.NeighbourMAC.
func (Linux) NeighbourMAC(link string, a netip.Addr) (string, error) {
	return hostnet.NeighbourMAC(link, a)
}
