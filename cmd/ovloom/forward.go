// ovloom nat forward

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// protocols are those that can be forwarded; each has a flag.
var protocols = []intent.Protocol{intent.TCP, intent.UDP, intent.SCTP}

func (p *program) forwardCommand() *cli.Command {
	flags := func(more ...cli.Flag) []cli.Flag {
		return append([]cli.Flag{
			externalFlag(),
			&cli.Uint64Flag{Name: "tcp", Usage: "TCP `PORT` outside"},
			&cli.Uint64Flag{Name: "udp", Usage: "UDP `PORT` outside"},
			&cli.Uint64Flag{Name: "sctp", Usage: "SCTP `PORT` outside"},
		}, more...)
	}
	return &cli.Command{
		Name: "forward", Usage: "forward a TCP, UDP or SCTP port of an external address to a port",
		Description: `   ovloom nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80
   ovloom nat forward list acme`,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "add a forward", ArgsUsage: "TENANT", Action: p.forwardAdd,
				Flags: flags(
					&cli.StringFlag{Name: "to", Usage: "`TENANT/NETWORK/PORT:NUMBER` that it leads to"},
					&cli.StringFlag{Name: "address", Usage: "`ADDRESS` of the external, for the tenant's first forward; chosen, unless given"}),
				Description: `All forwards that a tenant has of an external are of one address. By an external with --host, the same port of each host's own addresses leads there, too.

   ovloom nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80
   ovloom nat forward add acme --external campus --udp 53 --to acme/web/c1:53`},
			{Name: "list", Usage: "list the forwards of all tenants or of one", ArgsUsage: "[TENANT]", Action: p.forwardList,
				Description: "   ovloom nat forward list\n   ovloom nat forward list acme -o json"},
			{Name: "show", Usage: "show a forward", ArgsUsage: "TENANT", Flags: flags(), Action: p.forwardShow,
				Description: "   ovloom nat forward show acme --external internet --tcp 8080"},
			{Name: "delete", Usage: "delete a forward", ArgsUsage: "TENANT", Flags: flags(deleteFlags()...), Action: p.forwardDelete,
				Description: "Its connections end.\n\n   ovloom nat forward delete acme --external internet --tcp 8080"},
		},
	}
}

// portOutside reads --tcp, --udp and --sctp.
func portOutside(c *cli.Context) (intent.Protocol, uint16, error) {
	var given []intent.Protocol
	for _, proto := range protocols {
		if c.IsSet(string(proto)) {
			given = append(given, proto)
		}
	}
	if len(given) != 1 {
		return "", 0, intent.Invalidf("%d ports outside are given", len(given)).WithHint("give exactly one of --tcp, --udp and --sctp, such as --tcp 8080")
	}
	n := c.Uint64(string(given[0]))
	if n == 0 || n > math.MaxUint16 {
		return "", 0, intent.Invalidf("%s port %d is out of range", given[0], n).WithHint("choose between 1 and 65535")
	}
	return given[0], uint16(n), nil
}

func (p *program) forwardAdd(c *cli.Context) error {
	tenant, err := tenantArgument(c)
	if err != nil {
		return err
	}
	spec := api.ForwardSpec{}
	if spec.Protocol, spec.Port, err = portOutside(c); err != nil {
		return err
	}
	if !c.IsSet("to") {
		return intent.Invalidf("it is not said where %s port %d leads", spec.Protocol, spec.Port).WithHint("say it with --to, such as --to %s/web/c1:80", tenant)
	}
	if spec.To, spec.ToPort, err = intent.ParseTarget(c.String("to")); err != nil {
		return err
	}
	if c.IsSet("address") {
		if spec.Address, err = intent.ParseAddr(c.String("address")); err != nil {
			return err
		}
	}
	if spec.To.Tenant != tenant {
		return intent.Invalidf("port %s is not of tenant %s", spec.To, tenant).WithHint("a tenant forwards to its own ports only")
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if spec.External, err = p.chooseExternal(ctx, c, ""); err != nil {
		return err
	}
	w, err := p.client.AddForward(ctx, tenant, spec)
	if err != nil {
		return err
	}
	return p.written(c, tenant, w.Revision, object[intent.Forward](w), fmt.Sprintf("forward %s added: %s to %s", object[intent.Forward](w).Ref(), outside(*object[intent.Forward](w)), target(*object[intent.Forward](w))))
}

// outside returns what is forwarded: 203.0.113.10:8080/tcp.
func outside(f intent.Forward) string {
	return fmt.Sprintf("%s:%d/%s", f.Address, f.Port, f.Protocol)
}

// target returns where a forward leads: acme/web/c1:80.
func target(f intent.Forward) string { return fmt.Sprintf("%s:%d", f.To, f.ToPort) }

// tenantForward returns the forward that a command is about: of the external that
// is given, or the only one of the tenant for that port.
func (p *program) tenantForward(ctx context.Context, c *cli.Context) (intent.ForwardRef, error) {
	tenant, err := tenantArgument(c)
	if err != nil {
		return intent.ForwardRef{}, err
	}
	ref := intent.ForwardRef{Tenant: tenant, External: c.String("external")}
	if ref.Protocol, ref.Port, err = portOutside(c); err != nil {
		return ref, err
	}
	if c.IsSet("external") {
		return ref, intent.ValidateName("external", ref.External)
	}
	nat, err := p.client.NAT(ctx, tenant)
	if err != nil {
		return ref, err
	}
	fs := slices.DeleteFunc(nat.Forwards, func(f intent.Forward) bool { return f.Protocol != ref.Protocol || f.Port != ref.Port })
	switch len(fs) {
	case 0:
		return ref, intent.NotFoundf("tenant %s forwards no %s port %d", tenant, ref.Protocol, ref.Port).WithHint("`ovloom nat forward list %s` shows which it does", tenant)
	case 1:
		return fs[0].Ref(), nil
	}
	var by []string
	for _, f := range fs {
		by = append(by, f.External)
	}
	return ref, intent.Invalidf("tenant %s forwards %s port %d of several externals: %s", tenant, ref.Protocol, ref.Port, strings.Join(by, ", ")).
		WithHint("name one: --external %s", by[0])
}

func (p *program) forwardList(c *cli.Context) error {
	nat, err := p.natArgument(c)
	if err != nil {
		return err
	}
	return p.print(nat.Forwards, func(out io.Writer) {
		var rows [][]string
		for _, f := range nat.Forwards {
			rows = append(rows, []string{f.Tenant, f.External, outside(f), target(f)})
		}
		table(out, []string{"TENANT", "EXTERNAL", "OUTSIDE", "TO"}, rows)
	})
}

func (p *program) forwardShow(c *cli.Context) error {
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.tenantForward(ctx, c)
	if err != nil {
		return err
	}
	f, err := p.client.Forward(ctx, ref)
	if err != nil {
		return err
	}
	return p.print(f, func(out io.Writer) {
		facts(out,
			[2]string{"tenant", f.Tenant},
			[2]string{"external", f.External},
			[2]string{"id", strconv.FormatUint(uint64(f.ID), 10)},
			[2]string{"outside", outside(f.Forward)},
			[2]string{"to", target(f.Forward)},
			[2]string{"inside", addrs(f.Inside)},
			[2]string{"host", f.Host})
	})
}

func (p *program) forwardDelete(c *cli.Context) error {
	ctx, cancel := p.call(c)
	defer cancel()
	ref, err := p.tenantForward(ctx, c)
	if err != nil {
		return err
	}
	return p.delete(c, ref.Tenant, func(m api.DeleteMode) (api.Written, error) { return p.client.DeleteForward(ctx, ref, m) })
}
