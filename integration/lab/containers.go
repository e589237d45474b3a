package lab

// This file is the back end in which a host is a Docker container, with a
// management network and an underlay of its own.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
)

type containers struct {
	lab    *Lab
	engine *engine
	inits  map[*Host]int // the pid of each container's first process
}

func (c *containers) start(ctx context.Context) error {
	var err error
	if c.engine, err = useEngine(); err != nil {
		return err
	}
	// If the engine is the machine's, its bridges are in the machine's own namespace: so their
	// names are unique.
	bridge := "ol" + strconv.FormatInt(int64(os.Getpid()), 36) + "-" + c.lab.mark[strings.LastIndexByte(c.lab.mark, '-')+1:]
	c.lab.wiresNS, c.lab.underlayIf = c.engine.netns, bridge+"u"
	label := engineLabel + "=" + c.lab.mark
	for _, args := range [][]string{
		{"--opt", "com.docker.network.bridge.name=" + bridge + "m", c.network("management")},
		{"--opt", "com.docker.network.bridge.name=" + bridge + "u", "--internal",
			"--opt", fmt.Sprintf("com.docker.network.driver.mtu=%d", c.lab.config.UnderlayMTU), c.network("underlay")},
	} {
		if _, err := c.engine.docker(ctx, append([]string{"network", "create", "--label", label}, args...)...); err != nil {
			return err
		}
	}
	c.inits = map[*Host]int{}
	g, gctx := errgroup.WithContext(ctx)
	for _, h := range c.lab.Hosts {
		g.Go(func() error { return c.create(gctx, h) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, h := range c.lab.Hosts {
		if err := c.inspect(ctx, h); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

func (c *containers) network(name string) string { return c.lab.mark + "-" + name }
func (c *containers) name(h *Host) string        { return c.lab.mark + "-" + h.Name }

// create creates and starts the host's container.
func (c *containers) create(ctx context.Context, h *Host) error {
	args := []string{"create", "--name", c.name(h), "--hostname", h.Name,
		"--label", engineLabel + "=" + c.lab.mark,
		"--network", c.network("management"),
		"--device", "/dev/net/tun",
		// Open vSwitch itself needs only NET_ADMIN. Workloads are namespaces inside the
		// container; making them needs most of the others, and a writable /proc/sys. Some
		// machines cannot grant SYS_RESOURCE.
		"--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
		"--security-opt", "systempaths=unconfined", "--security-opt", "apparmor=unconfined",
		"--volume", h.Dir + ":" + h.Dir, "--volume", binDir() + ":" + binDir() + ":ro"}
	for _, env := range h.env() {
		args = append(args, "--env", env)
	}
	args = append(args, c.engine.image, "sleep", "2147483647")
	for _, args := range [][]string{
		args,
		{"network", "connect", c.network("underlay"), c.name(h)},
		{"start", c.name(h)},
	} {
		if _, err := c.engine.docker(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// inspect reads what the engine assigned to the host.
func (c *containers) inspect(ctx context.Context, h *Host) error {
	format := fmt.Sprintf(`{{.State.Pid}} {{with index .NetworkSettings.Networks %q}}{{.IPAddress}}{{end}}`+
		` {{with index .NetworkSettings.Networks %q}}{{.IPAddress}}/{{.IPPrefixLen}}{{end}}`,
		c.network("management"), c.network("underlay"))
	out, err := c.engine.docker(ctx, "inspect", "--format", format, c.name(h))
	if err != nil {
		return err
	}
	f := strings.Fields(out)
	if len(f) != 3 {
		return fmt.Errorf("the container engine says of %s: %q", c.name(h), out)
	}
	pid, perr := strconv.Atoi(f[0])
	mgmt, merr := netip.ParseAddr(f[1])
	underlay, uerr := netip.ParsePrefix(f[2])
	if err := errors.Join(perr, merr, uerr); err != nil {
		return err
	}
	c.inits[h] = pid
	h.Mgmt, h.VTEP, h.Underlay = mgmt, underlay.Addr(), underlay
	h.netns = fmt.Sprintf("/proc/%d/ns/net", pid)
	if err := h.quietKernel(); err != nil {
		return err
	}
	// Without its proxy, an engine lets a bridge send frames back to their source (hairpin): a
	// switch that receives its own frames learns its own addresses on the wrong port.
	err = h.atFarEnd(UnderlayNIC, func(at *nsHandle, port netlink.Link) error {
		return at.LinkSetHairpin(port, false)
	})
	if err != nil {
		return err
	}
	return c.checkNICs(h)
}

// checkNICs checks that the engine numbered the interfaces as expected.
func (c *containers) checkNICs(h *Host) error {
	return h.InNetNS(func() error {
		for name, want := range map[string]netip.Addr{ManagementNIC: h.Mgmt, UnderlayNIC: h.VTEP} {
			nic, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			addrs, err := nic.Addrs()
			if err != nil {
				return err
			}
			if !strings.Contains(fmt.Sprint(addrs), want.String()+"/") {
				return fmt.Errorf("%s has %v, not %s", name, addrs, want)
			}
		}
		return nil
	})
}

func (c *containers) command(h *Host, netns string, env, args []string) []string {
	line := c.engine.command("exec")
	if len(args) == 0 {
		line = append(line, "$tty")
	}
	for _, kv := range env {
		line = append(line, "--env", kv)
	}
	line = append(line, c.name(h))
	if netns != "" {
		line = append(line, "nsenter", "--net="+filepath.Join(netnsDir, netns), "--")
	}
	return append(line, args...)
}

// pid finds the process by its pid in the container: the process that was started is only the
// engine's client.
func (c *containers) pid(h *Host, _ int, pidFile string) (int, error) {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	inside := strings.TrimSpace(string(b))
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.inits[h]))
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if its, err := os.Readlink(filepath.Join("/proc", e.Name(), "ns/pid")); err == nil && its == ns && pidInside(pid) == inside {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no process %s in %s", inside, h.Name)
}

// pidInside returns the pid that a process has in its own pid namespace.
func pidInside(pid int) string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if pids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(pids)
			return f[len(f)-1]
		}
	}
	return ""
}

func (c *containers) addNetNS(ctx context.Context, h *Host, workload string) (name, path string, err error) {
	if _, err := h.Exec(ctx, "ip", "netns", "add", workload); err != nil {
		return "", "", err
	}
	if _, err := h.execIn(ctx, workload, []string{"ip", "link", "set", "lo", "up"}); err != nil {
		return "", "", err
	}
	return workload, fmt.Sprintf("/proc/%d/root%s/%s", c.inits[h], netnsDir, workload), nil
}
