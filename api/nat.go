// NAT: values and handlers. natcalls.go has the client's calls.

package api

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

// NATStore keeps what tenants have of NAT. Nothing uses any of it.
type NATStore interface {
	SNATs(ctx context.Context, tenant string) ([]intent.SNAT, error)
	SNAT(ctx context.Context, ref intent.SNATRef) (intent.SNAT, error)
	AddSNAT(ctx context.Context, v intent.SNAT) (intent.SNAT, int64, error)
	SetSNAT(ctx context.Context, ref intent.SNATRef, edit func(*intent.SNAT) error) (intent.SNAT, int64, error)
	DeleteSNAT(ctx context.Context, ref intent.SNATRef) (deleted []string, revision int64, err error)

	Floatings(ctx context.Context, tenant string) ([]intent.Floating, error)
	Floating(ctx context.Context, ref intent.FloatingRef) (intent.Floating, error)
	AddFloating(ctx context.Context, v intent.Floating) (intent.Floating, int64, error)
	DeleteFloating(ctx context.Context, ref intent.FloatingRef) (deleted []string, revision int64, err error)

	Forwards(ctx context.Context, tenant string) ([]intent.Forward, error)
	Forward(ctx context.Context, ref intent.ForwardRef) (intent.Forward, error)
	AddForward(ctx context.Context, v intent.Forward) (intent.Forward, int64, error)
	DeleteForward(ctx context.Context, ref intent.ForwardRef) (deleted []string, revision int64, err error)

	// NATAddresses lists what hosts have taken from the pools of externals.
	NATAddresses(ctx context.Context, tenant string) ([]intent.NATAddress, error)
}

// SNATSpec is what a user says about a new SNAT.
type SNATSpec struct {
	External       string     `json:"external"`
	Address        netip.Addr `json:"address,omitzero"`          // of an external of kind host; chosen, if left out
	MaxConnections uint32     `json:"max_connections,omitempty"` // on one host; 0: 16000; 4294967295: no bound
}

// SNATChange is what a user wants different about a SNAT, like NetworkChange.
type SNATChange struct {
	MaxConnections *uint32 `json:"max_connections,omitempty"`
}

// FloatingSpec is what a user says about a port's new floating address. An
// address that is left out is chosen.
type FloatingSpec struct {
	External string     `json:"external"`
	Address  netip.Addr `json:"address,omitzero"`
}

// ForwardSpec is what a user says about a new forward. An address that is left out
// is the one that the tenant has there, or chosen.
type ForwardSpec struct {
	External string          `json:"external"`
	Address  netip.Addr      `json:"address,omitzero"`
	Protocol intent.Protocol `json:"protocol"`
	Port     uint16          `json:"port"` // outside
	To       intent.PortRef  `json:"to"`
	ToPort   uint16          `json:"to_port"`
}

// NAT is all NAT of one tenant, or of all.
type NAT struct {
	SNATs     []SNAT            `json:"snats"`
	Floatings []intent.Floating `json:"floatings"`
	Forwards  []intent.Forward  `json:"forwards"`
}

// SNAT is a SNAT with the addresses that hosts have taken for it.
type SNAT struct {
	intent.SNAT
	Hosts []HostAddress `json:"hosts"` // none where one address is for all hosts
}

// HostAddress is an address that a host has taken.
type HostAddress struct {
	Host    string     `json:"host"`
	Address netip.Addr `json:"address"`
}

// Floating is a floating address with the port that has it.
type Floating struct {
	intent.Floating
	Inside []netip.Addr `json:"inside"`         // the port's own addresses
	Host   string       `json:"host,omitempty"` // where the port is plugged
}

// Forward is a forward with the port that it leads to.
type Forward struct {
	intent.Forward
	Inside []netip.Addr `json:"inside"`         // the port's own addresses
	Host   string       `json:"host,omitempty"` // where the port is plugged
}

func (c *call) snat() (intent.SNATRef, error) {
	ref := intent.SNATRef{Tenant: c.r.PathValue("tenant"), External: c.r.PathValue("external")}
	if err := intent.ValidateName("tenant", ref.Tenant); err != nil {
		return ref, err
	}
	return ref, intent.ValidateName("external", ref.External)
}

func (c *call) floating() (intent.FloatingRef, error) {
	port, err := c.port()
	if err != nil {
		return intent.FloatingRef{}, err
	}
	external, err := c.external()
	return intent.FloatingRef{PortRef: port, External: external}, err
}

func (c *call) forward() (intent.ForwardRef, error) {
	snat, err := c.snat() // named by the same
	if err != nil {
		return intent.ForwardRef{}, err
	}
	ref := intent.ForwardRef{Tenant: snat.Tenant, External: snat.External, Protocol: intent.Protocol(c.r.PathValue("protocol"))}
	if err := ref.Protocol.Validate(); err != nil {
		return ref, err
	}
	n, err := strconv.ParseUint(c.r.PathValue("number"), 10, 16)
	if err != nil || n == 0 {
		return ref, intent.Invalidf("%s port %q is malformed", ref.Protocol, c.r.PathValue("number")).WithHint("choose between 1 and 65535")
	}
	ref.Port = uint16(n)
	return ref, nil
}

// nat lists the NAT of all tenants or of one.
func (s *Server) nat(c *call) (any, error) {
	names, err := s.scope(c)
	if err != nil {
		return nil, err
	}
	all := NAT{SNATs: []SNAT{}, Floatings: []intent.Floating{}, Forwards: []intent.Forward{}}
	for _, name := range names {
		v, err := s.natOf(c.r.Context(), name)
		if err != nil && !goneMeanwhile(c, err) {
			return nil, err
		}
		all.SNATs = append(all.SNATs, v.SNATs...)
		all.Floatings = append(all.Floatings, v.Floatings...)
		all.Forwards = append(all.Forwards, v.Forwards...)
	}
	slices.SortFunc(all.SNATs, func(a, b SNAT) int {
		return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.External, b.External))
	})
	slices.SortFunc(all.Floatings, compareFloatings)
	slices.SortFunc(all.Forwards, compareForwards)
	return all, nil
}

func compareFloatings(a, b intent.Floating) int {
	return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.Network, b.Network), intent.Natural(a.Port, b.Port), intent.Natural(a.External, b.External))
}

func compareForwards(a, b intent.Forward) int {
	return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.External, b.External), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}

// natOf returns the NAT of a tenant, in any order.
func (s *Server) natOf(ctx context.Context, tenant string) (NAT, error) {
	store := s.backend.Store
	snats, err := store.SNATs(ctx, tenant)
	if err != nil {
		return NAT{}, err
	}
	taken, err := store.NATAddresses(ctx, tenant)
	if err != nil {
		return NAT{}, err
	}
	v := NAT{}
	for _, n := range snats {
		v.SNATs = append(v.SNATs, viewSNAT(n, taken))
	}
	if v.Floatings, err = store.Floatings(ctx, tenant); err != nil {
		return NAT{}, err
	}
	v.Forwards, err = store.Forwards(ctx, tenant)
	return v, err
}

// viewSNAT joins a SNAT with what hosts have taken for it.
func viewSNAT(n intent.SNAT, taken []intent.NATAddress) SNAT {
	v := SNAT{SNAT: n, Hosts: []HostAddress{}}
	for _, a := range taken {
		if a.Tenant == n.Tenant && a.External == n.External {
			v.Hosts = append(v.Hosts, HostAddress{a.Host, a.Address})
		}
	}
	slices.SortFunc(v.Hosts, func(a, b HostAddress) int { return intent.Natural(a.Host, b.Host) })
	return v
}

func (s *Server) addSNAT(c *call) (any, error) {
	var spec SNATSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	n := intent.SNAT{Tenant: c.r.PathValue("tenant"), External: spec.External, Address: spec.Address, MaxConnections: spec.MaxConnections}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	n, rev, err := s.backend.Store.AddSNAT(c.r.Context(), n)
	return Written{Revision: rev, Object: n}, err
}

func (s *Server) snat(c *call) (any, error) {
	ref, err := c.snat()
	if err != nil {
		return nil, err
	}
	n, err := s.backend.Store.SNAT(c.r.Context(), ref)
	if err != nil {
		return nil, err
	}
	taken, err := s.backend.Store.NATAddresses(c.r.Context(), ref.Tenant)
	return viewSNAT(n, taken), err
}

func (s *Server) setSNAT(c *call) (any, error) {
	ref, err := c.snat()
	if err != nil {
		return nil, err
	}
	var change SNATChange
	if err := c.body(&change); err != nil {
		return nil, err
	}
	if change == (SNATChange{}) {
		return nil, nothingToChange("snat "+ref.String(), &change)
	}
	n, rev, err := s.backend.Store.SetSNAT(c.r.Context(), ref, func(n *intent.SNAT) error {
		set(&n.MaxConnections, change.MaxConnections)
		return nil
	})
	return Written{Revision: rev, Object: n}, err
}

func (s *Server) deleteSNAT(c *call) (any, error) {
	ref, err := c.snat()
	if err != nil {
		return nil, err
	}
	return removeUnused(c, "snat "+ref.String(),
		func(ctx context.Context) error { _, err := s.backend.Store.SNAT(ctx, ref); return err },
		func(ctx context.Context) ([]string, int64, error) { return s.backend.Store.DeleteSNAT(ctx, ref) })
}

func (s *Server) addFloating(c *call) (any, error) {
	port, err := c.port()
	if err != nil {
		return nil, err
	}
	var spec FloatingSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	f := intent.Floating{Tenant: port.Tenant, Network: port.Network, Port: port.Port, External: spec.External, Address: spec.Address}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	f, rev, err := s.backend.Store.AddFloating(c.r.Context(), f)
	return Written{Revision: rev, Object: f}, err
}

func (s *Server) floating(c *call) (any, error) {
	ref, err := c.floating()
	if err != nil {
		return nil, err
	}
	f, err := s.backend.Store.Floating(c.r.Context(), ref)
	if err != nil {
		return nil, err
	}
	inside, host, err := s.where(c.r.Context(), ref.PortRef)
	return Floating{f, inside, host}, err
}

// where returns the addresses of a port, and the host where it is plugged.
func (s *Server) where(ctx context.Context, ref intent.PortRef) (inside []netip.Addr, host string, err error) {
	p, err := s.backend.Store.Port(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	claims, err := s.backend.Store.Bindings(ctx, ref)
	v := ViewPort(p, claims)
	return list(v.Addrs), v.Host, err
}

func (s *Server) deleteFloating(c *call) (any, error) {
	ref, err := c.floating()
	if err != nil {
		return nil, err
	}
	return removeUnused(c, "floating "+ref.String(),
		func(ctx context.Context) error { _, err := s.backend.Store.Floating(ctx, ref); return err },
		func(ctx context.Context) ([]string, int64, error) { return s.backend.Store.DeleteFloating(ctx, ref) })
}

func (s *Server) addForward(c *call) (any, error) {
	var spec ForwardSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	f := intent.Forward{Tenant: c.r.PathValue("tenant"), External: spec.External, Address: spec.Address, Protocol: spec.Protocol, Port: spec.Port,
		To: spec.To, ToPort: spec.ToPort}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	f, rev, err := s.backend.Store.AddForward(c.r.Context(), f)
	return Written{Revision: rev, Object: f}, err
}

func (s *Server) forward(c *call) (any, error) {
	ref, err := c.forward()
	if err != nil {
		return nil, err
	}
	f, err := s.backend.Store.Forward(c.r.Context(), ref)
	if err != nil {
		return nil, err
	}
	inside, host, err := s.where(c.r.Context(), f.To)
	return Forward{f, inside, host}, err
}

func (s *Server) deleteForward(c *call) (any, error) {
	ref, err := c.forward()
	if err != nil {
		return nil, err
	}
	return removeUnused(c, "forward "+ref.String(),
		func(ctx context.Context) error { _, err := s.backend.Store.Forward(ctx, ref); return err },
		func(ctx context.Context) ([]string, int64, error) { return s.backend.Store.DeleteForward(ctx, ref) })
}

var snatClass = declared[intent.SNAT, intent.SNATRef]{
	class: intent.ClassSNAT,
	at:    "/v1/tenants/{tenant}/snats", name: "/{external}",
	values: func(r intent.SNATRef) []string { return []string{r.Tenant, r.External} },
	within: "nat", listed: "snats",
	add: []string{"external", "address", "max_connections"},
	set: []string{"max_connections"},
}

var floatingClass = declared[intent.Floating, intent.FloatingRef]{
	class: intent.ClassFloating,
	at:    "/v1/tenants/{tenant}/networks/{network}/ports/{port}/floatings", name: "/{external}",
	values: func(r intent.FloatingRef) []string { return []string{r.Tenant, r.Network, r.Port, r.External} },
	within: "nat", listed: "floatings",
	add: []string{"external", "address"},
}

var forwardClass = declared[intent.Forward, intent.ForwardRef]{
	class: intent.ClassForward,
	at:    "/v1/tenants/{tenant}/forwards", name: "/{external}/{protocol}/{number}",
	values: func(r intent.ForwardRef) []string {
		return []string{r.Tenant, r.External, string(r.Protocol), strconv.Itoa(int(r.Port))}
	},
	within: "nat", listed: "forwards",
	add: []string{"external", "address", "protocol", "port", "to", "to_port"},
}
