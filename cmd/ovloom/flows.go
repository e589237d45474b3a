// ovloom flows

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) flowsCommand() *cli.Command {
	return &cli.Command{
		Name: "flows", Usage: "show the flows of this host's switch, and whose they are", ArgsUsage: "[TENANT[/NETWORK[/PORT]]]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "table", Usage: "only flows of table `NAME`"},
			&cli.BoolFlag{Name: "raw", Usage: "only the flows, as ovs-ofctl reads them"},
			&cli.BoolFlag{Name: "diff", Usage: "compare the switch with what it should hold; print what it lacks or has too much, and fail if there is anything"},
		},
		Action: p.showFlows,
		Description: `   ovloom flows acme/web/c1
   ovloom flows --table fdb
   ovloom flows acme/web --raw
   ovloom flows --diff`,
	}
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
		last := ""
		for _, f := range fs {
			if c.Bool("raw") {
				fmt.Fprintln(out, f.Text)
				continue
			}
			if f.Object != last {
				fmt.Fprintf(out, "%s\n", f.Object)
				last = f.Object
			}
			fmt.Fprintf(out, "  %-14s %s\n", f.Table, f.Words)
			fmt.Fprintf(out, "  %14s %s\n", hits(f), f.Text)
		}
	})
}

// hits says how many packets a flow was hit by.
func hits(f api.Flow) string {
	if f.Packets == 0 {
		return ""
	}
	return fmt.Sprintf("%d packets", f.Packets)
}

// diffFlows prints how the switch differs from what it should hold.
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
		err = fmt.Errorf("the switch differs from what it should hold by %d changes; ovloomd makes them when it is started again", len(mods))
	}
	return err
}
