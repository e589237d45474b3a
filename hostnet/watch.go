package hostnet

// Changes of the host's network, reported by the kernel: links and addresses of the
// host, and the fact of a change in a namespace that the host has a veth into.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkState is the watched state of an interface of the host.
type LinkState struct {
	Name    string
	Index   int
	Kind    string // veth, tuntap, bridge…; "device" for hardware
	MTU     int    // bytes of IP packet
	Up      bool   // administratively
	Carrier bool   // its other end is up, too
	Inside  int    // the number, here, of the namespace of a veth's other end; -1: none
}

// Change is something that changed on the network.
type Change struct {
	All   bool        // Links is complete: links not in it are gone
	Links []LinkState // new or changed links
	Gone  []string    // names of removed links
	Addrs bool        // IPv4 addresses of the host changed

	// Inside lists namespaces in which links, addresses or routes changed, by their
	// numbers here.
	Inside []int
}

// watched are the groups of messages: linux/rtnetlink.h, enum rtnetlink_groups.
var watched = []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}

// watchBuffer is how many bytes of messages may wait.
const watchBuffer = 4 << 20

// Watch reports all links, then each change, until ctx ends; then it returns nil. When
// the kernel had to drop messages, it reports all links again. It watches the network
// namespace of the calling thread, and those with a veth into it, as far as the process
// may (CAP_NET_BROADCAST).
func Watch(ctx context.Context, deliver func(Change)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("watch the network: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer) // as large as it may be
	}
	// On failure only the host's own namespace is watched.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1)
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range watched {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err != nil {
		return fmt.Errorf("watch the network: %w", err)
	}
	conn, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch the network: %w", err)
	}
	w := watch{buf: make([]byte, 1<<16), oob: make([]byte, 256)}
	all, err := allLinks()
	if err != nil {
		return err
	}
	deliver(all)
	for {
		change, err := w.next(conn)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			if change, err = allLinks(); err != nil {
				return err
			}
			change.Addrs = true
		case err != nil:
			return fmt.Errorf("watch the network: %w", err)
		}
		if change.All || len(change.Links)+len(change.Gone)+len(change.Inside) > 0 || change.Addrs {
			deliver(change)
		}
	}
}

func allLinks() (Change, error) {
	list, err := dump(netlink.LinkList)
	if err != nil {
		return Change{}, fmt.Errorf("read interfaces: %w", err)
	}
	c := Change{All: true}
	for _, l := range list {
		c.Links = append(c.Links, stateOf(l))
	}
	return c, nil
}

func stateOf(l netlink.Link) LinkState {
	a := l.Attrs()
	s := LinkState{
		Name: a.Name, Index: a.Index, Kind: l.Type(), MTU: a.MTU,
		Up: a.Flags&net.FlagUp != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0, Inside: -1,
	}
	if s.Kind == "veth" {
		s.Inside = a.NetNsID
	}
	return s
}

// watch reads messages.
type watch struct {
	buf, oob []byte
}

// next waits for messages and returns the change in them.
func (w *watch) next(conn syscall.RawConn) (Change, error) {
	var n, oobn int
	var from unix.Sockaddr
	var err error
	waitErr := conn.Read(func(fd uintptr) bool {
		n, oobn, _, from, err = unix.Recvmsg(int(fd), w.buf, w.oob, 0)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err = errors.Join(waitErr, err); err != nil {
		return Change{}, err
	}
	if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
		return Change{}, nil // not sent by the kernel
	}
	messages, err := syscall.ParseNetlinkMessage(w.buf[:n])
	if err != nil {
		return Change{}, nil // truncated: the next full report includes it
	}
	if inside, ok := namespaceOf(w.oob[:oobn]); ok {
		return Change{Inside: []int{inside}}, nil
	}
	var c Change
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] == unix.AF_BRIDGE {
				continue // a port of a bridge: the link itself has not changed
			}
			l, err := netlink.LinkDeserialize(nil, m.Data)
			if err != nil {
				continue
			}
			if m.Header.Type == unix.RTM_DELLINK {
				c.Gone = append(c.Gone, l.Attrs().Name)
			} else {
				c.Links = append(c.Links, stateOf(l))
			}
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			c.Addrs = c.Addrs || len(m.Data) > 0 && m.Data[0] == unix.AF_INET
		}
	}
	return c, nil
}

// namespaceOf returns the number of a message's namespace, if it is not the socket's
// (netlink(7), NETLINK_LISTEN_ALL_NSID).
func namespaceOf(oob []byte) (int, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			if id := int32(binary.NativeEndian.Uint32(m.Data)); id >= 0 {
				return int(id), true
			}
		}
	}
	return 0, false
}

// Stands reports whether a target still leads to the namespace in which a port was
// plugged there.
func Stands(t Target, p Place) bool {
	ns, now, err := t.open()
	if err != nil {
		return false
	}
	ns.Close()
	return now == p
}

// FindEnd returns the namespace and name of the other end of a veth of this host, for
// ports plugged by an ovloomd that kept no records. It fails with NotFound if it cannot
// be found.
func FindEnd(name string) (t Target, p Place, ifname string, err error) {
	ends, err := ReadPeerEnds([]string{name})
	if err != nil {
		return t, p, "", err
	}
	end, ok := ends[name]
	if !ok {
		return t, p, "", notFoundEnd(name)
	}
	t = targetOf(end.Namespace)
	ns, p, err := t.open()
	if err != nil {
		return t, p, "", err
	}
	ns.Close()
	return t, p, end.Name, nil
}
