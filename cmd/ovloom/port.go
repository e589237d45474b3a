// ovloom port: the intent. plug.go attaches ports to workloads.

package main

import (
	"context"
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

func (p *program) portCommand() *cli.Command {
	flags := func() []cli.Flag {
		return []cli.Flag{
			&cli.StringSliceFlag{Name: "ip", Usage: "IPv4 or IPv6 `ADDRESS`; the next free one of each subnet, unless given"},
			&cli.StringFlag{Name: "mac", Usage: "Ethernet `ADDRESS`; made, unless given"},
			&cli.IntFlag{Name: "learn", Usage: "up to `N` MACs that the store does not know may live behind it (networks with --learning)"},
		}
	}
	return &cli.Command{
		Name: "port", Usage: "ports: where a VM, container or namespace attaches",
		Description: `   ovloom port add acme/web/c1
   ovloom port plug acme/web/c1 --netns c1
   ovloom port list acme/web`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add a port", ArgsUsage: "TENANT/NETWORK/PORT ...", Flags: flags(), Action: p.portAdd,
				Description: `   ovloom port add acme/web/c1
   ovloom port add acme/web/c2 --ip 10.0.0.20 --ip fd00::20 --mac 02:00:00:00:00:20
   ovloom port add acme/lab/bridge1 --learn 8`},
			{Name: "set", Usage: "change a port", ArgsUsage: "TENANT/NETWORK/PORT", Flags: flags(), Action: p.portSet,
				Description: `What is not given stays; --ip replaces all addresses.

   ovloom port set acme/web/c1 --ip 10.0.0.21`},
			{Name: "list", Usage: "list the ports of all tenants, of one, or of a network", ArgsUsage: "[TENANT[/NETWORK]]", Action: p.portList,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "host", Usage: "only those that `HOST` has plugged"},
					&cli.StringFlag{Name: "ip", Usage: "only those with this IPv4 or IPv6 `ADDRESS`, inside or floating"},
					&cli.StringFlag{Name: "mac", Usage: "only those with this Ethernet `ADDRESS`"},
				},
				Description: "   ovloom port list\n   ovloom port list acme/web\n   ovloom port list --host host2\n   ovloom port list --ip 203.0.113.10\n   ovloom port list acme -o json"},
			{Name: "show", Usage: "show a port, where it is plugged, and what leads to it", ArgsUsage: "TENANT/NETWORK/PORT ...", Action: p.portShow,
				Description: "Instead of its name an address may be given: IPv4, IPv6 or MAC, inside or floating.\n\n   ovloom port show acme/web/c1\n   ovloom port show 10.0.0.7\n   ovloom port show acme/web/c1 acme/web/c2 -o json"},
			{Name: "delete", Usage: "delete a port", ArgsUsage: "TENANT/NETWORK/PORT ...", Flags: deleteFlags(), Action: p.portDelete,
				Description: "A port that is plugged, or that NAT leads to, is deleted only with --cascade.\n\n   ovloom port delete acme/web/c1\n   ovloom port delete acme/web/c1 acme/web/c2 acme/web/c3"},
			p.plugCommand(), p.unplugCommand(),
		},
	}
}

// portArgument returns a command's only argument, the name of a port.
func portArgument(c *cli.Context) (intent.PortRef, error) {
	arg, err := argument(c)
	if err != nil {
		return intent.PortRef{}, err
	}
	return intent.ParsePortRef(arg)
}

// portFlags reads what add and set have in common.
func portFlags(c *cli.Context) (ips []netip.Addr, mac intent.MAC, err error) {
	for _, s := range c.StringSlice("ip") {
		a, err := intent.ParseAddr(s)
		if err != nil {
			return nil, mac, err
		}
		ips = append(ips, a)
	}
	if c.IsSet("mac") {
		if mac, err = intent.ParseMAC(c.String("mac")); err != nil {
			return nil, mac, err
		}
	}
	if n := c.Int("learn"); n < 0 || n > intent.LearnMax {
		return nil, mac, intent.Invalidf("learning limit %d is out of range", n).WithHint("choose between 0 and %d", intent.LearnMax)
	}
	return ips, mac, nil
}

func (p *program) portAdd(c *cli.Context) error {
	ref, err := portArgument(c)
	if err != nil {
		return err
	}
	ips, mac, err := portFlags(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if len(p.several) > 0 && (len(ips) > 0 || !mac.IsZero()) {
		return intent.Invalidf("%s cannot have the same address", count(len(p.several), "port")).WithHint("leave --ip and --mac out, or add one port at a time")
	}
	w, err := p.client.AddPort(ctx, ref.NetworkRef(), api.PortSpec{Name: ref.Port, MAC: mac, Addrs: ips, Learn: c.Int("learn")})
	if err != nil {
		return err
	}
	return p.portWritten(c, w, "added")
}

func (p *program) portSet(c *cli.Context) error {
	ref, err := portArgument(c)
	if err != nil {
		return err
	}
	ips, mac, err := portFlags(c)
	if err != nil {
		return err
	}
	var change api.PortChange
	if c.IsSet("ip") {
		change.Addrs = &ips
	}
	if c.IsSet("mac") {
		change.MAC = &mac
	}
	if c.IsSet("learn") {
		learn := c.Int("learn")
		change.Learn = &learn
	}
	if change == (api.PortChange{}) {
		return intent.Invalidf("nothing is given to change about port %s", ref).WithHint("see `ovloom port set --help`")
	}
	ctx, cancel := p.call(c)
	defer cancel()
	w, err := p.client.SetPort(ctx, ref, change)
	if err != nil {
		return err
	}
	return p.portWritten(c, w, "changed")
}

// portWritten waits for a port that was stored and prints it.
func (p *program) portWritten(c *cli.Context, w api.Written, done string) error {
	port := object[intent.Port](w)
	late := p.applied(c, port.Tenant, w.Revision)
	result := struct {
		*intent.Port
		LeftToDo []string `json:"left_to_do,omitempty"`
	}{port, w.LeftToDo}
	if err := p.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "port %s %s: MAC %s", port.Ref(), done, port.MAC)
		if len(port.Addrs) > 0 {
			fmt.Fprintf(out, ", %s", addrs(port.Addrs))
		}
		fmt.Fprintln(out)
		printLeftToDo(out, w.LeftToDo)
	}); err != nil {
		return err
	}
	return late
}

// printLeftToDo prints what is to be done by hand.
func printLeftToDo(out io.Writer, list []string) {
	for _, what := range list {
		fmt.Fprintln(out, "to do by hand:", what)
	}
}

// scopeArgument returns the tenant, or the tenant and network, that a list is
// about; "" means all.
func scopeArgument(c *cli.Context) (tenant, network string, err error) {
	if c.NArg() > 1 {
		return "", "", argumentCount(c, "at most one tenant or network")
	}
	arg := c.Args().First()
	if arg == "" {
		return "", "", nil
	}
	tenant, network, isNetwork := strings.Cut(arg, "/")
	if isNetwork {
		_, err = intent.ParseNetworkRef(arg)
	} else {
		_, err = intent.ParseTenant(arg)
	}
	return tenant, network, err
}

func (p *program) portList(c *cli.Context) error {
	tenant, network, err := scopeArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	wanted, err := portFilter(c)
	if err != nil {
		return err
	}
	ps, err := p.client.Ports(ctx, tenant, network)
	if err != nil {
		return err
	}
	ps = slices.DeleteFunc(ps, func(v api.Port) bool { return !wanted(v) })
	if host := c.String("host"); host != "" && len(ps) == 0 {
		// Nothing is the answer for a host that is there, and an error for a misspelt one.
		if _, err := p.client.Host(ctx, host); intent.KindOf(err) == intent.NotFound {
			return err
		}
	}
	return p.print(ps, func(out io.Writer) {
		var rows [][]string
		for _, v := range ps {
			rows = append(rows, []string{v.Ref().String(), v.MAC.String(), addrs(v.Addrs), v.Host, portState(v)})
		}
		table(out, []string{"PORT", "MAC", "ADDRESSES", "HOST", "STATE"}, rows)
	})
}

// portFilter reads which ports a list is about.
func portFilter(c *cli.Context) (func(api.Port) bool, error) {
	filters := []func(api.Port) bool{}
	if host := c.String("host"); host != "" {
		if err := intent.ValidateName("host", host); err != nil {
			return nil, err
		}
		filters = append(filters, func(v api.Port) bool { return v.Host == host })
	}
	if c.IsSet("ip") {
		a, err := intent.ParseAddr(c.String("ip"))
		if err != nil {
			return nil, err
		}
		filters = append(filters, func(v api.Port) bool { return hasAddress(v, a) })
	}
	if c.IsSet("mac") {
		mac, err := intent.ParseMAC(c.String("mac"))
		if err != nil {
			return nil, err
		}
		filters = append(filters, func(v api.Port) bool { return v.MAC == mac })
	}
	return func(v api.Port) bool {
		return !slices.ContainsFunc(filters, func(f func(api.Port) bool) bool { return !f(v) })
	}, nil
}

// hasAddress says whether a port has an address, inside or outside.
func hasAddress(v api.Port, a netip.Addr) bool {
	return slices.Contains(v.Addrs, a) || slices.ContainsFunc(v.Floatings, func(f intent.Floating) bool { return f.Address == a })
}

// portNamed returns the port that a user names, or gives an address of.
func (p *program) portNamed(ctx context.Context, arg string) (api.Port, error) {
	var has func(api.Port) bool
	if a, err := netip.ParseAddr(arg); err == nil {
		has = func(v api.Port) bool { return hasAddress(v, a) }
	} else if mac, err := intent.ParseMAC(arg); err == nil {
		has = func(v api.Port) bool { return v.MAC == mac }
	}
	if has == nil {
		ref, err := intent.ParsePortRef(arg)
		if err != nil {
			return api.Port{}, err
		}
		return p.client.Port(ctx, ref)
	}
	all, err := p.client.Ports(ctx, "", "")
	if err != nil {
		return api.Port{}, err
	}
	all = slices.DeleteFunc(all, func(v api.Port) bool { return !has(v) })
	switch len(all) {
	case 0:
		return api.Port{}, intent.NotFoundf("no port has the address %s", arg).WithHint("see: ovloom port list")
	case 1:
		return p.client.Port(ctx, all[0].Ref())
	}
	var names []string
	for _, v := range all {
		names = append(names, v.Ref().String())
	}
	return api.Port{}, intent.Conflictf("%s have the address %s: %s", count(len(all), "port"), arg, strings.Join(names, ", ")).
		WithHint("name one of them, such as: ovloom port show %s", names[0])
}

func portState(p api.Port) string {
	switch {
	case len(p.Claims) > 1:
		return "conflict"
	case p.Host == "":
		return "unplugged"
	case p.Fault != "":
		return "down"
	case p.Up:
		return "up"
	}
	return "plugged"
}

func (p *program) portShow(c *cli.Context) error {
	arg, err := argument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	v, err := p.portNamed(ctx, arg)
	if err != nil {
		return err
	}
	return p.print(v, func(out io.Writer) {
		pairs := [][2]string{
			{"port", v.Ref().String()},
			{"id", strconv.FormatUint(uint64(v.ID), 10)},
			{"uuid", v.UUID},
			{"mac", v.MAC.String()},
			{"addresses", addrs(v.Addrs)},
			{"learn", strconv.Itoa(v.Learn)},
			{"host", v.Host},
			{"state", portState(v)},
		}
		if v.Fault != "" {
			pairs = append(pairs, [2]string{"because", v.Fault})
		}
		for _, f := range v.Floatings {
			pairs = append(pairs, [2]string{"floating", f.Address.String() + " on " + f.External})
		}
		for _, f := range v.Forwards {
			pairs = append(pairs, [2]string{"forward", fmt.Sprintf("%s on %s to %d", outside(f), f.External, f.ToPort)})
		}
		if len(v.Routes) > 0 {
			pairs = append(pairs, [2]string{"next hop of", joined(v.Routes)})
		}
		if len(v.Claims) > 1 {
			for _, cl := range v.Claims {
				pairs = append(pairs, [2]string{"claim", claimText(cl)})
			}
		}
		facts(out, pairs...)
	})
}

func claimText(c api.Claim) string {
	return fmt.Sprintf("%s, generation %d", c.Host, c.Generation)
}

func (p *program) portDelete(c *cli.Context) error {
	ref, err := portArgument(c)
	if err != nil {
		return err
	}
	return p.delete(c, ref.Tenant, func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.DeletePort(ctx, ref, m)
	})
}
