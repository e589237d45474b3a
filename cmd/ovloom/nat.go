// ovloom nat; snat.go, floating.go and forward.go have its objects.

package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) natCommand() *cli.Command {
	return &cli.Command{
		Name: "nat", Usage: "NAT: how tenants reach the outside, and are reached from it",
		Description: `   ovloom nat snat add acme --external internet
   ovloom nat floating add acme/web/c1 --external campus
   ovloom nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80
   ovloom nat list acme`,
		Subcommands: []*cli.Command{
			p.noun(snats), p.noun(floatings), p.noun(forwards),
			p.takes(&cli.Command{Name: "list", Usage: "list the NAT of all tenants or of one", Action: p.natList,
				Description: "   ovloom nat list\n   ovloom nat list acme -o json"}, optional(intent.ClassTenant)),
		},
	}
}

func (p *program) natList(c *cli.Context) error {
	within, err := p.within(c, []intent.Class{intent.ClassTenant})
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	tenant := ""
	if within != nil {
		tenant = within.String()
	}
	nat, err := p.client.NAT(ctx, tenant)
	if err != nil {
		return err
	}
	return p.print(nat, func(out io.Writer) {
		var rows [][]string
		for _, n := range nat.SNATs {
			rows = append(rows, []string{"snat", n.External, snatAddresses(n), "all ports of " + n.Tenant})
		}
		for _, f := range nat.Floatings {
			rows = append(rows, []string{"floating", f.External, f.Address.String(), f.PortRef().String()})
		}
		for _, f := range nat.Forwards {
			rows = append(rows, []string{"forward", f.External, outside(f), target(f)})
		}
		table(out, []string{"KIND", "EXTERNAL", "OUTSIDE", "INSIDE"}, rows)
	})
}

// externalsOf returns the externals of a tenant's matching objects of a class; external
// returns "" for an object that does not match.
func externalsOf[L intent.Object](ctx context.Context, c *api.Client, class intent.Class, tenant string, external func(L) string) ([]string, error) {
	all, err := api.List[L](ctx, c, class, intent.TenantRef{Tenant: tenant})
	var by []string
	for _, o := range all {
		if e := external(o); e != "" {
			by = append(by, e)
		}
	}
	return by, err
}
