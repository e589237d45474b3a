// ovloom version

package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
)

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "show the versions of ovloom and of this host's ovloomd", Action: p.showVersion,
		Description: `The exit code is 0 even if ovloomd does not run.

   ovloom version`,
	}
}

// versions is the JSON output of version.
type versions struct {
	Ovloom  string `json:"ovloom"`
	Ovloomd string `json:"ovloomd,omitempty"` // absent: it does not answer
}

func (p *program) showVersion(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	v := versions{Ovloom: api.BuildVersion()}
	daemon, err := p.client.Version(ctx)
	if err == nil {
		v.Ovloomd = daemon.Version
	}
	return p.print(v, func(out io.Writer) {
		fmt.Fprintf(out, "ovloom %s\n", v.Ovloom)
		if err == nil {
			fmt.Fprintf(out, "ovloomd %s\n", v.Ovloomd)
			return
		}
		fmt.Fprintf(out, "ovloomd: %v\n", err)
	})
}
