// Command ovloomd drives the Open vSwitch of one host: it brings the local
// switch to what the store asks for, serves the API to the ovloom command, and by
// default runs the store itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/agent/leave"
	"github.com/ovloom/ovloom/agent/upkeep"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	process.HoldMemory()
	os.Exit(run(ctx, os.Args, os.Stderr))
}

// run runs the daemon until ctx ends and returns the process's exit code.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	err := command(stderr).RunContext(ctx, args)
	if next := new(process.Replace); errors.As(err, &next) {
		err = next.Exec(ctx)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "ovloomd: %v\n", err)
	switch intent.KindOf(err) {
	case intent.Invalid:
		return 2
	case intent.NotFound:
		return 3
	case intent.Conflict, intent.InUse:
		return 4
	case intent.Unavailable:
		return 5
	}
	return 1
}

func command(stderr io.Writer) *cli.App {
	return &cli.App{
		Name:      "ovloomd",
		Usage:     "drive this host's Open vSwitch as part of an overlay",
		Version:   api.BuildVersion(),
		UsageText: "ovloomd [flags]",
		Description: `Examples:
   One host, or the first of several (it keeps the store):
      ovloomd --store-listen https://10.0.0.1:2379 --store-ca ca.crt --store-cert host1.crt --store-key host1.key
   Another host:
      ovloomd --store https://10.0.0.1:2379 --store-ca ca.crt --store-cert host2.crt --store-key host2.key
   The userspace datapath, which needs the underlay's card in a bridge:
      ovloomd --datapath netdev --take-nic eth1`,
		HideHelpCommand: true,
		Flags:           flags(),
		Writer:          stderr,
		ErrWriter:       stderr,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return intent.Invalidf("%w", err).WithHint("see ovloomd --help")
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return intent.Invalidf("unexpected argument %q", c.Args().First()).WithHint("see ovloomd --help")
			}
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			log, err := cfg.logger(stderr)
			if err != nil {
				return err
			}
			switch file := c.String("restore"); {
			case c.Bool("new-store"):
				return upkeep.Init(cfg.cluster(log), cfg.StateDir, stderr)
			case c.Bool("leave"):
				return leave.Alone(c.Context, leave.AloneConfig{
					Socket: cfg.Socket, Group: cfg.Group, Host: cfg.HostName, OVSDB: cfg.OVSDB, Bridge: cfg.Bridge, PhyBridge: cfg.PhyBridge,
					HostUplink: cfg.HostUplink, VXLANPort: cfg.VXLANPort, StateDir: cfg.StateDir, Log: log}, stderr)
			case file != "":
				return upkeep.Restore(c.Context, cfg.cluster(log), cfg.StateDir, file, stderr)
			}
			err = serve(c.Context, cfg, log)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
}
