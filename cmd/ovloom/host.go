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

var hosts = noun[intent.Host, intent.HostState, api.Host]{
	class:    intent.ClassHost,
	usage:    "hosts: they register themselves when ovloomd starts",
	examples: []string{"ovloom host list", "ovloom host remove host3 --cascade"},
	name:     []argument{path(intent.ClassHost)},
	parse: func(args []string) (intent.Host, error) {
		return intent.Host{Name: args[0]}, intent.ValidateName("host", args[0])
	},
	list: &listing[intent.HostState]{
		usage:    "list the hosts",
		examples: []string{"ovloom host list"},
		columns: []column[intent.HostState]{
			{"HOST", func(h intent.HostState) string { return h.Name }},
			{"VTEP", func(h intent.HostState) string { return address(h.VTEP) }},
			{"STATE", hostState},
			{"APPLIED", func(h intent.HostState) string { return revision(h.Applied) }},
			{"DATAPATH", func(h intent.HostState) string { return h.Datapath }},
			{"MTU", func(h intent.HostState) string { return number(h.UnderlayMTU) }},
			{"VERSION", func(h intent.HostState) string { return h.Version }},
		},
	},
	show: &showing[intent.Host, api.Host]{
		verb: verb[intent.Host]{usage: "show a host and what is bound to it", several: true, examples: []string{"ovloom host show host1"}},
		facts: func(h api.Host) []fact {
			return []fact{
				{"host", h.Name},
				{"id", decimal(h.ID)},
				{"vtep", address(h.VTEP)},
				{"state", hostState(h.HostState)},
				{"applied", revision(h.Applied)},
				{"datapath", h.Datapath},
				{"underlay mtu", number(h.UnderlayMTU)},
				{"version", h.Version},
				{"used by", strings.Join(h.Users, ", ")},
			}
		},
		after: func(w io.Writer, h api.Host) {
			if h.Fault != "" {
				facts(w, fact{"because", h.Fault})
			}
		},
	},
	delete: &verb[intent.Host]{
		word: "remove", usage: "remove a host that is gone for good",
		about:    "A host with ports plugged there is removed only with --cascade, which releases them. A host that runs should leave instead.",
		examples: []string{"ovloom host remove host3", "ovloom host remove host3 --cascade"},
	},
	more: func(p *program) []*cli.Command { return []*cli.Command{p.leaveCommand()} },
}

func hostName(s string) (string, error) { return s, intent.ValidateName("host", s) }

func (p *program) leaveCommand() *cli.Command {
	return &cli.Command{
		Name: "leave", Usage: "take this host out of the overlay", Flags: deleteFlags(), Action: p.hostLeave,
		Description: "Releases this host's ports, gives the network card back to the kernel if ovloomd took it, deletes br-int, and unregisters. --dry-run shows the steps.\n\n   ovloom host leave --dry-run\n   ovloom host leave --cascade",
	}
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

// number formats a number; 0 means unknown and gives an empty cell.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func revision(n int64) string { return number(int(n)) }

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

// left is the JSON output of leave.
type left struct {
	Steps  []string `json:"steps"`
	DryRun bool     `json:"dry_run"`
}
