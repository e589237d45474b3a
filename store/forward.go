package store

import (
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

// All forwards of a tenant on an external share one address, with kind host also with the
// tenant's SNAT; if there is none yet, the address is chosen unless it is given. On
// externals of kind host, forwards also apply to the hosts' own addresses, so that each
// port of a protocol belongs to one tenant. Nothing uses a forward. With the last forward,
// the tenant's address is released.
var forwards = declared[intent.Forward, intent.ForwardRef]{
	class: intent.ClassForward,
	rank:  rankForwards,
	in:    func(s *intent.Snapshot) *[]intent.Forward { return &s.Forwards },
	key:   forwardKey,
	parse: func(tenant string, p []string) (intent.Forward, bool) {
		if len(p) != 3 {
			return intent.Forward{}, false
		}
		port, err := strconv.ParseUint(p[2], 10, 16)
		return intent.Forward{Tenant: tenant, External: p[0], Protocol: intent.Protocol(p[1]), Port: uint16(port)}, err == nil
	},
	root: func(within intent.Reference) string { return forwardsRoot(within.(intent.TenantRef).Tenant) },
	missing: func(r intent.ForwardRef) *intent.Error {
		return intent.NotFoundf("forward %s does not exist", r).WithHint("see: ovloom nat forward list %s", r.Tenant)
	},
	exists: func(f intent.Forward) *intent.Error {
		return intent.Conflictf("%s exists", intent.Title(f.Ref())).WithHint("choose another port, or delete that first")
	},
	valid: intent.Forward.Validate,
	needs: func(f intent.Forward) []intent.Reference {
		return []intent.Reference{f.To, intent.ExternalRef{External: f.External}}
	},
	fill: func(c *change[intent.Forward]) (err error) {
		if err := reachable(need[intent.Port](c, c.o.To)); err != nil {
			return err
		}
		if c.o.ID, err = c.s.newID(c.ctx); err != nil {
			return err
		}
		e := need[intent.External](c, intent.ExternalRef{External: c.o.External})
		if err := c.s.outerApart(c.ctx, &c.tx, e, c.o.Tenant); err != nil {
			return err
		}
		c.o.Address, err = c.s.join(c.ctx, &c.tx, e, intent.SNATRef{Tenant: c.o.Tenant, External: e.Name}, c.given.Address, c.tries)
		return err
	},
	looks: func(r intent.ForwardRef) []intent.Reference {
		return []intent.Reference{intent.ExternalRef{External: r.External}}
	},
	holds: func(_, f intent.Forward, look lookup) []hold {
		title := intent.Title(f.Ref())
		holds := []hold{userHold(f.External, f), {key: targetKey(f), value: title}, sharedHold(f.External, f.Address, f.Tenant)}
		if e, _ := look(intent.ExternalRef{External: f.External}); e != nil && e.(intent.External).Kind == intent.ExternalHost {
			holds = append(holds, hold{key: hostForwardKey(f.Protocol, f.Port), value: title, taken: func(holder string) error {
				return intent.Conflictf("%s port %d of the hosts is taken by %s", f.Protocol, f.Port, holder).WithHint("choose another port")
			}})
		}
		return holds
	},
	leave: func(c *change[intent.Forward]) error {
		return c.s.part(c.ctx, &c.tx, intent.SNATRef{Tenant: c.old.Tenant, External: c.old.External}, c.old.Address)
	},
}

func init() { keptIn("nat/forward", &forwards) }
