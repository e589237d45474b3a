// ovloom flows

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) flowsCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "flows", Usage: "show the flows of this host's switch, and whose they are",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "table", Usage: "only flows of table `NAME`"},
			&cli.BoolFlag{Name: "long", Usage: "every flow by itself, in words and as ovs-ofctl writes it"},
			&cli.BoolFlag{Name: "raw", Usage: "every flow as ovs-ofctl writes it, and nothing else"},
			&cli.BoolFlag{Name: "diff", Usage: "compare the switch with what it should hold; print what it lacks or has too much, and fail if there is anything"},
		},
		Action: p.showFlows,
		Description: `Shows how many packets each flow was hit by and what it is for. Flows of one table that are for the same are one line.

   ovloom flows acme/web/c1
   ovloom flows acme/web/c1 --table port_security --long
   ovloom flows --table fdb
   ovloom flows acme/web --raw
   ovloom flows --diff`,
	}, optional(portPath.path...))
}

func (p *program) showFlows(c *cli.Context) error {
	if c.NArg() > 1 {
		return argumentCount(c, "at most one object")
	}
	q := api.FlowQuery{Object: c.Args().First(), Table: c.String("table")}
	if q.Object != "" {
		if err := intent.ValidateObject(q.Object); err != nil {
			return err
		}
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if c.Bool("diff") {
		return p.diffFlows(ctx, c, q)
	}
	fs, err := p.client.Flows(ctx, q)
	if err != nil {
		return err
	}
	return p.print(fs, func(out io.Writer) {
		switch {
		case c.Bool("raw"):
			for _, f := range fs {
				fmt.Fprintln(out, f.Text)
			}
		case c.Bool("long"):
			printFlows(out, fs, func(f api.Flow) string { return fmt.Sprintf("%s\n      %s", cmp.Or(f.Words, "-"), f.Text) })
		default:
			printFlows(out, merge(fs), func(f api.Flow) string { return cmp.Or(f.Words, f.Text) })
		}
	})
}

// merge merges flows of the same purpose, which differ only in what they match, and sums
// up their packets.
func merge(fs []api.Flow) []api.Flow {
	type purpose struct{ object, table, words string }
	at := map[purpose]int{}
	flows := map[int]int{}
	var list []api.Flow
	for _, f := range fs {
		key := purpose{f.Object, f.Table, f.Words}
		i, ok := at[key]
		if !ok || f.Words == "" {
			i = len(list)
			at[key] = i
			list = append(list, f)
		} else {
			list[i].Packets += f.Packets
		}
		flows[i]++
	}
	for i := range list {
		if flows[i] > 1 {
			list[i].Words = fmt.Sprintf("%s (%d flows)", list[i].Words, flows[i])
		}
	}
	return list
}

// printFlows prints flows under the objects that they belong to: table, packets and text.
func printFlows(out io.Writer, fs []api.Flow, text func(api.Flow) string) {
	width := 0
	for _, f := range fs {
		width = max(width, len(f.Table))
	}
	last := ""
	for _, f := range fs {
		if f.Object != last {
			fmt.Fprintf(out, "%s\n", f.Object)
			last = f.Object
		}
		packets := "-"
		if f.Packets > 0 {
			packets = fmt.Sprint(f.Packets)
		}
		fmt.Fprintf(out, "  %-*s  %7s  %s\n", width, f.Table, packets, text(f))
	}
}

// diffFlows prints the difference between the switch's flows and those that it should
// have.
func (p *program) diffFlows(ctx context.Context, c *cli.Context, q api.FlowQuery) error {
	if q.Object != "" || q.Table != "" || c.Bool("raw") {
		return intent.Invalidf("--diff compares the whole switch").WithHint("leave out the object, --table and --raw")
	}
	mods, err := p.client.FlowsDiff(ctx)
	if err != nil {
		return err
	}
	err = p.print(mods, func(out io.Writer) {
		for _, m := range mods {
			fmt.Fprintln(out, m)
		}
	})
	if err == nil && len(mods) > 0 {
		err = fmt.Errorf("the switch differs from what it should hold by %d changes; ovloomd makes them within seconds, or when it is started again", len(mods))
	}
	return err
}
