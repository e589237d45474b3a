package hostnet

// Other programs on the tunnels' UDP port of this host.

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// UDPSocket is a program's socket bound to a UDP port.
type UDPSocket struct {
	Program string // "": unknown
	PID     int    // 0: unknown
}

// UDPSockets returns the programs in this host's namespace that have bound a UDP port.
// The kernel's own sockets are not included: see VXLANDevices.
func UDPSockets(port int) ([]UDPSocket, error) {
	var inodes []string
	for _, file := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
		b, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("read UDP sockets: %w", err)
		}
		inodes = append(inodes, udpInodes(b, port)...)
	}
	var list []UDPSocket
	for _, inode := range inodes {
		list = append(list, socketOwner(inode))
	}
	slices.SortFunc(list, func(a, b UDPSocket) int { return a.PID - b.PID })
	return slices.Compact(list), nil
}

// udpInodes returns the inodes of the sockets bound to a port, from a table such as
// /proc/net/udp (proc(5)): local address in the second column, inode in the tenth.
func udpInodes(table []byte, port int) []string {
	var inodes []string
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if p, err := strconv.ParseUint(hex, 16, 16); err == nil && int(p) == port && f[9] != "0" {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// socketOwner finds the process that owns a socket.
func socketOwner(inode string) UDPSocket {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // its pattern is right
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm")) // it may just have ended
		return UDPSocket{strings.TrimSpace(string(name)), pid}
	}
	return UDPSocket{}
}

// VXLANDevices returns the kernel's VXLAN devices on a UDP port, by name, except Open
// vSwitch's own.
func VXLANDevices(port int) ([]string, error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		v, ok := l.(*netlink.Vxlan)
		if ok && v.Port == port && !strings.HasPrefix(v.Name, "vxlan_sys_") {
			names = append(names, v.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
