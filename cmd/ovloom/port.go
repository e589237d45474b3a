// ovloom port: the intent. plug.go attaches ports to workloads.

package main

import (
	"fmt"
	"io"
	"net/netip"
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
			{Name: "add", Usage: "add a port", ArgsUsage: "TENANT/NETWORK/PORT", Flags: flags(), Action: p.portAdd,
				Description: `   ovloom port add acme/web/c1
   ovloom port add acme/web/c2 --ip 10.0.0.20 --ip fd00::20 --mac 02:00:00:00:00:20
   ovloom port add acme/lab/bridge1 --learn 8`},
			{Name: "set", Usage: "change a port", ArgsUsage: "TENANT/NETWORK/PORT", Flags: flags(), Action: p.portSet,
				Description: `What is not given stays; --ip replaces all addresses.

   ovloom port set acme/web/c1 --ip 10.0.0.21`},
			{Name: "list", Usage: "list the ports of all tenants, of one, or of a network", ArgsUsage: "[TENANT[/NETWORK]]", Action: p.portList,
				Description: "   ovloom port list\n   ovloom port list acme/web\n   ovloom port list acme -o json"},
			{Name: "show", Usage: "show a port, where it is plugged, and what leads to it", ArgsUsage: "TENANT/NETWORK/PORT", Action: p.portShow,
				Description: "   ovloom port show acme/web/c1"},
			{Name: "delete", Usage: "delete a port", ArgsUsage: "TENANT/NETWORK/PORT", Flags: deleteFlags(), Action: p.portDelete,
				Description: "A port that is plugged, or that NAT leads to, is deleted only with --cascade.\n\n   ovloom port delete acme/web/c1"},
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
	port := w.Port
	late := p.applied(c, port.Tenant, w.Revision)
	if err := p.print(port, func(out io.Writer) {
		fmt.Fprintf(out, "port %s %s: MAC %s", port.Ref(), done, port.MAC)
		if len(port.Addrs) > 0 {
			fmt.Fprintf(out, ", %s", addrs(port.Addrs))
		}
		fmt.Fprintln(out)
	}); err != nil {
		return err
	}
	return late
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
	ps, err := p.client.Ports(ctx, tenant, network)
	if err != nil {
		return err
	}
	return p.print(ps, func(out io.Writer) {
		var rows [][]string
		for _, v := range ps {
			rows = append(rows, []string{v.Ref().String(), v.MAC.String(), addrs(v.Addrs), v.Host, portState(v)})
		}
		table(out, []string{"PORT", "MAC", "ADDRESSES", "HOST", "STATE"}, rows)
	})
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
	ref, err := portArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	v, err := p.client.Port(ctx, ref)
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
