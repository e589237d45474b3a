package hostnet

// The host uplink, by which tenants leave through the host's own routing: an interface,
// and the host's packet filter rules for its traffic.

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

// Exit is the wanted state of the host uplink.
type Exit struct {
	Link string // the interface, made by Open vSwitch

	// Subnets are the source ranges of packets from the overlay, each with the host's
	// own address in it.
	Subnets []intent.Subnet
	// Forbidden lists destinations that give power over all tenants: packets from the
	// overlay are not routed there, unless Allowed names the exact address.
	Forbidden []netip.Prefix
	// Denied lists further destinations that are closed unless Allowed. The host's own
	// addresses are always denied.
	Denied []netip.Prefix
	// Walls are between a subnet and prefixes that are closed to its packets only,
	// unless Allowed.
	Walls []Wall
	// Allowed lists exceptions: destinations that are open although denied or the
	// host's own.
	Allowed []netip.Prefix
	// Forwards forwards ports of the host's own addresses into the overlay.
	Forwards []ExitForward
}

// Wall is between a subnet of an exit and prefixes beyond it.
type Wall struct {
	From netip.Prefix
	To   []netip.Prefix
}

// PortRange is a range of TCP and UDP ports, ends included; zero: none.
type PortRange struct{ First, Last uint16 }

// tenantPortsLeast is the smallest range of ports that is enough for all tenants.
const tenantPortsLeast = 8192

// tenantPorts returns the source ports for tenants' packets: ports outside the
// ephemeral range of the host's own programs, so that the two do not compete. If the
// host's range leaves too few it returns none, and all share.
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

// ownPorts reads the ephemeral range of the host's own programs (ip(7),
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

// EnsureExit gives the host its address in each subnet, routes the subnets to the
// interface, brings it up, and replaces ovloom's own nftables table in one transaction.
// It touches no other table, and no setting of the host: see ExitFaults.
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
	return nft(ctx, e.rules(ports, "")) // this kernel has no connection timeout policies
}

// shortTimeouts make Linux forget tenants' connections as soon as Open vSwitch's
// userspace connection tracker does. The limit there bounds each tenant's connections,
// and with them its part of Linux's table: with Linux's own timeouts, a tenant that
// opens and drops connections would fill four times its share.
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

// loopback holds the addresses. If an interface of the userspace datapath has an
// address, ovs-vswitchd ends tunnels there: it checks packets to the interface for
// tunnel packets, on every bit of the destination, and the datapath's cache needs an
// entry for each destination beyond (ovs-appctl tnl/ports/show -v lists these
// addresses).
const loopback = "lo"

// exitLabel marks an exit's addresses on loopback. A label has at most 15 bytes and
// begins with the interface's name.
func exitLabel(link string) string {
	label := loopback + ":" + link
	return label[:min(len(label), unix.IFNAMSIZ-1)]
}

// ensureAddrs gives loopback exactly the exit's addresses, besides foreign ones, and
// the interface none.
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

// removeExitAddrs deletes the exit's addresses from loopback, except those to keep.
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

// ensureRoutes routes exactly the exit's subnets to the interface.
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

// RemoveExit removes ovloom's nftables table for the interface, and its addresses. It
// returns nil if there are none.
func RemoveExit(ctx context.Context, link string) error {
	if err := removeExitAddrs(link, nil); err != nil {
		return err
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil // then there is no table either
	}
	return nft(ctx, fmt.Sprintf("table ip %[1]s\ndelete table ip %[1]s\n", exitTable(link)))
}

// exitTable names the table of an interface: each daemon on a machine has one.
func exitTable(link string) string {
	if link == intent.HostUplink {
		return "ovloom"
	}
	return "ovloom_" + link
}

// rules returns the table in nft(8)'s syntax. It is one transaction, so that no packet
// meets the host without it.
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
	// A packet with a source route (RFC 791) could bypass the checks of its
	// destination. This rule comes before the host reads the route, whatever its
	// settings, and behind conntrack: a packet that ends a connection in the switch
	// ends it here, too.
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
		// A tenant that uses a forward of its own host. Answers must come back here,
		// and a NAT address must not be seen outside.
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

	// Tenants' packets arrive here or in forward. The switch has dropped what is
	// forbidden already; these rules catch what it cannot know.
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
		line("\t\tip saddr %s accept", probeSource(s)) // dropped in the last chain
	}
	line("\t\toifname %q ct status dnat accept", e.Link)
	line("\t\toifname %q counter drop", e.Link)
	// Packets outside any connection are not masqueraded, and would leave untranslated.
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

// openings accepts what is allowed, but not what is forbidden within a wider prefix:
// the same order as in the switch's guard.
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

// set writes a set of prefixes, whose lookup time does not grow with their number.
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

// nft runs a script with nft(8), as one transaction.
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

// HasAddr reports whether an interface has an IPv4 address; false if the interface does
// not exist.
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

// OwnAddrs returns the IPv4 addresses of the host that packets from elsewhere can
// reach, without duplicates, ascending, without loopback's.
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
