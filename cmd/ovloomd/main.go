// Command ovloomd drives the Open vSwitch of one host: it reconciles the local
// switch with the store, serves the API to the ovloom command, and by
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
	"github.com/ovloom/ovloom/config"
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
			log, err := cfg.Logger(stderr)
			if err != nil {
				return err
			}
			switch file := c.String("restore"); {
			case c.Bool("new-store"):
				return upkeep.Init(cfg.Cluster(log), cfg.StateDir, stderr)
			case c.Bool("leave"):
				return leave.Alone(c.Context, leave.AloneConfig{
					Socket: cfg.Socket, Group: cfg.Group, Host: cfg.HostName, OVSDB: cfg.OVSDB, Bridge: cfg.Bridge, PhyBridge: cfg.PhyBridge,
					HostUplink: cfg.HostUplink, VXLANPort: cfg.VXLANPort, StateDir: cfg.StateDir, Log: log}, stderr)
			case file != "":
				return upkeep.Restore(c.Context, cfg.Cluster(log), cfg.StateDir, file, stderr)
			}
			err = serve(c.Context, cfg, log)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
}

// flags returns the command's flags: first those that do one thing instead of running,
// then the options.
func flags() []cli.Flag {
	list := []cli.Flag{
		&cli.StringFlag{Name: "restore", Usage: "make the store of --state-dir what it was when `FILE` was written by ovloom store backup, and end; no ovloomd may use it"},
		&cli.BoolFlag{Name: "new-store", Usage: "have the next start begin with a new and empty store, or if the store is elsewhere follow whichever answers there, and end; no ovloomd may use --state-dir"},
		&cli.BoolFlag{Name: "leave", Usage: "take this host out of the overlay without its store, and end: delete the bridge, give the network card back; for when ovloomd cannot start"},
		&cli.StringFlag{Name: "config", Value: config.DefaultFile, Usage: "YAML `FILE` with the flags' names as keys; flags win"},
	}
	cfg := config.Default()
	for _, o := range cfg.Options() {
		switch o.Value.(type) {
		case *string:
			list = append(list, &cli.StringFlag{Name: o.Name, Usage: o.Help, DefaultText: o.Default})
		case *int:
			list = append(list, &cli.IntFlag{Name: o.Name, Usage: o.Help, DefaultText: o.Default})
		case *bool:
			list = append(list, &cli.BoolFlag{Name: o.Name, Usage: o.Help})
		case *[]string:
			list = append(list, &cli.StringSliceFlag{Name: o.Name, Usage: o.Help, DefaultText: o.Default})
		}
	}
	return list
}

// loadConfig returns the defaults, overridden by the file and then by the flags.
func loadConfig(c *cli.Context) (config.Config, error) {
	cfg := config.Default()
	if err := cfg.ReadFile(c.String("config"), c.IsSet("config")); err != nil {
		return cfg, err
	}
	for _, o := range cfg.Options() {
		if !c.IsSet(o.Name) {
			continue
		}
		switch value := o.Value.(type) {
		case *string:
			*value = c.String(o.Name)
		case *int:
			*value = c.Int(o.Name)
		case *bool:
			*value = c.Bool(o.Name)
		case *[]string:
			*value = c.StringSlice(o.Name)
		}
	}
	return cfg, cfg.Validate()
}
