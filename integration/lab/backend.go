package lab

// This file declares what a back end does, and which programs it needs.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// backend makes hosts of one kind.
type backend interface {
	// start makes the networks and the hosts, and sets each Host's addresses
	// and network namespace.
	start(context.Context) error

	// command returns the command line that runs args with the given
	// environment in h, and there in the network namespace netns unless it is "".
	// Without args, it is for the script that enters the host: there $tty is the container
	// engine's option for a terminal.
	command(h *Host, netns string, env, args []string) []string

	// pid returns the pid, as this process sees it, of a program in h. Started is the pid of
	// the command line made by command; the file at pidFile holds the program's pid in h.
	pid(h *Host, started int, pidFile string) (int, error)

	// addNetNS makes a network namespace in h. It returns the name that ip netns
	// has for it there, and the path by which this process finds it.
	addNetNS(ctx context.Context, h *Host, workload string) (name, path string, err error)
}

// programs are the programs that a lab needs, with their Debian packages.
var programs = map[Backend]map[string]string{
	Namespaces: {
		"ovs-vswitchd": "openvswitch-switch", "ovsdb-server": "openvswitch-common", "ovsdb-tool": "openvswitch-common",
		"ovs-vsctl": "openvswitch-switch", "ovs-ofctl": "openvswitch-common", "ovs-appctl": "openvswitch-common",
		"ip": "iproute2", "nsenter": "util-linux", "ethtool": "ethtool", "nft": "nftables",
	},
	Containers: {
		"docker": "docker.io", "dockerd": "docker.io", "busybox": "busybox-static", "tar": "tar", "ldd": "libc-bin",
	},
}

// Ready returns why this machine and this user cannot run labs of the given kind.
func Ready(b Backend) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a lab needs root to make network namespaces; run it with: sudo make lab")
	}
	kinds := []Backend{Namespaces}
	if b == Containers {
		kinds = append(kinds, Containers)
	}
	var missing []string
	for _, kind := range kinds {
		for prog, pkg := range programs[kind] {
			if _, err := exec.LookPath(prog); err != nil {
				missing = append(missing, fmt.Sprintf("%s (Debian package %s)", prog, pkg))
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("a lab needs %s; install it with: make setup", strings.Join(missing, ", "))
	}
	return nil
}

// ownGroup keeps Ctrl-C in the terminal from the processes of a lab: the reaper ends them in
// all cases.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
