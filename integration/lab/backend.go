package lab

// This file says what a back end has to do, and what it needs to do it.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// backend makes hosts of one kind. Everything above it is common to all kinds.
type backend interface {
	// start makes the networks and the hosts, and sets each Host's addresses
	// and network namespace.
	start(context.Context) error

	// command returns the command line that runs args with the given
	// environment in h, and there in the network namespace netns unless it is "".
	// Without args, it is for the script that enters the host: there $tty is
	// what the container engine wants to hear of a terminal.
	command(h *Host, netns string, env, args []string) []string

	// pid returns the pid, as this process sees it, of what runs in h. Started
	// is the pid of the command line made by command; the file at pidFile holds
	// the pid that the program has in h.
	pid(h *Host, started int, pidFile string) (int, error)

	// addNetNS makes a network namespace in h. It returns the name that ip netns
	// has for it there, and the path by which this process finds it.
	addNetNS(ctx context.Context, h *Host, workload string) (name, path string, err error)
}

// programs are what a lab needs, with the Debian package that has them.
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

// Ready says why this machine and this user cannot run labs of the given kind.
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

// ownGroup keeps Ctrl-C in the terminal away from what a lab runs: the reaper
// ends it, in one place and in all cases.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
