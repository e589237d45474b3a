package store

import (
	"github.com/ovloom/ovloom/intent"
)

// Unless it is given, a floating address is the next free address of the external's pool.
// A port has at most one on each external. Nothing uses a floating address.
var floatings = declared[intent.Floating, intent.FloatingRef]{
	class: intent.ClassFloating,
	rank:  rankFloatings,
	in:    func(s *intent.Snapshot) *[]intent.Floating { return &s.Floatings },
	key:   floatingKey,
	parse: func(tenant string, p []string) (intent.Floating, bool) {
		if len(p) != 3 {
			return intent.Floating{}, false
		}
		return intent.Floating{Tenant: tenant, Network: p[0], Port: p[1], External: p[2]}, true
	},
	root: func(within intent.Reference) string { return floatingsRoot(within.(intent.TenantRef).Tenant) },
	missing: func(r intent.FloatingRef) *intent.Error {
		return intent.NotFoundf("port %s has no floating address on external %s", r.PortRef, r.External).
			WithHint("see: ovloom nat floating list %s", r.Tenant)
	},
	exists: func(f intent.Floating) *intent.Error {
		return intent.Conflictf("%s exists", intent.Title(f.Ref())).WithHint("a port has one address of an external")
	},
	valid: intent.Floating.Validate,
	needs: func(f intent.Floating) []intent.Reference {
		return []intent.Reference{f.PortRef(), intent.ExternalRef{External: f.External}}
	},
	fill: func(c *change[intent.Floating]) (err error) {
		if err := reachable(need[intent.Port](c, c.o.PortRef())); err != nil {
			return err
		}
		e := need[intent.External](c, intent.ExternalRef{External: c.o.External})
		if e.Kind != intent.ExternalBridge {
			return intent.Invalidf("external %s is of kind %s: no machine beyond the hosts could reach a floating address of it", e.Name, e.Kind).
				WithHint("use one of kind %s, or forward single ports: ovloom nat forward add", intent.ExternalBridge)
		}
		if c.o.ID, err = c.s.newID(c.ctx); err != nil {
			return err
		}
		if err := c.s.outerApart(c.ctx, &c.tx, e, c.o.Tenant); err != nil {
			return err
		}
		c.o.Address, err = c.s.chooseOutside(c.ctx, e, c.given.Address, c.tries)
		return err
	},
	holds: func(given, f intent.Floating, _ lookup) []hold {
		return []hold{userHold(f.External, f), addressHold(f.External, f.Address, floatingHolder(f.PortRef()), given.Address.IsValid())}
	},
	rules: func(c *change[intent.Floating]) error {
		c.tx.Put(lastOutsideKey(c.o.External), sortable(c.o.Address))
		return nil
	},
}

func init() { keptIn("nat/floating", &floatings) }

// reachable refuses a port to which NAT cannot lead.
func reachable(p intent.Port) error {
	if !hasIPv4(p) {
		return intent.Invalidf("port %s has no IPv4 address", p.Ref()).
			WithHint("NAT is for IPv4 only: give it one: ovloom port set %s --ip ADDRESS", p.Ref())
	}
	return nil
}

// userHold is the hold by which an object is on an external.
func userHold(external string, o intent.Object) hold {
	ref := o.Reference()
	return hold{key: userKey(external, keyOf(ref)), value: intent.Title(ref)}
}
