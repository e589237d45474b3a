// ovloom flows

package main

import (
	"fmt"
	"io"
	"strings"

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
		},
		Action: p.showFlows,
		Description: `   ovloom flows acme/web/c1
   ovloom flows --table fdb
   ovloom flows acme/web --raw`,
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
				fmt.Fprintf(out, "# %s\n", f.Object)
				last = f.Object
			}
			fmt.Fprintln(out, f.Text)
			if note := flowNote(f); note != "" {
				fmt.Fprintf(out, "#    %s\n", note)
			}
		}
	})
}

// flowNote says what ovs-ofctl's text of a flow does not: its counters, and what
// it does, in words.
func flowNote(f api.Flow) string {
	var parts []string
	if f.Packets > 0 {
		parts = append(parts, fmt.Sprintf("%d packets, %d bytes", f.Packets, f.Bytes))
	}
	if f.Words != "" {
		parts = append(parts, f.Words)
	}
	return strings.Join(parts, ": ")
}
