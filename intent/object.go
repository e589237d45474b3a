package intent

import "net/netip"

// ID identifies an object for as long as it exists, and is never reused. It has 48
// bits, so that a flow's cookie can carry it; 0 means none.
type ID uint64

// IDMax is the largest ID.
const IDMax ID = 1<<48 - 1

// Tenant is a group of networks that no other tenant can reach.
type Tenant struct {
	Name string `json:"name"`
	ID   ID     `json:"id"`
	VRF  uint32 `json:"vrf"` // 24 bits; identifies the tenant inside a switch
}

// Network is one L2 segment of a tenant, spread over hosts.
type Network struct {
	Tenant   string   `json:"tenant"`
	Name     string   `json:"name"`
	ID       ID       `json:"id"`
	VNI      uint32   `json:"vni"` // VXLAN network identifier, 24 bits (RFC 7348)
	Subnets  []Subnet `json:"subnets,omitempty"`
	MTU      int      `json:"mtu,omitempty"`      // bytes of IP packet; 0: derived from the underlay's
	Unknown  Unknown  `json:"unknown"`            // frames to an unknown MAC
	Learning bool     `json:"learning,omitempty"` // MACs unknown to the store may live behind ports

	// StormLimit is how many broadcasts and multicasts a port may send per second; 0:
	// StormDefault. See StormUnlimited.
	StormLimit      uint32      `json:"storm_limit,omitempty"`
	EtherTypes      []EtherType `json:"ethertypes,omitempty"`       // carried besides IPv4, IPv6 and ARP, ascending
	VLANTransparent bool        `json:"vlan_transparent,omitempty"` // frames with VLAN tags are carried as they are
}

// Subnet is a prefix of a network with its gateway.
type Subnet struct {
	Prefix  netip.Prefix `json:"prefix"`
	Gateway netip.Addr   `json:"gateway"`
}

// Unknown is the policy for unicast frames to an unknown MAC.
type Unknown string

// The policies for unknown unicast.
const (
	UnknownDrop  Unknown = "drop"
	UnknownFlood Unknown = "flood"
)

// Port is where one VM, container or namespace attaches to a network.
type Port struct {
	Tenant  string       `json:"tenant"`
	Network string       `json:"network"`
	Name    string       `json:"name"`
	ID      ID           `json:"id"`
	UUID    string       `json:"uuid"` // for external_ids:iface-id, as an alternative to the name
	MAC     MAC          `json:"mac"`
	Addrs   []netip.Addr `json:"addresses,omitempty"`
	Learn   int          `json:"learn,omitempty"` // how many unknown MACs may live behind it (networks with Learning)
}

// Ref returns the network's name with its tenant.
func (n Network) Ref() NetworkRef { return NetworkRef{n.Tenant, n.Name} }

// Ref returns the port's name with its network and tenant.
func (p Port) Ref() PortRef { return PortRef{p.Tenant, p.Network, p.Name} }

// Host is a machine with an Open vSwitch that ovloomd drives.
type Host struct {
	Name        string     `json:"name"`
	ID          ID         `json:"id"`
	VTEP        netip.Addr `json:"vtep"`                   // where its tunnels end, IPv4
	UnderlayMTU int        `json:"underlay_mtu,omitempty"` // bytes of IP packet
	Datapath    string     `json:"datapath,omitempty"`     // "system" or "netdev"
	Version     string     `json:"version,omitempty"`      // of ovloomd
	Fault       string     `json:"fault,omitempty"`        // why its tunnels do not work, as reported by the host
}

// Binding is the claim of one host that a port is plugged there. Claims of several
// hosts are stored side by side; the one with the highest generation is in force.
type Binding struct {
	Tenant     string `json:"tenant"`
	Network    string `json:"network"`
	Port       string `json:"port"`
	Host       string `json:"host"`
	Generation uint64 `json:"generation"`
	Up         bool   `json:"up,omitempty"` // its host has installed the port's flows

	// Fault is why no packet can reach the port on its host: "interface tap0 was deleted".
	Fault string `json:"fault,omitempty"`
}

// PortRef returns the port that is claimed.
func (b Binding) PortRef() PortRef { return PortRef{b.Tenant, b.Network, b.Port} }

// Winner returns the claim in force: the newest. It returns false without claims.
func Winner(claims []Binding) (Binding, bool) {
	var w Binding
	for _, c := range claims {
		// The host's name only decides between claims with equal generations, which the
		// store never writes.
		if c.Generation > w.Generation || c.Generation == w.Generation && c.Host > w.Host {
			w = c
		}
	}
	return w, len(claims) > 0
}
