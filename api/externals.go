package api

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// External is an external with those of its addresses that are in use.
type External struct {
	intent.External
	Used []UsedAddress `json:"used"` // by address
	Free int           `json:"free"` // how many more addresses NAT may use
}

// UsedAddress is an address of an external, and its users.
type UsedAddress struct {
	Address netip.Addr `json:"address"`
	By      []string   `json:"by"` // as "snat acme through internet"
}

// externalAllowed lists prefixes that tenants may reach in addition, or no longer.
type externalAllowed struct {
	Allow   []netip.Prefix `json:"allow,omitempty"`
	NoAllow []netip.Prefix `json:"no_allow,omitempty"`
}

var externalClass = declared[intent.External, intent.ExternalRef]{
	class: intent.ClassExternal,
	at:    "/v1/externals", name: "/{external}",
	values: func(r intent.ExternalRef) []string { return []string{r.External} },
	ref:    func(v values) (intent.ExternalRef, error) { return intent.ExternalRef{External: v("external")}, nil },
	add:    []string{"name", "kind", "subnet", "gateway", "bridge", "vlan", "pool", "mtu", "allow", "underlay"},
	complete: func(e *intent.External) {
		*e = e.WithDefaults()
		if e.Kind == intent.ExternalHost && e.Underlay == "" {
			e.Underlay = intent.UnderlayDeny // not in WithDefaults: a stored external without a choice keeps none
		}
		e.Allow = allowed(nil, e.Allow)
	},
	more: externalAllowed{},
	set:  []string{"pool", "mtu", "underlay", "vlan"},
	amend: func(e *intent.External, more any) error {
		change := more.(externalAllowed)
		allow := slices.Clone(e.Allow)
		for _, p := range change.NoAllow {
			i := slices.Index(allow, p)
			if i < 0 {
				return intent.NotFoundf("prefix %s is not among those that external %s allows", p, e.Name).
					WithHint("`ovloom external show %s` lists them", e.Name)
			}
			allow = slices.Delete(allow, i, i+1)
		}
		e.Allow = allowed(allow, change.Allow)
		return nil
	},
	show: func(ctx context.Context, s *Server, ref intent.ExternalRef) (any, error) {
		e, err := intent.As[intent.External](s.backend.Store.Get(ctx, ref))
		if err != nil {
			return nil, err
		}
		used, err := s.usedAddresses(ctx, ref.External)
		return External{External: e, Used: used, Free: addressCount(e) - len(used)}, err
	},
	docs: documented[intent.External]{
		one: "external", several: "externals", remove: "Delete an external",
		add:     "Add an external: of kind `host`, through the hosts' own routing, or of kind `bridge`, through a bridge that leads to a segment outside. What is left out is chosen: the range of one of kind `host`, the gateway, the MTU.",
		show:    "One external, and which of its addresses are used for what.",
		set:     "Change an external: what tenants may reach besides (`allow`) and no longer (`no_allow`); of kind `bridge` also its VLAN, pool and MTU. What is left out stays; null takes VLAN, pool, MTU and underlay back to their defaults.",
		example: exampleInternet, given: intent.External{Name: "internet", Kind: intent.ExternalHost},
		changed: map[string]any{"allow": []netip.Prefix{netip.MustParsePrefix("192.0.2.5/32")}},
		shown:   External{exampleInternet, []UsedAddress{{exampleSNAT.Address, []string{"snat acme through internet", "forward acme internet tcp/8080"}}}, 65532},
		listed:  []intent.External{exampleCampus, exampleInternet}, deleted: []string{"snat acme through internet"}, revisions: [3]int64{65, 66, 67},
	},
}

// allowed returns the union of prefixes and more, in order.
func allowed(prefixes, more []netip.Prefix) []netip.Prefix {
	for _, p := range more {
		if !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	slices.SortFunc(prefixes, comparePrefixes)
	return prefixes
}

// usedAddresses collects the addresses of an external that tenants' NAT uses.
func (s *Server) usedAddresses(ctx context.Context, external string) ([]UsedAddress, error) {
	users, err := s.backend.Store.Users(ctx, intent.ExternalRef{External: external})
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

// tenantsOf returns the tenants of an external's users.
func tenantsOf(users []intent.Reference) []string {
	var names []string
	for _, u := range users {
		switch r := u.(type) {
		case intent.SNATRef:
			names = append(names, r.Tenant)
		case intent.FloatingRef:
			names = append(names, r.Tenant)
		case intent.ForwardRef:
			names = append(names, r.Tenant)
		}
	}
	slices.SortFunc(names, intent.Natural)
	return slices.Compact(names)
}

// addressCount returns how many addresses of an external NAT may use.
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
