// ovloom tenant

package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) tenantCommand() *cli.Command {
	return &cli.Command{
		Name: "tenant", Usage: "groups of networks that no other tenant can reach",
		Description: `   ovloom tenant add acme
   ovloom tenant delete acme --cascade`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add a tenant", ArgsUsage: "TENANT ...", Action: p.tenantAdd,
				Description: "   ovloom tenant add acme"},
			{Name: "list", Usage: "list the tenants", Action: p.tenantList,
				Description: "   ovloom tenant list\n   ovloom tenant list -o json"},
			{Name: "show", Usage: "show a tenant and what it has", ArgsUsage: "TENANT ...", Action: p.tenantShow,
				Description: "   ovloom tenant show acme"},
			{Name: "delete", Usage: "delete a tenant", ArgsUsage: "TENANT ...", Flags: deleteFlags(), Action: p.tenantDelete,
				Description: "A tenant that has networks or NAT is deleted only with --cascade, which prints what goes first.\n\n   ovloom tenant delete acme\n   ovloom tenant delete acme --cascade --dry-run"},
		},
	}
}

// tenantArgument returns a command's only argument, the name of a tenant.
func tenantArgument(c *cli.Context) (string, error) {
	arg, err := argument(c)
	if err != nil {
		return "", err
	}
	return intent.ParseTenant(arg)
}

func (p *program) tenantAdd(c *cli.Context) error {
	name, err := tenantArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.AddTenant(ctx, api.TenantSpec{Name: name})
	if err != nil {
		return err
	}
	// The object is printed even when hosts are late: it is stored.
	late := p.applied(c, name, w.Revision)
	if err := p.print(object[intent.Tenant](w), func(out io.Writer) { fmt.Fprintf(out, "tenant %s added\n", name) }); err != nil {
		return err
	}
	return late
}

func (p *program) tenantList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ts, err := p.client.Tenants(ctx)
	if err != nil {
		return err
	}
	return p.print(ts, func(out io.Writer) {
		var rows [][]string
		for _, t := range ts {
			rows = append(rows, []string{t.Name, strconv.FormatUint(uint64(t.VRF), 10)})
		}
		table(out, []string{"TENANT", "VRF"}, rows)
	})
}

func (p *program) tenantShow(c *cli.Context) error {
	name, err := tenantArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	t, err := p.client.Tenant(ctx, name)
	if err != nil {
		return err
	}
	return p.print(t, func(out io.Writer) {
		facts(out,
			[2]string{"tenant", t.Name},
			[2]string{"id", strconv.FormatUint(uint64(t.ID), 10)},
			[2]string{"vrf", strconv.FormatUint(uint64(t.VRF), 10)},
			[2]string{"networks", strings.Join(t.Networks, ", ")},
			[2]string{"ports", strconv.Itoa(t.Ports)},
			[2]string{"hosts", strings.Join(t.Hosts, ", ")},
			[2]string{"routes", strconv.Itoa(t.Routes)},
			[2]string{"nat", tenantNAT(t)})
	})
}

// tenantNAT sums up what a tenant has of NAT.
func tenantNAT(t api.Tenant) string {
	var s []string
	for _, n := range t.SNATs {
		s = append(s, "snat through "+n.External)
	}
	if t.Floatings > 0 {
		s = append(s, strconv.Itoa(t.Floatings)+" floating")
	}
	if t.Forwards > 0 {
		s = append(s, count(t.Forwards, "forward"))
	}
	return strings.Join(s, ", ")
}

func (p *program) tenantDelete(c *cli.Context) error {
	name, err := tenantArgument(c)
	if err != nil {
		return err
	}
	return p.delete(c, name, func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.DeleteTenant(ctx, name, m)
	})
}
