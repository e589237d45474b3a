// ovloom port plug, ovloom port unplug

package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (p *program) plugCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "plug", Usage: "attach a port to a workload on this host",
		Flags: []cli.Flag{
			completed(&cli.StringFlag{Name: "netns", Usage: "into the network namespace `NAME`, as ip netns list shows it, or an absolute path"}, namespaces),
			&cli.IntFlag{Name: "pid", Usage: "into the network namespace of process `N`"},
			&cli.StringFlag{Name: "container", Usage: "into the network namespace of the running container `NAME` of docker or podman"},
			completed(&cli.StringFlag{Name: "tap", Usage: "by the tap device `INTERFACE`, which exists"}, interfaces),
			&cli.StringFlag{Name: "ifname", Usage: "`NAME` of the interface in the namespace (default: " + api.DefaultIfname + ")"},
			&cli.BoolFlag{Name: "no-default-route", Usage: "make no default route through the network's gateway; one that the namespace has already is left alone anyway"},
			&cli.BoolFlag{Name: "take", Usage: "take the port from another host that holds it, whose workload loses it"},
			&cli.BoolFlag{Name: "force", Usage: "with --tap: take an interface that is neither a tap nor a veth, or that has addresses"},
		},
		Action: p.portPlug,
		Description: `   ovloom port plug acme/web/c1 --netns c1
   ovloom port plug acme/web/c2 --pid 4711 --ifname net0
   ovloom port plug acme/web/c3 --container nginx --ifname eth1
   ovloom port plug acme/db/c1 --netns c1 --ifname eth1 --no-default-route
   ovloom port plug acme/web/vm1 --tap tap0
   ovloom port plug acme/web/vm1 --tap tap0 --take`,
	}, portPath)
}

func (p *program) unplugCommand() *cli.Command {
	return p.takesSeveral(&cli.Command{
		Name: "unplug", Usage: "detach a port from its workload on this host", Action: p.portUnplug,
		Description: "   ovloom port unplug acme/web/c1",
	}, portPath)
}

// plugged is the JSON output of plug.
type plugged struct {
	Port string `json:"port"`
	api.PlugResult
}

func (p *program) portPlug(c *cli.Context) error {
	ref, err := parsed(c, intent.ParsePortRef)
	if err != nil {
		return err
	}
	r := api.PlugRequest{Ref: ref, Netns: c.String("netns"), PID: c.Int("pid"), Tap: c.String("tap"), Ifname: c.String("ifname"),
		NoDefaultRoute: c.Bool("no-default-route"), Take: c.Bool("take"), Force: c.Bool("force")}
	ctx, cancel := p.call(c)
	defer cancel()
	container := c.String("container")
	if container != "" && r.Netns == "" && r.PID == 0 && r.Tap == "" {
		if r.PID, err = containerPID(ctx, container); err != nil {
			return err
		}
	} else if container != "" {
		r.PID, r.Netns, r.Tap = 0, "", "" // several places: Validate refuses
	}
	if err := r.Validate(); err != nil {
		return err
	}
	res, err := p.client.Plug(ctx, r)
	if err != nil {
		return err
	}
	var late error
	if p.wait {
		show := newProgress(p.stderr, "waiting for the port's flows")
		late = p.client.WaitUp(c.Context, ref, p.remaining())
		show.end()
		late = stored(late, "it works as soon as they are: see `ovloom status` for what ovloomd waits for")
	}
	if err := p.print(plugged{ref.String(), res}, func(out io.Writer) {
		where := "on " + res.Interface
		switch {
		case container != "":
			where = fmt.Sprintf("as %s in container %s", res.Ifname, container)
		case r.Netns != "":
			where = fmt.Sprintf("as %s in namespace %s", res.Ifname, r.Netns)
		case r.PID != 0:
			where = fmt.Sprintf("as %s in the namespace of process %d", res.Ifname, r.PID)
		}
		fmt.Fprintf(out, "port %s plugged %s: MAC %s", ref, where, res.MAC)
		if len(res.Addrs) > 0 {
			fmt.Fprintf(out, ", %s", addrs(res.Addrs))
		}
		fmt.Fprintf(out, ", MTU %d\n", res.MTU)
		for _, n := range res.Notes {
			fmt.Fprintf(out, "note: %s\n", n)
		}
	}); err != nil {
		return err
	}
	return late
}

// containerEngines are the commands that know containers, in the order in which they are
// tried.
var containerEngines = []string{"docker", "podman"}

// containerPID returns the process of a running container.
func containerPID(ctx context.Context, name string) (int, error) {
	if strings.HasPrefix(name, "-") {
		return 0, intent.Invalidf("container %q is malformed", name).WithHint("give a name or an id")
	}
	var asked []string
	for _, engine := range containerEngines {
		if _, err := exec.LookPath(engine); err != nil {
			continue
		}
		asked = append(asked, engine)
		out, err := exec.CommandContext(ctx, engine, "inspect", "--type", "container", "--format", "{{.State.Pid}}", name).Output()
		if err != nil {
			continue // it does not know the container, or is not running
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			return 0, fmt.Errorf("%s tells no process of container %s: %w", engine, name, err)
		}
		if pid == 0 {
			return 0, intent.Conflictf("container %s does not run", name).WithHint("start it: %s start %s", engine, name)
		}
		return pid, nil
	}
	if len(asked) == 0 {
		return 0, intent.Unavailablef("neither docker nor podman is installed").WithHint("give the container's process instead: --pid N")
	}
	return 0, intent.NotFoundf("%s knows no container %s", strings.Join(asked, " nor "), name).WithHint("see: %s ps", asked[0])
}

func (p *program) portUnplug(c *cli.Context) error {
	ref, err := parsed(c, intent.ParsePortRef)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	if err := p.client.Unplug(ctx, ref); err != nil {
		return err
	}
	return p.print(map[string]string{"port": ref.String()}, func(out io.Writer) { fmt.Fprintf(out, "port %s unplugged\n", ref) })
}
