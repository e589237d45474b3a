// ovloom status

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
)

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show how this host is", Action: p.showStatus,
		Description: `Connections, the ports plugged here, conflicts, what is dropped and why, and warnings with what to do.

With --fix it first sets what this host lacks for tenants to leave through it (external add --host): forwarding of IPv4 packets, and rules by which
its packet filter lets them pass. Nothing of that is ever set without --fix. Whether packets pass is tried, every 10 seconds, with some that
never leave the host; if none passes after --fix, it fails and says what is still in the way.

   ovloom status
   ovloom status -o json
   ovloom status --fix`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "fix", Usage: "set what this host lacks for tenants to leave through it, and say what was set"}},
	}
}

func (p *program) showStatus(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if c.Bool("fix") {
		if err := p.fix(ctx); err != nil {
			return err
		}
	}
	s, err := p.client.Status(ctx)
	if err != nil {
		return err
	}
	return p.print(s, func(out io.Writer) { printStatus(out, s) })
}

// fix has ovloomd correct the host. It prints what ovloomd did to stderr: the status is
// the command's result.
func (p *program) fix(ctx context.Context) error {
	fixed, err := p.client.Fix(ctx)
	for _, d := range fixed.Done {
		fmt.Fprintln(p.stderr, d)
	}
	if err == nil && len(fixed.Done) == 0 {
		fmt.Fprintln(p.stderr, "nothing to set")
	}
	return err
}

func printStatus(w io.Writer, s api.Status) {
	resync := "none yet"
	if !s.Resync.At.IsZero() {
		resync = fmt.Sprintf("%s, %s sent", instant(s.Resync.At), count(s.Resync.Messages, "message"))
	}
	list := [][2]string{
		{"host", s.Host},
		{"vtep", vtepText(s)},
		{"ovloomd", fmt.Sprintf("%s, up %s", s.Version, time.Duration(s.Uptime)*time.Second)},
		{"switch", fmt.Sprintf("%s, %s datapath, Open vSwitch %s", s.Bridge, s.Datapath, cmp.Or(s.OVSVersion, "of unknown version"))},
		{"installed", fmt.Sprintf("%s, %s", count(s.Flows, "flow"), count(s.Groups, "group"))},
		{"revision", strconv.FormatInt(s.Revision, 10)},
		{"last resync", resync},
		{"tenants", strings.Join(s.Tenants, ", ")},
	}
	if s.Cache != nil {
		list = slices.Insert(list, 5, [2]string{"cache", cacheText(*s.Cache)})
	}
	facts(w, list...)

	section(w, "Connections", []string{"TO", "TARGET", "STATE", "SINCE", "ERROR"}, s.Connections, func(c api.Connection) []string {
		state := "down"
		if c.Connected {
			state = "up"
		}
		return []string{c.Name, c.Target, state, instant(c.Since), c.Error}
	})
	section(w, "Ports plugged here", []string{"PORT", "INTERFACE", "OFPORT", "STATE"}, s.Ports, func(b api.BoundPort) []string {
		state := "plugged"
		switch {
		case b.Up:
			state = "up"
		case b.Fault != "":
			state = "down"
		}
		return []string{b.Port, b.Interface, number(int(b.OFPort)), state}
	})
	section(w, "Uplinks", []string{"EXTERNAL", "VIA", "INTERFACE", "OFPORT", "STATE"}, s.Uplinks, func(u api.Uplink) []string {
		state := "up"
		if u.Fault != "" {
			state = u.Fault
		}
		return []string{u.External, u.Via, u.Interface, number(int(u.OFPort)), state}
	})
	section(w, "Conflicts: ports claimed more than once, the claim in force first", []string{"PORT", "CLAIMS", "INTERFACES HERE"}, s.Conflicts, func(c api.Conflict) []string {
		var claims []string
		for _, cl := range c.Claims {
			claims = append(claims, claimText(cl))
		}
		return []string{c.Port, strings.Join(claims, "; "), strings.Join(c.Interfaces, ", ")}
	})
	section(w, "Dropped", []string{"REASON", "PACKETS", "BYTES", "MEANING"}, s.Drops, func(d api.Drop) []string {
		return []string{d.Reason, strconv.FormatUint(d.Packets, 10), strconv.FormatUint(d.Bytes, 10), d.Meaning}
	})
	section(w, "Put back: what another program or a person had changed", []string{"AT", "WHAT", "TIMES", "DETAIL"}, s.Repairs, func(r api.Repair) []string {
		what := r.What
		if r.Count > 0 {
			what = fmt.Sprintf("%d %s", r.Count, what)
		}
		return []string{instant(r.At), what, number(r.Times), r.Detail}
	})
	if len(s.Warnings) > 0 {
		fmt.Fprintf(w, "\nWarnings\n")
	}
	for _, x := range s.Warnings {
		fmt.Fprintf(w, "%s\n", x.What)
		if x.Do != "" {
			fmt.Fprintf(w, "   to do: %s\n", x.Do)
		}
	}
}

// cacheText says how well the datapath's cache serves.
func cacheText(c api.Cache) string {
	text := fmt.Sprintf("%s, %d hits, %d misses, %d lost", count(int(c.Flows), "flow"), c.Hits, c.Misses, c.Lost)
	if c.Masks > 0 {
		text += ", " + count(int(c.Masks), "mask")
	}
	if packets := c.Hits + c.Misses; c.MaskHits > 0 && packets > 0 {
		text += fmt.Sprintf(" (%.1f tried per packet)", float64(c.MaskHits)/float64(packets))
	}
	return text
}

// vtepText says where the tunnels end.
func vtepText(s api.Status) string {
	switch text := address(s.VTEP); {
	case s.Underlay.Interface == "":
		return text
	default:
		return fmt.Sprintf("%s on %s, MTU %d", text, s.Underlay.Interface, s.Underlay.MTU)
	}
}

// section prints a titled table, or nothing if it has no rows.
func section[T any](w io.Writer, title string, header []string, items []T, row func(T) []string) {
	if len(items) == 0 {
		return
	}
	var rows [][]string
	for _, x := range items {
		rows = append(rows, row(x))
	}
	fmt.Fprintf(w, "\n%s\n", title)
	table(w, header, rows)
}
