package hostnet

// Foreign changes to the host uplink: noticed through the kernel's notifications, and
// named.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// ExitTable returns ovloom's own nftables table of an interface as nft prints it,
// without counters; "" if there is none. Comparisons need nft's output after
// EnsureExit, because it differs from nft's input.
func ExitTable(ctx context.Context, link string) (string, error) {
	cmd := exec.CommandContext(ctx, "nft", "-s", "list", "table", "ip", exitTable(link))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case err == nil:
		return string(out), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case strings.Contains(strings.ToLower(stderr.String()), unix.ENOENT.Error()):
		return "", nil
	}
	return "", fmt.Errorf("list the nftables table of ovloom: %w: %s", err, strings.TrimSpace(stderr.String()))
}

// ExitChanged names what differs from EnsureExit's result. table is ExitTable's result
// then.
func ExitChanged(ctx context.Context, e Exit, table string) ([]string, error) {
	l, err := mustLink(e.Link)
	if err != nil {
		return nil, err
	}
	var changed []string
	say := func(format string, args ...any) { changed = append(changed, fmt.Sprintf(format, args...)) }
	if l.Attrs().Flags&net.FlagUp == 0 {
		say("interface %s was down", e.Link)
	}
	if v, err := Sysctl(DisableIPv6, e.Link); err == nil && v != "1" {
		say("interface %s had IPv6", e.Link)
	}
	strays, err := readAddrs(l)
	if err != nil {
		return nil, err
	}
	for _, a := range strays {
		say("address %s on %s", a.Prefix, e.Link)
	}
	lo, err := mustLink(loopback)
	if err != nil {
		return nil, err
	}
	have, err := readAddrs(lo)
	if err != nil {
		return nil, err
	}
	routes, err := readRoutes(l, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range e.Subnets {
		if !slices.ContainsFunc(have, func(a Addr) bool { return a.Prefix.Addr() == s.Gateway && a.Prefix.IsSingleIP() }) {
			say("address %s of %s was missing", s.Gateway, loopback)
		}
		if !slices.ContainsFunc(routes, func(r Route) bool { return r.Dst == s.Prefix.Masked() && r.Table == unix.RT_TABLE_MAIN }) {
			say("route %s through %s was missing", s.Prefix.Masked(), e.Link)
		}
	}
	for _, r := range routes {
		if !slices.ContainsFunc(e.Subnets, func(s intent.Subnet) bool { return r.Dst == s.Prefix.Masked() }) {
			say("route %s through %s", r.Dst, e.Link)
		}
	}
	now, err := ExitTable(ctx, e.Link)
	if err != nil {
		return nil, err
	}
	switch {
	case now == "":
		say("nftables table ip %s was missing", exitTable(e.Link))
	case now != table:
		say("nftables table ip %s was changed", exitTable(e.Link))
	}
	return changed, nil
}

// ExitEvent is a change of this host's network, possibly by ovloom.
type ExitEvent struct {
	Own   bool // in EnsureExit's results, or near them
	Other bool // elsewhere in the packet filter, or in whether the host forwards
}

const (
	nftGroup = 7 // NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h
	nftTable = 1 // the attribute with the table's name, in all messages that have one: linux/netfilter/nf_tables.h

	subsystemNFT  = 10 // NFNL_SUBSYS_NFTABLES
	nfHeaderBytes = 4  // struct nfgenmsg
)

// WatchExit reports changes of the host uplink until ctx ends; then it returns nil. It
// watches the network namespace of the calling thread. deliver is called from several
// goroutines.
func WatchExit(ctx context.Context, link string, deliver func(ExitEvent)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	routes, err := openNetlink(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_NETCONF)
	if err != nil {
		return fmt.Errorf("watch addresses and routes: %w", err)
	}
	defer routes.Close()
	filter, err := openNetlink(unix.NETLINK_NETFILTER, nftGroup)
	if err != nil {
		return fmt.Errorf("watch the packet filter: %w", err)
	}
	defer filter.Close()
	var wg sync.WaitGroup
	var errs [2]error
	table := exitTable(link)
	for i, w := range []struct {
		socket *os.File
		read   func([]syscall.NetlinkMessage) ExitEvent
	}{
		{routes, func(list []syscall.NetlinkMessage) ExitEvent { return routeEvents(list, link) }},
		{filter, func(list []syscall.NetlinkMessage) ExitEvent { return filterEvents(list, table) }},
	} {
		wg.Go(func() {
			defer cancel()
			errs[i] = readNetlink(ctx, w.socket, func(list []syscall.NetlinkMessage) {
				if e := w.read(list); e != (ExitEvent{}) {
					deliver(e)
				}
			}, func() { deliver(ExitEvent{Own: true, Other: true}) })
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// routeEvents filters for the interface and loopback: a host that speaks BGP changes
// other routes all the time.
func routeEvents(list []syscall.NetlinkMessage, link string) (e ExitEvent) {
	index := 0
	if l, err := net.InterfaceByName(link); err == nil {
		index = l.Index
	}
	for _, m := range list {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if len(m.Data) >= unix.SizeofIfInfomsg {
				e.Own = e.Own || int(int32(binary.NativeEndian.Uint32(m.Data[4:]))) == index
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if len(m.Data) >= unix.SizeofIfAddrmsg {
				at := int(binary.NativeEndian.Uint32(m.Data[4:]))
				e.Own = e.Own || at == index || at == loopbackIndex
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			attrs, err := syscall.ParseNetlinkRouteAttr(&m)
			if err != nil {
				continue
			}
			for _, a := range attrs {
				if a.Attr.Type == unix.RTA_OIF && len(a.Value) >= 4 && int(binary.NativeEndian.Uint32(a.Value)) == index {
					e.Own = true
				}
			}
		case unix.RTM_NEWNETCONF:
			e.Other = true
		}
	}
	return e
}

const loopbackIndex = 1 // in every network namespace

// filterEvents checks whose table was changed.
func filterEvents(list []syscall.NetlinkMessage, own string) (e ExitEvent) {
	for _, m := range list {
		if m.Header.Type>>8 != subsystemNFT || len(m.Data) < nfHeaderBytes {
			continue
		}
		if m.Header.Type&0xff == nftNewGeneration {
			continue // sent after each change, whatever it was
		}
		switch name := nfString(nfAttributes(m.Data[nfHeaderBytes:])[nftTable]); name {
		case own:
			e.Own = true
		case traceTable(own):
		default:
			e.Other = true
		}
	}
	return e
}

const nftNewGeneration = 15 // NFT_MSG_NEWGEN

// nfAttributes reads attributes of netlink messages, by type.
func nfAttributes(b []byte) map[int][]byte {
	attrs := map[int][]byte{}
	for len(b) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			break
		}
		attrs[int(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER))] = b[unix.SizeofNlAttr:n]
		b = b[min((n+3)&^3, len(b)):]
	}
	return attrs
}

func nfString(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// openNetlink returns a socket that receives the groups' notifications.
func openNetlink(protocol int, groups ...int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer) // as large as it may be
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		socket.Close()
		return nil, err
	}
	return socket, nil
}

// readNetlink reads the kernel's messages until ctx ends. It calls lost when some were
// dropped. Finally it closes the socket.
func readNetlink(ctx context.Context, socket *os.File, deliver func([]syscall.NetlinkMessage), lost func()) error {
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var from unix.Sockaddr
		var err error
		waitErr := conn.Read(func(fd uintptr) bool {
			n, from, err = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
		})
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, unix.ENOBUFS) {
			lost()
			continue
		}
		if err := errors.Join(waitErr, err); err != nil {
			return err
		}
		if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
			continue // not sent by the kernel
		}
		list, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			lost()
			continue
		}
		deliver(list)
	}
}
