// Externals, the ways out of the overlay: values, handlers, and the client's calls.

package api

import (
	"context"
	"encoding/binary"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// ExternalStore keeps externals.
type ExternalStore interface {
	Externals(ctx context.Context) ([]intent.External, error)
	External(ctx context.Context, name string) (intent.External, error)
	AddExternal(ctx context.Context, e intent.External) (intent.External, int64, error)
	SetExternal(ctx context.Context, name string, edit func(*intent.External) error) (intent.External, int64, error)
	ExternalUsers(ctx context.Context, name string) ([]string, error)
	DeleteExternal(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error)
}

// ExternalSpec is what a user says about a new external. What is left out is
// chosen: the range of one of kind host, the gateway, the MTU.
type ExternalSpec struct {
	Name    string              `json:"name"`
	Kind    intent.ExternalKind `json:"kind"`
	Subnet  netip.Prefix        `json:"subnet,omitzero"`
	Gateway netip.Addr          `json:"gateway,omitzero"`
	Bridge  string              `json:"bridge,omitempty"`
	VLAN    uint16              `json:"vlan,omitempty"`
	Pool    intent.AddrRange    `json:"pool,omitzero"`
	MTU     int                 `json:"mtu,omitempty"` // bytes of IP packet
	Allow   []netip.Prefix      `json:"allow,omitempty"`

	Underlay intent.UnderlayAccess `json:"underlay,omitempty"` // kind host; "": deny
}

// ExternalChange is what a user wants different about an external: what tenants
// may reach besides, and no longer; and what replaces what there is, unless it is
// nil.
type ExternalChange struct {
	Allow   []netip.Prefix    `json:"allow,omitempty"`
	NoAllow []netip.Prefix    `json:"no_allow,omitempty"`
	Pool    *intent.AddrRange `json:"pool,omitempty"`
	MTU     *int              `json:"mtu,omitempty"` // bytes of IP packet

	Underlay *intent.UnderlayAccess `json:"underlay,omitempty"`
	VLAN     *uint16                `json:"vlan,omitempty"`
}

// IsZero says whether the change changes nothing.
func (ch ExternalChange) IsZero() bool {
	return len(ch.Allow)+len(ch.NoAllow) == 0 && ch.Pool == nil && ch.MTU == nil && ch.VLAN == nil && ch.Underlay == nil
}

// External is an external with the addresses of it that are in use.
type External struct {
	intent.External
	Used []UsedAddress `json:"used"` // by address
	Free int           `json:"free"` // how many more there are
}

// UsedAddress is an address of an external, and what it is used for.
type UsedAddress struct {
	Address netip.Addr `json:"address"`
	By      []string   `json:"by"` // as "snat acme through internet"
}

// apply edits an external as the change says.
func (ch ExternalChange) apply(e *intent.External) error {
	allow := slices.Clone(e.Allow)
	for _, p := range ch.NoAllow {
		i := slices.Index(allow, p)
		if i < 0 {
			return intent.NotFoundf("prefix %s is not among those that external %s allows", p, e.Name).
				WithHint("`ovloom external show %s` lists them", e.Name)
		}
		allow = slices.Delete(allow, i, i+1)
	}
	for _, p := range ch.Allow {
		if !slices.Contains(allow, p) {
			allow = append(allow, p)
		}
	}
	slices.SortFunc(allow, comparePrefixes)
	e.Allow = allow
	set(&e.Pool, ch.Pool)
	set(&e.MTU, ch.MTU)
	set(&e.Underlay, ch.Underlay)
	set(&e.VLAN, ch.VLAN)
	return nil
}

func (c *call) external() (string, error) {
	name := c.r.PathValue("external")
	return name, intent.ValidateName("external", name)
}

func (s *Server) externals(c *call) (any, error) {
	es, err := s.backend.Store.Externals(c.r.Context())
	slices.SortFunc(es, func(a, b intent.External) int { return intent.Natural(a.Name, b.Name) })
	return list(es), err
}

func (s *Server) addExternal(c *call) (any, error) {
	var spec ExternalSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	e := intent.External{Name: spec.Name, Kind: spec.Kind, Subnet: spec.Subnet, Gateway: spec.Gateway,
		Bridge: spec.Bridge, VLAN: spec.VLAN, Pool: spec.Pool, MTU: spec.MTU, Underlay: spec.Underlay}.WithDefaults()
	if e.Kind == intent.ExternalHost && e.Underlay == "" {
		e.Underlay = intent.UnderlayDeny // not in WithDefaults: a stored one without a choice keeps none
	}
	if err := (ExternalChange{Allow: spec.Allow}).apply(&e); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	e, rev, err := s.backend.Store.AddExternal(c.r.Context(), e)
	return Written{Revision: rev, Object: e}, err
}

// external returns an external and the addresses of it that are in use.
func (s *Server) external(c *call) (any, error) {
	name, err := c.external()
	if err != nil {
		return nil, err
	}
	e, err := s.backend.Store.External(c.r.Context(), name)
	if err != nil {
		return nil, err
	}
	used, err := s.usedAddresses(c.r.Context(), name)
	return External{External: e, Used: used, Free: addressCount(e) - len(used)}, err
}

// usedAddresses collects the addresses of an external that the NAT of tenants uses.
func (s *Server) usedAddresses(ctx context.Context, external string) ([]UsedAddress, error) {
	users, err := s.backend.Store.ExternalUsers(ctx, external)
	if err != nil {
		return nil, err
	}
	by := map[netip.Addr][]string{}
	use := func(through string, a netip.Addr, what string) {
		if through == external && a.IsValid() {
			by[a] = append(by[a], what)
		}
	}
	for _, tenant := range tenantsOf(users) {
		nat, err := s.natOf(ctx, tenant)
		if err != nil && intent.KindOf(err) != intent.NotFound { // deleted meanwhile
			return nil, err
		}
		for _, v := range nat.SNATs {
			use(v.External, v.Address, "snat "+v.Ref().String())
			for _, h := range v.Hosts {
				use(v.External, h.Address, "snat "+v.Ref().String()+" on "+h.Host)
			}
		}
		for _, v := range nat.Floatings {
			use(v.External, v.Address, "floating "+v.Ref().String())
		}
		for _, v := range nat.Forwards {
			use(v.External, v.Address, "forward "+v.Ref().String())
		}
	}
	used := []UsedAddress{}
	for a, what := range by {
		used = append(used, UsedAddress{a, what})
	}
	slices.SortFunc(used, func(a, b UsedAddress) int { return a.Address.Compare(b.Address) })
	return used, nil
}

// tenantsOf returns the tenants that the users of an external are of. Each is named
// as a snat, a floating address or a forward: "floating acme/web/c1 on campus".
func tenantsOf(users []string) []string {
	var names []string
	for _, u := range users {
		if words := strings.Fields(u); len(words) > 1 {
			name, _, _ := strings.Cut(words[1], "/")
			names = append(names, name)
		}
	}
	slices.SortFunc(names, intent.Natural)
	return slices.Compact(names)
}

// addressCount returns how many addresses NAT may use of an external.
func addressCount(e intent.External) int {
	r := e.Addresses()
	if !r.First.Is4() || !r.Last.Is4() {
		return 0
	}
	first, last := r.First.As4(), r.Last.As4()
	n := int(binary.BigEndian.Uint32(last[:])) - int(binary.BigEndian.Uint32(first[:])) + 1
	if r.Contains(e.Gateway) {
		n--
	}
	return n
}

func (s *Server) setExternal(c *call) (any, error) {
	name, err := c.external()
	if err != nil {
		return nil, err
	}
	var change ExternalChange
	if err := c.body(&change); err != nil {
		return nil, err
	}
	if change.IsZero() {
		return nil, nothingToChange("external "+name, &change)
	}
	e, rev, err := s.backend.Store.SetExternal(c.r.Context(), name, change.apply)
	return Written{Revision: rev, Object: e}, err
}

func (s *Server) deleteExternal(c *call) (any, error) {
	name, err := c.external()
	if err != nil {
		return nil, err
	}
	return remove(c, "external "+name,
		func(ctx context.Context) ([]string, error) { return s.backend.Store.ExternalUsers(ctx, name) },
		func(ctx context.Context, cascade bool) ([]string, int64, error) {
			return s.backend.Store.DeleteExternal(ctx, name, cascade)
		})
}

// Externals returns all externals, by name.
func (c *Client) Externals(ctx context.Context) ([]intent.External, error) {
	var v []intent.External
	err := c.do(ctx, http.MethodGet, "/v1/externals", nil, nil, &v)
	return v, err
}

// External returns an external and the addresses of it that are in use.
func (c *Client) External(ctx context.Context, name string) (External, error) {
	var v External
	err := c.do(ctx, http.MethodGet, externalPath(name), nil, nil, &v)
	return v, err
}

// AddExternal adds an external; the answer holds it and the revision.
func (c *Client) AddExternal(ctx context.Context, spec ExternalSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, "/v1/externals", nil, spec)
}

// SetExternal changes an external; the answer holds it and the revision.
func (c *Client) SetExternal(ctx context.Context, name string, change ExternalChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, externalPath(name), nil, change)
}

// DeleteExternal deletes an external. What was deleted is answered even with an error.
func (c *Client) DeleteExternal(ctx context.Context, name string, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, externalPath(name), m.query(), nil)
}

func externalPath(name string) string { return "/v1/externals/" + url.PathEscape(name) }

var externalClass = declared[intent.External, intent.ExternalRef]{
	class: intent.ClassExternal,
	at:    "/v1/externals", name: "/{external}",
	values: func(r intent.ExternalRef) []string { return []string{r.External} },
	add:    []string{"name", "kind", "subnet", "gateway", "bridge", "vlan", "pool", "mtu", "allow", "underlay"},
}
