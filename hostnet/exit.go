package hostnet

// The host uplink: tenants leave by the host's own routing: an interface that
// faces it, and what the host's packet filter does with what comes and goes there.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// Exit is the host uplink as it must be.
type Exit struct {
	Link string // the interface; Open vSwitch has made it

	// Subnets are the ranges of addresses that packets from the overlay come from, each
	// with the host's own address in it.
	Subnets []intent.Subnet
	// Forbidden lists what gives power over all tenants: packets from the overlay may not
	// be routed there, unless Allowed names the very address.
	Forbidden []netip.Prefix
	// Denied lists what else they may not be routed to, unless it is Allowed. The host's
	// own addresses are denied without being named.
	Denied []netip.Prefix
	// Walls are between a subnet and what only packets from there may not be routed to,
	// unless it is Allowed.
	Walls []Wall
	// Allowed lists what they may reach though it is denied or the host's own.
	Allowed []netip.Prefix
	// Forwards leads what is sent to ports of the host's own addresses into the overlay.
	Forwards []ExitForward
}

// Wall is between a subnet of an exit and prefixes beyond it.
type Wall struct {
	From netip.Prefix
	To   []netip.Prefix
}

// PortRange is a range of TCP and UDP ports, ends included; zero: none.
type PortRange struct{ First, Last uint16 }

// tenantPortsLeast is how many ports a range must have to be enough for all tenants.
const tenantPortsLeast = 8192

// tenantPorts returns the ports that packets of tenants leave from: those that the host's
// own programs are not given, so that neither takes the other's. If almost all are the
// host's own it returns none, and all share.
func tenantPorts(own PortRange) PortRange {
	below, above := PortRange{1024, own.First - 1}, PortRange{own.Last + 1, 65535}
	size := func(r PortRange) int { return int(r.Last) - int(r.First) + 1 }
	if own.First <= 1024 {
		below = PortRange{1, 0}
	}
	if own.Last == 65535 {
		above = PortRange{1, 0}
	}
	best := below
	if size(above) > size(below) {
		best = above
	}
	if size(best) < tenantPortsLeast {
		return PortRange{}
	}
	return best
}

// ownPorts reads which ports the host's own programs are given (ip(7),
// ip_local_port_range).
func ownPorts() (PortRange, error) {
	var r PortRange
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(text), &r.First, &r.Last)
	}
	if err != nil {
		return r, fmt.Errorf("read which ports the host's own programs are given: %w", err)
	}
	return r, nil
}

// ExitForward is one port of the host's own addresses.
type ExitForward struct {
	Protocol intent.Protocol
	Port     uint16
	To       netip.AddrPort // in one of the exit's subnets
}

// EnsureExit gives the host its address of each subnet, leads the subnets to the
// interface, brings it up, and replaces ovloom's own nftables table of the host in one
// step. It touches no other table, and no setting of the host: see ExitFaults.
func EnsureExit(ctx context.Context, e Exit) error {
	if _, err := SetSysctl(DisableIPv6, e.Link, "1"); err != nil {
		return err
	}
	if err := e.ensureAddrs(); err != nil {
		return err
	}
	if err := SetUp(e.Link); err != nil {
		return err
	}
	if err := e.ensureRoutes(); err != nil {
		return err
	}
	own, err := ownPorts()
	if err != nil {
		return err
	}
	ports := tenantPorts(own)
	if err := nft(ctx, e.rules(ports, shortTimeouts)); err == nil || ctx.Err() != nil {
		return err
	}
	return nft(ctx, e.rules(ports, "")) // this kernel knows no timeouts of connections
}

// shortTimeouts let Linux forget the connections of tenants as soon as Open vSwitch's
// userspace connection tracker does. That bounds how many each tenant has, and so bounds
// what they take of Linux's table as well: with Linux's own timeouts a tenant that opens
// connections and drops them would fill four times its share.
const shortTimeouts = `	ct timeout overlay_tcp {
		protocol tcp; l3proto ip
		policy = { syn_sent : 30, syn_recv : 30, established : 86400, fin_wait : 45, close_wait : 45, last_ack : 30, time_wait : 30, close : 10 }
	}
	ct timeout overlay_udp {
		protocol udp; l3proto ip
		policy = { unreplied : 60, replied : 60 }
	}
	chain timeouts {
		type filter hook prerouting priority mangle; policy accept;
		iifname %[1]q ip protocol tcp ct timeout set "overlay_tcp"
		iifname %[1]q ip protocol udp ct timeout set "overlay_udp"
	}
`

// loopback is where the addresses are. Where an interface of the userspace datapath has
// one, ovs-vswitchd ends tunnels there: it looks whether a packet that goes there is
// one, at every bit of its destination, and the datapath's cache needs an entry for
// each destination beyond (ovs-appctl tnl/ports/show -v lists these addresses).
const loopback = "lo"

// exitLabel marks the addresses on loopback that are of an exit. The kernel takes 15
// bytes that begin with the interface's name.
func exitLabel(link string) string {
	label := loopback + ":" + link
	return label[:min(len(label), unix.IFNAMSIZ-1)]
}

// ensureAddrs makes loopback have exactly the exit's addresses, besides those that are
// none of ours, and the interface none.
func (e Exit) ensureAddrs() error {
	l, err := mustLink(e.Link)
	if err != nil {
		return err
	}
	have, err := readAddrs(l)
	if err != nil {
		return err
	}
	for _, a := range have {
		if err := DelAddr(e.Link, a); err != nil {
			return err
		}
	}
	want := map[netip.Prefix]bool{}
	for _, s := range e.Subnets {
		want[netip.PrefixFrom(s.Gateway, s.Gateway.BitLen())] = true
	}
	if err := removeExitAddrs(e.Link, want); err != nil {
		return err
	}
	for p := range want {
		if err := AddAddr(loopback, Addr{Prefix: p, Label: exitLabel(e.Link)}); err != nil {
			return err
		}
	}
	return nil
}

// removeExitAddrs deletes the exit's addresses from loopback, but those to keep.
func removeExitAddrs(link string, keep map[netip.Prefix]bool) error {
	lo, err := mustLink(loopback)
	if err != nil {
		return err
	}
	have, err := readAddrs(lo)
	if err != nil {
		return err
	}
	for _, a := range have {
		if a.Label != exitLabel(link) || keep[a.Prefix] {
			continue
		}
		if err := DelAddr(loopback, a); err != nil {
			return err
		}
	}
	return nil
}

// ensureRoutes leads exactly the exit's subnets to the interface.
func (e Exit) ensureRoutes() error {
	l, err := mustLink(e.Link)
	if err != nil {
		return err
	}
	have, err := readRoutes(l, nil)
	if err != nil {
		return err
	}
	want := map[netip.Prefix]bool{}
	for _, s := range e.Subnets {
		want[s.Prefix.Masked()] = true
	}
	for _, r := range have {
		if want[r.Dst] {
			continue
		}
		if err := netlink.RouteDel(r.netlink(l)); err != nil && !gone(err) {
			return fmt.Errorf("delete route %s through %s: %w", r, e.Link, err)
		}
	}
	for _, s := range e.Subnets {
		err := PutRoute(e.Link, Route{
			Dst: s.Prefix.Masked(), Source: s.Gateway,
			Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_LINK,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RemoveExit removes ovloom's nftables table for the interface and the addresses that
// were for it. It returns nil if there are none.
func RemoveExit(ctx context.Context, link string) error {
	if err := removeExitAddrs(link, nil); err != nil {
		return err
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil // then no table was made either
	}
	return nft(ctx, fmt.Sprintf("table ip %[1]s\ndelete table ip %[1]s\n", exitTable(link)))
}

// exitTable names the table of an interface: two daemons on one machine have one each.
func exitTable(link string) string {
	if link == intent.HostUplink {
		return "ovloom"
	}
	return "ovloom_" + link
}

// rules returns the table as nft(8) reads it. It is one transaction: no packet sees
// the host without it.
func (e Exit) rules(ports PortRange, timeouts string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	table := exitTable(e.Link)
	line("table ip %s", table)
	line("delete table ip %s", table)
	line("table ip %s {", table)
	if timeouts != "" {
		fmt.Fprintf(&b, timeouts, e.Link)
	}

	e.set(line, "forbidden", e.Forbidden)
	e.set(line, "denied", e.Denied)
	for i, w := range e.Walls {
		e.set(line, wallSet(i), w.To)
	}
	e.probeRules(line)
	// A packet that says its own route (RFC 791) could get by what is checked of its
	// destination. This is before the host reads the route, at whatever setting, and behind
	// the connection tracker: one that ends a connection in the switch ends it here, too.
	line("\tchain source_route {")
	line("\t\ttype filter hook prerouting priority mangle; policy accept;")
	for _, option := range []string{"lsrr", "ssrr"} {
		line("\t\tiifname %q ip option %s exists counter drop", e.Link, option)
	}
	line("\t}")
	line("\tchain prerouting {")
	line("\t\ttype nat hook prerouting priority dstnat; policy accept;")
	for _, f := range e.Forwards {
		line("\t\tip daddr != 127.0.0.0/8 fib daddr type local %s dport %d dnat to %s", f.Protocol, f.Port, f.To)
	}
	line("\t}")
	line("\tchain output {")
	line("\t\ttype nat hook output priority -100; policy accept;")
	for _, f := range e.Forwards {
		line("\t\tip daddr != 127.0.0.0/8 fib daddr type local %s dport %d dnat to %s", f.Protocol, f.Port, f.To)
	}
	line("\t}")

	line("\tchain postrouting {")
	line("\t\ttype nat hook postrouting priority srcnat; policy accept;")
	for _, s := range e.Subnets {
		// A tenant that uses a forward of its own host's. The answers have to come back here,
		// and an address of NAT's is none that anybody outside may have.
		if ports != (PortRange{}) {
			line("\t\tip saddr %s oifname %q ct status dnat meta l4proto { tcp, udp } snat to %s:%d-%d", s.Prefix.Masked(), e.Link, s.Gateway, ports.First, ports.Last)
		}
		line("\t\tip saddr %s oifname %q ct status dnat snat to %s", s.Prefix.Masked(), e.Link, s.Gateway)
		if ports != (PortRange{}) {
			line("\t\tip saddr %s oifname != %q meta l4proto { tcp, udp } masquerade to :%d-%d", s.Prefix.Masked(), e.Link, ports.First, ports.Last)
		}
		line("\t\tip saddr %s oifname != %q masquerade", s.Prefix.Masked(), e.Link)
	}
	line("\t}")

	// Whatever a tenant sends arrives here or in forward. The switch has dropped what is
	// forbidden already; these catch what it could not know.
	line("\tchain input {")
	line("\t\ttype filter hook input priority filter; policy accept;")
	line("\t\tiifname != %q accept", e.Link)
	line("\t\tct state established,related accept")
	e.openings(line)
	line("\t\tcounter drop")
	line("\t}")
	line("\tchain forward {")
	line("\t\ttype filter hook forward priority filter; policy accept;")
	line("\t\tiifname != %q accept", e.Link)
	for _, s := range e.Subnets {
		line("\t\tip saddr %s accept", probeSource(s)) // it is dropped last of all
	}
	line("\t\toifname %q ct status dnat accept", e.Link)
	line("\t\toifname %q counter drop", e.Link)
	// What is part of no connection is not masqueraded: it would leave as it is.
	line("\t\tct state invalid counter drop")
	line("\t\tct state established,related accept")
	for _, s := range e.Subnets {
		line("\t\tip saddr %s jump from_overlay", s.Prefix.Masked())
	}
	line("\t\tcounter drop")
	line("\t}")
	line("\tchain from_overlay {")
	e.openings(line)
	line("\t\tip daddr @denied counter drop")
	for i, w := range e.Walls {
		line("\t\tip saddr %s ip daddr @%s counter drop", w.From.Masked(), wallSet(i))
	}
	line("\t\taccept")
	line("\t}")
	line("}")
	return b.String()
}

// openings accepts what is allowed, but not what is forbidden within a wider prefix: the
// same order as in the switch's guard.
func (e Exit) openings(line func(format string, args ...any)) {
	for _, p := range e.Allowed {
		if p.IsSingleIP() {
			line("\t\tip daddr %s accept", p)
		}
	}
	line("\t\tip daddr @forbidden counter drop")
	for _, p := range e.Allowed {
		if !p.IsSingleIP() {
			line("\t\tip daddr %s accept", p)
		}
	}
}

func wallSet(i int) string { return fmt.Sprintf("beyond%d", i) }

// set writes a set of prefixes, in which a packet is looked up at once however many
// there are.
func (e Exit) set(line func(format string, args ...any), name string, list []netip.Prefix) {
	line("\tset %s {", name)
	line("\t\ttype ipv4_addr")
	line("\t\tflags interval")
	line("\t\tauto-merge")
	var elements []string
	for _, p := range list {
		if p.Addr().Is4() {
			elements = append(elements, p.Masked().String())
		}
	}
	if len(elements) > 0 {
		line("\t\telements = { %s }", strings.Join(elements, ", "))
	}
	line("\t}")
}

// nft has nft(8) carry out a script, all of it or nothing.
func nft(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return intent.Unavailablef("this host has no nft program, and ovloom cannot set up its rules: those of the host uplink, and on the userspace datapath those that keep the host apart from its ports").
			WithHint("install it: apt-get install nftables")
	}
	if err != nil {
		return fmt.Errorf("change the nftables table of ovloom: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// HasAddr says whether an interface has an IPv4 address; false if there is none of that
// name.
func HasAddr(link string) bool {
	i, err := net.InterfaceByName(link)
	if err != nil {
		return false
	}
	addrs, _ := i.Addrs()
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() != nil
	})
}

// OwnAddrs returns the IPv4 addresses of the host that a packet from elsewhere can be
// for, without duplicates, ascending: not those of loopback.
func OwnAddrs() ([]netip.Addr, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("read the host's addresses: %w", err)
	}
	var all []netip.Addr
	for _, n := range list {
		if a := addrOf(n.IP); a.IsValid() && !a.IsLoopback() {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
}
