// ovloom route: static routes of tenants.

package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// routeUsage is also what completion knows the arguments by.
const routeUsage = "TENANT PREFIX"

func (p *program) routeCommand() *cli.Command {
	via := func() cli.Flag {
		return &cli.StringSliceFlag{Name: "via", Usage: "`ADDRESS` of a next hop in one of the tenant's networks"}
	}
	return &cli.Command{
		Name: "route", Usage: "routes of a tenant to what is behind its ports",
		Description: `The networks of a tenant reach each other without any. What goes elsewhere is handed to the next hop of the longest prefix that matches.

   ovloom route add acme 10.9.0.0/16 --via 10.0.1.7
   ovloom route list acme`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add a route", ArgsUsage: routeUsage, Flags: []cli.Flag{via()}, Action: p.routeAdd,
				Description: `Several next hops share the connections; each connection keeps to one. A route to 0.0.0.0/0 goes before the tenant's way out by NAT. A port that has the address of a next hop may send from the prefix.

   ovloom route add acme 10.9.0.0/16 --via 10.0.1.7
   ovloom route add acme 10.9.0.0/16 --via 10.0.1.7 --via 10.0.1.8
   ovloom route add acme fd00:9::/48 --via fd00:1::7
   ovloom route add acme 0.0.0.0/0 --via 10.0.1.254`},
			{Name: "set", Usage: "change the next hops of a route", ArgsUsage: routeUsage, Flags: []cli.Flag{via()}, Action: p.routeSet,
				Description: "--via replaces all next hops. Connections over a next hop that stays are not moved.\n\n   ovloom route set acme 10.9.0.0/16 --via 10.0.1.8 --via 10.0.1.9"},
			{Name: "list", Usage: "list the routes of all tenants or of one", ArgsUsage: "[TENANT]", Action: p.routeList,
				Description: "   ovloom route list\n   ovloom route list acme -o json"},
			{Name: "show", Usage: "show a route", ArgsUsage: routeUsage, Action: p.routeShow,
				Description: "   ovloom route show acme 10.9.0.0/16"},
			{Name: "delete", Usage: "delete a route", ArgsUsage: routeUsage, Flags: deleteFlags(), Action: p.routeDelete,
				Description: "   ovloom route delete acme 10.9.0.0/16"},
		},
	}
}

// routeArguments returns a command's arguments, a tenant and a prefix.
func routeArguments(c *cli.Context) (intent.RouteRef, error) {
	if c.NArg() != 2 {
		return intent.RouteRef{}, argumentCount(c, c.Command.ArgsUsage)
	}
	tenant, err := intent.ParseTenant(c.Args().Get(0))
	if err != nil {
		return intent.RouteRef{}, err
	}
	prefix, err := intent.ParseDestination(c.Args().Get(1))
	return intent.RouteRef{Tenant: tenant, Prefix: prefix}, err
}

// viaFlag reads --via, which add and set need, and checks it for a route.
func viaFlag(c *cli.Context, ref intent.RouteRef) ([]netip.Addr, error) {
	var via []netip.Addr
	for _, s := range c.StringSlice("via") {
		a, err := intent.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		via = append(via, a)
	}
	return via, intent.Route{Tenant: ref.Tenant, Prefix: ref.Prefix, Via: via}.Validate()
}

func (p *program) routeAdd(c *cli.Context) error {
	ref, err := routeArguments(c)
	if err != nil {
		return err
	}
	via, err := viaFlag(c, ref)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.AddRoute(ctx, ref.Tenant, api.RouteSpec{Prefix: ref.Prefix, Via: via})
	if err != nil {
		return err
	}
	return p.routeWritten(c, w, "added")
}

func (p *program) routeSet(c *cli.Context) error {
	ref, err := routeArguments(c)
	if err != nil {
		return err
	}
	via, err := viaFlag(c, ref)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.SetRoute(ctx, ref, api.RouteChange{Via: &via})
	if err != nil {
		return err
	}
	return p.routeWritten(c, w, "changed")
}

// routeWritten waits for a route that was stored and prints it.
func (p *program) routeWritten(c *cli.Context, w api.Written, done string) error {
	return p.written(c, object[intent.Route](w).Tenant, w.Revision, object[intent.Route](w), fmt.Sprintf("route %s %s: via %s", object[intent.Route](w).Ref(), done, addrs(object[intent.Route](w).Via)))
}

// written waits for what a tenant has got or changed, and prints it: as JSON, or as
// the line. It is printed even when hosts are late: it is stored.
func (p *program) written(c *cli.Context, tenant string, revision int64, v any, line string) error {
	late := p.applied(c, tenant, revision)
	if err := p.print(v, func(out io.Writer) { fmt.Fprintln(out, line) }); err != nil {
		return err
	}
	return late
}

func (p *program) routeList(c *cli.Context) error {
	tenant, err := optionalTenant(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	rs, err := p.client.Routes(ctx, tenant)
	if err != nil {
		return err
	}
	return p.print(rs, func(out io.Writer) {
		var rows [][]string
		for _, r := range rs {
			rows = append(rows, []string{r.Tenant, r.Prefix.String(), addrs(r.Via)})
		}
		table(out, []string{"TENANT", "PREFIX", "VIA"}, rows)
	})
}

func (p *program) routeShow(c *cli.Context) error {
	ref, err := routeArguments(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	r, err := p.client.Route(ctx, ref)
	if err != nil {
		return err
	}
	hops, err := p.hops(c, r)
	if err != nil {
		return err
	}
	return p.print(r, func(out io.Writer) {
		facts(out, append([][2]string{
			{"tenant", r.Tenant},
			{"prefix", r.Prefix.String()},
			{"id", strconv.FormatUint(uint64(r.ID), 10)},
		}, hops...)...)
	})
}

// hops returns the next hops of a route for people, with the ports that have them.
func (p *program) hops(c *cli.Context, r intent.Route) ([][2]string, error) {
	if p.format == "json" {
		return nil, nil
	}
	ctx, cancel := p.call(c)
	defer cancel()
	ports, err := p.client.Ports(ctx, r.Tenant, "")
	if err != nil {
		return nil, err
	}
	var pairs [][2]string
	for _, hop := range r.Via {
		text := hop.String()
		if i := slices.IndexFunc(ports, func(v api.Port) bool { return slices.Contains(v.Addrs, hop) }); i >= 0 {
			text += ", port " + ports[i].Ref().String() + " (" + strings.TrimSpace(portState(ports[i])+" "+onHost(ports[i].Host)) + ")"
		}
		pairs = append(pairs, [2]string{"via", text})
	}
	return pairs, nil
}

// onHost says where something is, if it is anywhere.
func onHost(host string) string {
	if host == "" {
		return ""
	}
	return "on " + host
}

func (p *program) routeDelete(c *cli.Context) error {
	ref, err := routeArguments(c)
	if err != nil {
		return err
	}
	return p.delete(c, ref.Tenant, func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.DeleteRoute(ctx, ref, m)
	})
}
