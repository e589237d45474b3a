// Deleting, which is the same for every noun.

package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
)

func deleteFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "cascade", Usage: "delete what uses it, too, after printing it"},
		&cli.BoolFlag{Name: "dry-run", Usage: "only print what would be deleted"},
	}
}

// deleted is what a delete prints as JSON.
type deleted struct {
	Deleted []string `json:"deleted"`
	DryRun  bool     `json:"dry_run"`
}

// delete carries a delete out by do. tenant is whose hosts to wait for; "": none.
func (p *program) delete(c *cli.Context, tenant string, do func(api.DeleteMode) (api.Written, error)) error {
	cascade := c.Bool("cascade")
	if c.Bool("dry-run") {
		plan, err := do(api.DeleteMode{Cascade: cascade, DryRun: true})
		if err != nil {
			return err
		}
		return p.print(deleted{list(plan.Deleted), true}, func(w io.Writer) { printAll(w, "would be deleted", plan.Deleted) })
	}
	var announced []string
	if cascade {
		plan, err := do(api.DeleteMode{Cascade: true, DryRun: true})
		if err != nil {
			return err
		}
		announced = plan.Deleted
		// On stdout JSON is the answer, and nothing else.
		out := p.stdout
		if p.format == "json" {
			out = p.stderr
		}
		printAll(out, "will be deleted", announced)
	}
	w, err := do(api.DeleteMode{Cascade: cascade})
	if err != nil && len(w.Deleted) == 0 {
		return err
	}
	if err == nil && tenant != "" {
		err = p.applied(c, tenant, w.Revision)
	}
	if printErr := p.print(deleted{list(w.Deleted), false}, func(out io.Writer) {
		if cascade && slices.Equal(announced, w.Deleted) {
			fmt.Fprintf(out, "%s deleted\n", count(len(w.Deleted), "object"))
			return
		}
		printAll(out, "deleted", w.Deleted)
	}); printErr != nil {
		return printErr
	}
	return err
}

func printAll(w io.Writer, what string, objects []string) {
	for _, o := range objects {
		fmt.Fprintf(w, "%s %s\n", o, what)
	}
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
