// ovloom host

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

func (p *program) hostCommand() *cli.Command {
	return &cli.Command{
		Name: "host", Usage: "hosts: they register themselves when ovloomd starts",
		Description: `   ovloom host list
   ovloom host remove host3 --cascade`,
		Subcommands: []*cli.Command{
			{Name: "list", Usage: "list the hosts", Action: p.hostList,
				Description: "   ovloom host list"},
			{Name: "show", Usage: "show a host and what is bound to it", ArgsUsage: "HOST ...", Action: p.hostShow,
				Description: "   ovloom host show host1"},
			{Name: "remove", Usage: "remove a host that is gone for good", ArgsUsage: "HOST", Flags: deleteFlags(), Action: p.hostRemove,
				Description: "A host with ports plugged there is removed only with --cascade, which releases them. A host that runs should leave instead.\n\n   ovloom host remove host3\n   ovloom host remove host3 --cascade"},
			{Name: "leave", Usage: "take this host out of the overlay", Flags: deleteFlags(), Action: p.hostLeave,
				Description: "Releases this host's ports, gives the network card back to the kernel if ovloomd took it, deletes br-int, and unregisters. --dry-run shows the steps.\n\n   ovloom host leave --dry-run\n   ovloom host leave --cascade"},
		},
	}
}

// hostArgument returns a command's only argument, the name of a host.
func hostArgument(c *cli.Context) (string, error) {
	arg, err := argument(c)
	if err != nil {
		return "", err
	}
	return arg, intent.ValidateName("host", arg)
}

func (p *program) hostList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	hs, err := p.client.Hosts(ctx)
	if err != nil {
		return err
	}
	return p.print(hs, func(out io.Writer) {
		var rows [][]string
		for _, h := range hs {
			rows = append(rows, []string{h.Name, address(h.VTEP), hostState(h), revision(h.Applied), h.Datapath, number(h.UnderlayMTU), h.Version})
		}
		table(out, []string{"HOST", "VTEP", "STATE", "APPLIED", "DATAPATH", "MTU", "VERSION"}, rows)
	})
}

func hostState(h intent.HostState) string {
	if h.Unknown {
		return "unknown"
	}
	if h.Alive && h.Fault != "" {
		return "faulty"
	}
	if h.Alive {
		return "alive"
	}
	return "gone"
}

// number writes 0, which means not known, as an empty cell.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func revision(n int64) string { return number(int(n)) }

func (p *program) hostShow(c *cli.Context) error {
	name, err := hostArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	h, err := p.client.Host(ctx, name)
	if err != nil {
		return err
	}
	return p.print(h, func(out io.Writer) {
		if h.Fault != "" {
			defer facts(out, [2]string{"because", h.Fault})
		}
		facts(out,
			[2]string{"host", h.Name},
			[2]string{"id", strconv.FormatUint(uint64(h.ID), 10)},
			[2]string{"vtep", address(h.VTEP)},
			[2]string{"state", hostState(h.HostState)},
			[2]string{"applied", revision(h.Applied)},
			[2]string{"datapath", h.Datapath},
			[2]string{"underlay mtu", number(h.UnderlayMTU)},
			[2]string{"version", h.Version},
			[2]string{"used by", strings.Join(h.Users, ", ")})
	})
}

func (p *program) hostRemove(c *cli.Context) error {
	name, err := hostArgument(c)
	if err != nil {
		return err
	}
	return p.delete(c, "", func(m api.DeleteMode) (api.Written, error) {
		ctx, cancel := p.call(c)
		defer cancel()
		return p.client.RemoveHost(ctx, name, m)
	})
}

func (p *program) hostLeave(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	m := api.DeleteMode{Cascade: c.Bool("cascade"), DryRun: c.Bool("dry-run")}
	w, err := p.client.Leave(ctx, m)
	if err != nil && len(w.Deleted) == 0 {
		return err
	}
	verb := "done"
	if m.DryRun {
		verb = "to do"
	}
	if printErr := p.print(left{list(w.Deleted), m.DryRun}, func(out io.Writer) {
		for _, step := range w.Deleted {
			fmt.Fprintf(out, "%s: %s\n", verb, step)
		}
	}); printErr != nil {
		return printErr
	}
	return err
}

// left is what leave prints as JSON.
type left struct {
	Steps  []string `json:"steps"`
	DryRun bool     `json:"dry_run"`
}
