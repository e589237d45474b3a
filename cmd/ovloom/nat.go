// ovloom nat, and its snat; floating.go and forward.go have the others.

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

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
			p.snatCommand(), p.floatingCommand(), p.forwardCommand(),
			{Name: "list", Usage: "list the NAT of all tenants or of one", ArgsUsage: "[TENANT]", Action: p.natList,
				Description: "   ovloom nat list\n   ovloom nat list acme -o json"},
		},
	}
}

// externalFlag names the external of an object of NAT.
func externalFlag() cli.Flag {
	return &cli.StringFlag{Name: "external", Usage: "`EXTERNAL` that it is by; need not be given if there is only one"}
}

func (p *program) snatCommand() *cli.Command {
	limit := func() cli.Flag {
		return &cli.Uint64Flag{Name: "max-connections", Usage: fmt.Sprintf("at most `N` connections at a time on each host, if not given %d; 0: no limit", intent.DefaultConnections)}
	}
	return &cli.Command{
		Name: "snat", Usage: "source NAT for a tenant",
		Description: `   ovloom nat snat add acme
   ovloom nat snat show acme`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add source NAT for a tenant", ArgsUsage: "TENANT", Action: p.snatAdd,
				Flags: []cli.Flag{externalFlag(),
					&cli.StringFlag{Name: "address", Usage: "of an external with --host: `ADDRESS` of its range; chosen, unless given"}, limit()},
				Description: `A tenant has one way out. By an external with --host, it has one address on all hosts, which each host hides behind its own; by one with --bridge, each host takes an address of the pool when it has a port of the tenant.

   ovloom nat snat add acme --external internet
   ovloom nat snat add acme
   ovloom nat snat add acme --external campus --max-connections 20000`},
			{Name: "set", Usage: "change the limit of connections", ArgsUsage: "TENANT", Flags: []cli.Flag{limit()}, Action: p.snatSet,
				Description: "   ovloom nat snat set acme --max-connections 20000\n   ovloom nat snat set acme --max-connections 0"},
			{Name: "list", Usage: "list the source NAT of all tenants or of one", ArgsUsage: "[TENANT]", Action: p.snatList,
				Description: "   ovloom nat snat list\n   ovloom nat snat list -o json"},
			{Name: "show", Usage: "show the source NAT of a tenant", ArgsUsage: "TENANT", Action: p.snatShow,
				Description: "   ovloom nat snat show acme"},
			{Name: "delete", Usage: "delete the source NAT of a tenant", ArgsUsage: "TENANT", Flags: deleteFlags(), Action: p.snatDelete,
				Description: "The connections that left by it end.\n\n   ovloom nat snat delete acme"},
		},
	}
}

// limitFlag reads --max-connections: the limit as a SNAT has it.
func limitFlag(c *cli.Context) (uint32, error) {
	n := c.Uint64("max-connections")
	if !c.IsSet("max-connections") {
		return 0, nil // the default
	}
	if n == 0 {
		return intent.UnlimitedConnections, nil
	}
	if n > math.MaxUint32 {
		return 0, intent.Invalidf("limit of connections %d is out of range", n).WithHint("choose between 1 and %d; 0: no limit", uint32(math.MaxUint32))
	}
	return uint32(n), nil
}

func (p *program) snatAdd(c *cli.Context) error {
	tenant, err := tenantArgument(c)
	if err != nil {
		return err
	}
	spec := api.SNATSpec{}
	if spec.MaxConnections, err = limitFlag(c); err != nil {
		return err
	}
	if c.IsSet("address") {
		if spec.Address, err = intent.ParseAddr(c.String("address")); err != nil {
			return err
		}
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if spec.External, err = p.chooseExternal(ctx, c, ""); err != nil {
		return err
	}
	w, err := p.client.AddSNAT(ctx, tenant, spec)
	if err != nil {
		return err
	}
	as := "its ports go out as " + object[intent.SNAT](w).Address.String()
	if !object[intent.SNAT](w).Address.IsValid() {
		as = "each host takes an address for its ports"
	}
	return p.written(c, tenant, w.Revision, object[intent.SNAT](w), fmt.Sprintf("snat %s added: %s", object[intent.SNAT](w).Ref(), as))
}

// tenantSNAT finds the only SNAT of a tenant.
func (p *program) tenantSNAT(ctx context.Context, tenant string) (intent.SNATRef, error) {
	nat, err := p.client.NAT(ctx, tenant)
	if err != nil {
		return intent.SNATRef{}, err
	}
	if len(nat.SNATs) == 0 {
		return intent.SNATRef{}, intent.NotFoundf("tenant %s has no snat", tenant).WithHint("add one with `ovloom nat snat add %s`", tenant)
	}
	return nat.SNATs[0].Ref(), nil
}

func (p *program) snatSet(c *cli.Context) error {
	tenant, err := tenantArgument(c)
	if err != nil {
		return err
	}
	if !c.IsSet("max-connections") {
		return intent.Invalidf("nothing is given to change about the snat of tenant %s", tenant).WithHint("see `ovloom nat snat set --help`")
	}
	limit, err := limitFlag(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.tenantSNAT(ctx, tenant)
	if err != nil {
		return err
	}
	w, err := p.client.SetSNAT(ctx, ref, api.SNATChange{MaxConnections: &limit})
	if err != nil {
		return err
	}
	return p.written(c, tenant, w.Revision, object[intent.SNAT](w), fmt.Sprintf("snat %s changed: connections %s", ref, limitText(limit)))
}

func limitText(n uint32) string {
	limit, limited := intent.SNAT{MaxConnections: n}.Limit()
	switch {
	case !limited:
		return "not limited"
	case n == 0:
		return fmt.Sprintf("at most %d on a host, the default", limit)
	}
	return fmt.Sprintf("at most %d on a host", limit)
}

func (p *program) snatList(c *cli.Context) error {
	nat, err := p.natArgument(c)
	if err != nil {
		return err
	}
	return p.print(nat.SNATs, func(out io.Writer) {
		var rows [][]string
		for _, n := range nat.SNATs {
			rows = append(rows, []string{n.Tenant, n.External, snatAddresses(n), limitText(n.MaxConnections)})
		}
		table(out, []string{"TENANT", "EXTERNAL", "ADDRESS", "CONNECTIONS"}, rows)
	})
}

// natArgument returns the NAT that a list is about: of the tenant that is given, or
// of all.
func (p *program) natArgument(c *cli.Context) (api.NAT, error) {
	tenant, err := optionalTenant(c)
	if err != nil {
		return api.NAT{}, err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	return p.client.NAT(ctx, tenant)
}

// snatAddresses returns what a SNAT translates to.
func snatAddresses(n api.SNAT) string {
	if n.Address.IsValid() {
		return n.Address.String()
	}
	var s []string
	for _, h := range n.Hosts {
		s = append(s, h.Address.String()+" on "+h.Host)
	}
	return strings.Join(s, ", ")
}

func (p *program) snatShow(c *cli.Context) error {
	tenant, err := tenantArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.tenantSNAT(ctx, tenant)
	if err != nil {
		return err
	}
	n, err := p.client.SNAT(ctx, ref)
	if err != nil {
		return err
	}
	return p.print(n, func(out io.Writer) {
		facts(out,
			[2]string{"tenant", n.Tenant},
			[2]string{"external", n.External},
			[2]string{"id", strconv.FormatUint(uint64(n.ID), 10)},
			[2]string{"address", snatAddresses(n)},
			[2]string{"connections", limitText(n.MaxConnections)})
	})
}

func (p *program) snatDelete(c *cli.Context) error {
	tenant, err := tenantArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.tenantSNAT(ctx, tenant)
	if err != nil {
		return err
	}
	return p.delete(c, tenant, func(m api.DeleteMode) (api.Written, error) { return p.client.DeleteSNAT(ctx, ref, m) })
}

func (p *program) natList(c *cli.Context) error {
	nat, err := p.natArgument(c)
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
