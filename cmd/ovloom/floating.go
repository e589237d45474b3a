// ovloom nat floating

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) floatingCommand() *cli.Command {
	return &cli.Command{
		Name: "floating", Usage: "give a port an address outside, for what it sends and for what is sent to it",
		Description: `   ovloom nat floating add acme/web/c1 --external campus
   ovloom nat floating list acme`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "give a port a floating address", ArgsUsage: "TENANT/NETWORK/PORT", Action: p.floatingAdd,
				Flags: []cli.Flag{externalFlag(), &cli.StringFlag{Name: "address", Usage: "`ADDRESS` of the pool; the next free one, unless given"}},
				Description: `The external is one with --bridge. The address goes with the port when that is plugged on another host.

   ovloom nat floating add acme/web/c1 --external campus
   ovloom nat floating add acme/web/c1 --external campus --address 203.0.113.20`},
			{Name: "list", Usage: "list the floating addresses of all tenants or of one", ArgsUsage: "[TENANT]", Action: p.floatingList,
				Description: "   ovloom nat floating list\n   ovloom nat floating list acme -o json"},
			{Name: "show", Usage: "show the floating address of a port", ArgsUsage: "TENANT/NETWORK/PORT", Flags: []cli.Flag{externalFlag()}, Action: p.floatingShow,
				Description: "   ovloom nat floating show acme/web/c1"},
			{Name: "delete", Usage: "take a floating address from its port", ArgsUsage: "TENANT/NETWORK/PORT", Flags: append([]cli.Flag{externalFlag()}, deleteFlags()...), Action: p.floatingDelete,
				Description: "The connections of the address end.\n\n   ovloom nat floating delete acme/web/c1\n   ovloom nat floating delete acme/web/c1 --external campus"},
		},
	}
}

func (p *program) floatingAdd(c *cli.Context) error {
	port, err := portArgument(c)
	if err != nil {
		return err
	}
	spec := api.FloatingSpec{}
	if c.IsSet("address") {
		if spec.Address, err = intent.ParseAddr(c.String("address")); err != nil {
			return err
		}
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if spec.External, err = p.chooseExternal(ctx, c, intent.ExternalBridge); err != nil {
		return err
	}
	w, err := p.client.AddFloating(ctx, port, spec)
	if err != nil {
		return err
	}
	return p.written(c, port.Tenant, w.Revision, object[intent.Floating](w), fmt.Sprintf("floating %s added: %s", object[intent.Floating](w).Ref(), object[intent.Floating](w).Address))
}

// portFloating returns the floating address that a command is about: of the
// external that is given, or the only one of the port.
func (p *program) portFloating(ctx context.Context, c *cli.Context) (intent.FloatingRef, error) {
	port, err := portArgument(c)
	if err != nil {
		return intent.FloatingRef{}, err
	}
	if c.IsSet("external") {
		return intent.FloatingRef{PortRef: port, External: c.String("external")}, intent.ValidateName("external", c.String("external"))
	}
	nat, err := p.client.NAT(ctx, port.Tenant)
	if err != nil {
		return intent.FloatingRef{}, err
	}
	fs := slices.DeleteFunc(nat.Floatings, func(f intent.Floating) bool { return f.PortRef() != port })
	switch len(fs) {
	case 0:
		return intent.FloatingRef{}, intent.NotFoundf("port %s has no floating address", port).WithHint("`ovloom nat floating list %s` shows which have", port.Tenant)
	case 1:
		return fs[0].Ref(), nil
	}
	var by []string
	for _, f := range fs {
		by = append(by, f.External)
	}
	return intent.FloatingRef{}, intent.Invalidf("port %s has several floating addresses: on %s", port, strings.Join(by, ", ")).WithHint("name one: --external %s", by[0])
}

func (p *program) floatingList(c *cli.Context) error {
	nat, err := p.natArgument(c)
	if err != nil {
		return err
	}
	return p.print(nat.Floatings, func(out io.Writer) {
		var rows [][]string
		for _, f := range nat.Floatings {
			rows = append(rows, []string{f.PortRef().String(), f.External, f.Address.String()})
		}
		table(out, []string{"PORT", "EXTERNAL", "ADDRESS"}, rows)
	})
}

func (p *program) floatingShow(c *cli.Context) error {
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.portFloating(ctx, c)
	if err != nil {
		return err
	}
	f, err := p.client.Floating(ctx, ref)
	if err != nil {
		return err
	}
	return p.print(f, func(out io.Writer) {
		facts(out,
			[2]string{"address", f.Address.String()},
			[2]string{"external", f.External},
			[2]string{"id", strconv.FormatUint(uint64(f.ID), 10)},
			[2]string{"port", f.PortRef().String()},
			[2]string{"inside", addrs(f.Inside)},
			[2]string{"host", f.Host})
	})
}

func (p *program) floatingDelete(c *cli.Context) error {
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.portFloating(ctx, c)
	if err != nil {
		return err
	}
	return p.delete(c, ref.Tenant, func(m api.DeleteMode) (api.Written, error) { return p.client.DeleteFloating(ctx, ref, m) })
}
