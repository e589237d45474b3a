// The values that travel: what a client may ask for, and how objects are shown.

package api

import (
	"cmp"
	"net/netip"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// DefaultSocket is where ovloomd listens unless told otherwise.
const DefaultSocket = "/run/ovloom/ovloomd.sock"

// TenantSpec is what a user says about a new tenant.
type TenantSpec struct {
	Name string `json:"name"`
}

// NetworkSpec is what a user says about a new network. What is left out is
// chosen by the store: a VNI, and each subnet's first address as its gateway.
type NetworkSpec struct {
	Name     string          `json:"name"`
	Subnets  []intent.Subnet `json:"subnets,omitempty"`
	VNI      uint32          `json:"vni,omitempty"`
	MTU      int             `json:"mtu,omitempty"` // bytes of IP packet
	Unknown  intent.Unknown  `json:"unknown,omitempty"`
	Learning bool            `json:"learning,omitempty"`

	EtherTypes      []intent.EtherType `json:"ethertypes,omitempty"`
	VLANTransparent bool               `json:"vlan_transparent,omitempty"`
	StormLimit      uint32             `json:"storm_limit,omitempty"` // broadcasts a second of each port; 0: 1000; 4294967295: no bound
}

// NetworkChange is what a user wants different about a network; what is nil
// stays as it is, and what is given replaces all that was there.
type NetworkChange struct {
	Subnets  *[]intent.Subnet `json:"subnets,omitempty"`
	MTU      *int             `json:"mtu,omitempty"`
	Unknown  *intent.Unknown  `json:"unknown,omitempty"`
	Learning *bool            `json:"learning,omitempty"`

	EtherTypes      *[]intent.EtherType `json:"ethertypes,omitempty"`
	VLANTransparent *bool               `json:"vlan_transparent,omitempty"`
	StormLimit      *uint32             `json:"storm_limit,omitempty"`
}

// PortSpec is what a user says about a new port. What is left out is chosen by
// the store: an address of each subnet, and a MAC.
type PortSpec struct {
	Name  string       `json:"name"`
	MAC   intent.MAC   `json:"mac,omitempty"`
	Addrs []netip.Addr `json:"addresses,omitempty"`
	Learn int          `json:"learn,omitempty"` // how many unknown MACs may live behind it
}

// PortChange is what a user wants different about a port, like NetworkChange.
type PortChange struct {
	MAC   *intent.MAC   `json:"mac,omitempty"`
	Addrs *[]netip.Addr `json:"addresses,omitempty"`
	Learn *int          `json:"learn,omitempty"`
}

// PeerSpec is what a user says about a new peer.
type PeerSpec struct {
	Name string     `json:"name"`
	VTEP netip.Addr `json:"vtep"`
}

// Tenant is a tenant with a summary of what it has.
type Tenant struct {
	intent.Tenant
	Networks []string `json:"networks"` // names
	Ports    int      `json:"ports"`
	Hosts    []string `json:"hosts"` // where its ports are bound

	Routes    int           `json:"routes"`
	SNATs     []intent.SNAT `json:"snats"` // at most one
	Floatings int           `json:"floatings"`
	Forwards  int           `json:"forwards"`
}

// Network is a network with a summary of what it has.
type Network struct {
	intent.Network
	Ports  int            `json:"ports"`
	Hosts  []string       `json:"hosts"`  // where its ports are bound
	Routes []netip.Prefix `json:"routes"` // that have a next hop in it
}

// Port is a port, where it is plugged, and what leads to it from beyond its network.
type Port struct {
	intent.Port
	Host   string  `json:"host,omitempty"`  // of the claim in force
	Up     bool    `json:"up"`              // its host has installed its flows
	Fault  string  `json:"fault,omitempty"` // why no packet can reach it there
	Claims []Claim `json:"claims"`          // newest first; more than one is a conflict

	Floatings []intent.Floating `json:"floatings,omitempty"`
	Forwards  []intent.Forward  `json:"forwards,omitempty"`
	Routes    []netip.Prefix    `json:"routes,omitempty"` // that have one of its addresses as a next hop
}

// Claim is one host saying that a port is plugged there.
type Claim struct {
	Host       string `json:"host"`
	Generation uint64 `json:"generation"`
	Up         bool   `json:"up"`
	Fault      string `json:"fault,omitempty"` // why no packet can reach the port there
}

// Host is a host with what has to go before it can be removed.
type Host struct {
	intent.HostState
	Users []string `json:"users"` // as "binding acme/web/c1 on host1"
}

// Version says which build answers.
type Version struct {
	Version string `json:"version"`
}

// version is what the linker was given, by -X; "": nothing.
var version string

// BuildVersion returns the version of the running program: what its builder gave the
// linker (-ldflags "-X github.com/ovloom/ovloom/api.version=v1.2.3"), or what the Go
// toolchain stamped from the source tree's tag or commit; "devel" without either.
func BuildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return strings.Trim(info.Main.Version, "()")
}

// PlugRequest says where on this host a port is to appear: in exactly one of a
// named namespace, the namespace of a process, or as a tap device that exists.
type PlugRequest struct {
	Ref    intent.PortRef `json:"-"`               // from the path
	Netns  string         `json:"netns,omitempty"` // a name that `ip netns list` shows, or an absolute path
	PID    int            `json:"pid,omitempty"`
	Tap    string         `json:"tap,omitempty"`
	Ifname string         `json:"ifname,omitempty"` // inside the namespace; default eth0

	NoDefaultRoute bool `json:"no_default_route,omitempty"` // the namespace gets no default route through the network's gateways
	Take           bool `json:"take,omitempty"`             // from the live host that holds the port
	Force          bool `json:"force,omitempty"`            // a tap of another kind than tap and veth, or one with addresses
}

// DefaultIfname names a plugged port's interface inside its namespace.
const DefaultIfname = "eth0"

// Validate checks that the request names one place that can exist.
func (r PlugRequest) Validate() error {
	given := 0
	for _, is := range []bool{r.Netns != "", r.PID != 0, r.Tap != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return intent.Invalidf("give exactly one of --netns, --pid, --tap and --container to plug port %s into", r.Ref).
			WithHint("such as: ovloom port plug %s --netns NAME; by the API: netns, pid or tap", r.Ref)
	case r.PID < 0:
		return intent.Invalidf("process id %d is negative", r.PID)
	case strings.Contains(r.Netns, "/") && !path.IsAbs(r.Netns) || strings.Contains(r.Netns, "\x00") || r.Netns == "." || r.Netns == "..":
		return intent.Invalidf("namespace %q is malformed", r.Netns).WithHint("give a name that `ip netns list` shows, or an absolute path")
	case r.Tap != "" && r.NoDefaultRoute:
		return intent.Invalidf("a default route makes no sense for tap %s: ovloom sets no routes there", r.Tap).WithHint("leave no_default_route (--no-default-route) out")
	case r.Tap == "" && r.Force:
		return intent.Invalidf("force makes sense for taps only").WithHint("leave it out, or name the interface as tap")
	case r.Tap != "" && r.Ifname != "":
		return intent.Invalidf("an interface name %q is given for tap %s", r.Ifname, r.Tap).WithHint("a tap keeps its name: leave ifname out")
	case r.Tap != "":
		return validateIfname("tap", r.Tap)
	case r.Ifname != "":
		return validateIfname("interface", r.Ifname)
	}
	return nil
}

// validateIfname applies the kernel's rules (dev_valid_name): at most 15 bytes,
// no slash, colon or white space, and not the names of directories.
func validateIfname(what, s string) error {
	if len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r\x00") {
		return intent.Invalidf("%s name %q is malformed", what, s).
			WithHint("at most 15 bytes without slash, colon or white space")
	}
	return nil
}

// PlugResult is what came of plugging a port.
type PlugResult struct {
	Interface string       `json:"interface"`        // on br-int
	Ifname    string       `json:"ifname,omitempty"` // inside the namespace
	MAC       intent.MAC   `json:"mac"`
	Addrs     []netip.Addr `json:"addresses,omitempty"`
	MTU       int          `json:"mtu"` // bytes of IP packet
	Notes     []string     `json:"notes,omitempty"`
}

// FlowQuery chooses flows of this host's switch; its zero value means all.
type FlowQuery struct {
	Object string // "", or a tenant, network or port: acme, acme/web, acme/web/c1
	Table  string // "", or a table's name
}

// Flow is one flow of this host's switch and whose it is.
type Flow struct {
	Table  string `json:"table"`
	Object string `json:"object"`          // as "port acme/web/c1"; "base" for flows that no object owns
	Text   string `json:"flow"`            // as ovs-ofctl writes it
	Words  string `json:"words,omitempty"` // what it does, for people

	Packets uint64 `json:"packets"` // that it was hit by
	Bytes   uint64 `json:"bytes"`
}

// ViewPort joins a port with the claims on it, in any order.
func ViewPort(p intent.Port, claims []intent.Binding) Port {
	v := Port{Port: p, Claims: []Claim{}}
	for _, c := range claims {
		v.Claims = append(v.Claims, Claim{c.Host, c.Generation, c.Up, c.Fault})
	}
	slices.SortFunc(v.Claims, func(a, b Claim) int {
		if a.Generation != b.Generation {
			return cmp.Compare(b.Generation, a.Generation)
		}
		return intent.Natural(a.Host, b.Host)
	})
	if w, ok := intent.Winner(claims); ok {
		v.Host, v.Up, v.Fault = w.Host, w.Up, w.Fault
	}
	return v
}

// leads is what leads to ports of a tenant from beyond their networks.
type leads struct {
	floatings map[intent.PortRef][]intent.Floating
	forwards  map[intent.PortRef][]intent.Forward
	routes    map[netip.Addr][]netip.Prefix // by next hop
}

func leadsOf(routes []intent.Route, floatings []intent.Floating, forwards []intent.Forward) leads {
	l := leads{map[intent.PortRef][]intent.Floating{}, map[intent.PortRef][]intent.Forward{}, map[netip.Addr][]netip.Prefix{}}
	for _, f := range floatings {
		l.floatings[f.PortRef()] = append(l.floatings[f.PortRef()], f)
	}
	for _, f := range forwards {
		l.forwards[f.To] = append(l.forwards[f.To], f)
	}
	for _, r := range routes {
		for _, hop := range r.Via {
			l.routes[hop] = append(l.routes[hop], r.Prefix)
		}
	}
	return l
}

// to returns the port with what leads to it.
func (l leads) to(v Port) Port {
	v.Floatings, v.Forwards = l.floatings[v.Ref()], l.forwards[v.Ref()]
	for _, a := range v.Addrs {
		v.Routes = append(v.Routes, l.routes[a]...)
	}
	slices.SortFunc(v.Floatings, compareFloatings)
	slices.SortFunc(v.Forwards, compareForwards)
	slices.SortFunc(v.Routes, comparePrefixes)
	v.Routes = slices.Compact(v.Routes)
	return v
}
