package hostnet

// Whether tenants' packets pass this host, tested with a packet that never leaves it:
// the possible obstacles cannot all be listed.

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/packet"
)

// Counters and chains of the table for the probe. Arriving probes are counted before
// all foreign chains, passing ones after them, and dropped there.
const (
	probeArrived   = "probe_arrived"
	probeForwarded = "probe_forwarded"
	probePassed    = "probe_passed"

	probeBefore = -450 // before conntrack (-400 is its defragmentation) and raw (-300)
	probeAfter  = 450

	// probeTTL stops the probe at the next hop, should the table be removed at that
	// very moment.
	probeTTL = 2
)

// probeWait is the time limit for the probe; it takes less than a millisecond.
var probeWait = []time.Duration{2, 10, 30, 60, 100, 200, 400}

// probeFar is the probe's destination if the host has a default route: an unused
// address of TEST-NET-1 (RFC 5737).
var probeFar = netip.MustParseAddr("192.0.2.1")

// probeSource is the probe's source: the network address, which no tenant gets.
func probeSource(s intent.Subnet) netip.Addr { return s.Prefix.Masked().Addr() }

// probeRules returns the table's rules for the probe.
func (e Exit) probeRules(line func(format string, args ...any)) {
	for _, c := range []string{probeArrived, probeForwarded, probePassed} {
		line("\tcounter %s {", c)
		line("\t}")
	}
	for _, c := range []struct {
		name, hook string
		priority   int
		then       string
	}{
		{probeArrived, "prerouting", probeBefore, ""},
		{probeForwarded, "forward", probeBefore, ""},
		{probePassed, "forward", probeAfter, " drop"},
	} {
		line("\tchain %s {", c.name)
		line("\t\ttype filter hook %s priority %d; policy accept;", c.hook, c.priority)
		for _, s := range e.Subnets {
			line("\t\tiifname %q ip saddr %s counter name %q%s", e.Link, probeSource(s), c.name, c.then)
		}
		line("\t}")
	}
	// A host that refuses the probe may answer it; drop the answer.
	line("\tchain probe_answers {")
	line("\t\ttype filter hook postrouting priority %d; policy accept;", probeBefore)
	for _, s := range e.Subnets {
		line("\t\toifname %q ip daddr %s drop", e.Link, probeSource(s))
	}
	line("\t}")
}

// ErrProbeLost says that none of ProbeExit's packets arrived at the host's routing.
var ErrProbeLost = errors.New("the probe of the host uplink did not arrive")

// ProbeExit sends packets out of the switch, through send, as tenants would, and
// returns what keeps them from passing this host; nothing, if one of them passes or the
// host has no route for it. The table must exist.
func ProbeExit(ctx context.Context, e Exit, send func(ctx context.Context, frames ...[]byte) error) ([]ExitFault, error) {
	l, err := mustLink(e.Link)
	if err != nil {
		return nil, err
	}
	for _, s := range e.Subnets {
		to, ok, err := probeTarget(l)
		if err != nil || !ok {
			return nil, err
		}
		p := probe{exit: e, link: l, from: probeSource(s), to: to, send: send}
		fault, err := p.run(ctx)
		if err != nil || fault != nil {
			return deref(fault), err
		}
	}
	return nil, nil
}

func deref(f *ExitFault) []ExitFault {
	if f == nil {
		return nil
	}
	return []ExitFault{*f}
}

// probeTarget returns an address that the host routes to another interface.
func probeTarget(l netlink.Link) (netip.Addr, bool, error) {
	list, err := dump(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Addr{}, false, fmt.Errorf("read routes: %w", err)
	}
	var best netip.Addr
	for _, r := range list {
		if r.Type != unix.RTN_UNICAST || r.LinkIndex == l.Attrs().Index || r.LinkIndex == loopbackIndex {
			continue
		}
		dst := prefixOf(r.Dst)
		if !dst.IsValid() || dst.Bits() == 0 {
			return probeFar, true, nil
		}
		// Not the network's own address, which older kernels take for a broadcast. The
		// packet is dropped before the kernel resolves a neighbour.
		if a := dst.Masked().Addr().Next(); !best.IsValid() && dst.Addr().Is4() && dst.Contains(a) && !a.IsLinkLocalUnicast() {
			if own, err := OwnAddrs(); err == nil && contains(own, a) {
				a = a.Next()
			}
			best = a
		}
	}
	return best, best.IsValid(), nil
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, o := range list {
		if o == a {
			return true
		}
	}
	return false
}

type probe struct {
	exit     Exit
	link     netlink.Link
	from, to netip.Addr
	send     func(ctx context.Context, frames ...[]byte) error
}

// run sends the probe and says where it is dropped, if it does not pass.
func (p probe) run(ctx context.Context) (*ExitFault, error) {
	arrived, forwarded, passed, err := p.shoot(ctx)
	switch {
	case err != nil:
		return nil, err
	case passed:
		return nil, nil
	case !arrived:
		// The host need not be at fault; the switch may be busy.
		return nil, fmt.Errorf("interface %s: %w", p.exit.Link, ErrProbeLost)
	}
	cut := fmt.Sprintf("the host drops what comes from %s to %s", p.exit.Link, p.to)
	if by, ok := p.trace(ctx); ok {
		f := &ExitFault{
			What:   fmt.Sprintf("%s: %s", cut, by),
			Do:     "see nft -a list ruleset",
			ByHand: true,
		}
		if base, ok := by.base(ctx); ok {
			f.Do = fmt.Sprintf("nft insert rule %s iifname %s accept; nft insert rule %s oifname %s accept", base, p.exit.Link, base, p.exit.Link)
			f.ByHand = false
			f.fix = func(ctx context.Context) (string, error) { return base.open(ctx, p.exit.Link) }
		}
		return f, nil
	}
	if forwarded {
		return &ExitFault{
			What:   cut + ": a packet filter that nftables does not know",
			Do:     "see iptables-legacy-save, and what else filters forwarded packets; let pass what comes from and goes to " + p.exit.Link,
			ByHand: true,
		}, nil
	}
	return &ExitFault{What: cut + ": " + p.routing(), Do: fmt.Sprintf("see ip route get %s from %s iif %s", p.to, p.from, p.exit.Link), ByHand: true}, nil
}

// shoot sends one packet of each usual protocol and says how far the first one came.
func (p probe) shoot(ctx context.Context) (arrived, forwarded, passed bool, err error) {
	before, err := p.counts(ctx)
	if err != nil {
		return false, false, false, err
	}
	if err := p.send(ctx, p.frames()...); err != nil {
		return false, false, false, fmt.Errorf("try the way through the host: %w", err)
	}
	for _, wait := range probeWait {
		select {
		case <-time.After(wait * time.Millisecond):
		case <-ctx.Done():
			return false, false, false, ctx.Err()
		}
		now, err := p.counts(ctx)
		if err != nil {
			return false, false, false, err
		}
		arrived = now[probeArrived] > before[probeArrived]
		forwarded = now[probeForwarded] > before[probeForwarded]
		passed = now[probePassed] > before[probePassed]
		if passed || arrived && wait >= probeWait[4] {
			break
		}
	}
	return arrived, forwarded, passed, nil
}

// counts reads the counters. It fails if they do not exist: then nothing may be sent.
func (p probe) counts(ctx context.Context) (map[string]uint64, error) {
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "counters", "table", "ip", exitTable(p.exit.Link)).Output()
	if err != nil {
		return nil, fmt.Errorf("list the counters of the nftables table of ovloom: %w", err)
	}
	var doc struct {
		Nftables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets uint64 `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("read the counters of the nftables table of ovloom: %w", err)
	}
	counts := map[string]uint64{}
	for _, x := range doc.Nftables {
		if x.Counter != nil {
			counts[x.Counter.Name] = x.Counter.Packets
		}
	}
	if _, ok := counts[probePassed]; !ok {
		return nil, errors.New("the nftables table of ovloom is not as it was made")
	}
	return counts, nil
}

// routing says why the kernel does not forward the probe. Newer kernels return the same
// error for all causes.
func (p probe) routing() string {
	link := p.exit.Link
	if on, err := Sysctl("ipv4/forwarding", link); err == nil && on != "1" {
		return fmt.Sprintf("it does not forward IPv4 packets that come in by %s (net.ipv4.conf.%s.forwarding)", link, link)
	}
	back, err := netlink.RouteGet(p.from.AsSlice())
	if (err != nil || len(back) == 0 || back[0].LinkIndex != p.link.Attrs().Index) && strict(link) {
		return "its rp_filter does not expect that there"
	}
	_, err = netlink.RouteGetWithOptions(p.to.AsSlice(), &netlink.RouteGetOptions{Iif: link, SrcAddr: p.from.AsSlice()})
	if err != nil {
		return "it has no route for that: " + err.Error()
	}
	return "before it is forwarded"
}

// frames returns an ICMP echo request, a TCP SYN to the HTTPS port and an empty DNS
// query.
func (p probe) frames() [][]byte {
	echo := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(echo[2:], packet.Checksum(0, echo))

	const source = 61000
	syn := make([]byte, 20)
	binary.BigEndian.PutUint16(syn, source)
	binary.BigEndian.PutUint16(syn[2:], 443)
	syn[4], syn[12], syn[13] = 1, 5<<4, 2
	binary.BigEndian.PutUint16(syn[14:], 1024)
	pseudo := append(append(p.from.AsSlice(), p.to.AsSlice()...), 0, unix.IPPROTO_TCP, 0, byte(len(syn)))
	binary.BigEndian.PutUint16(syn[16:], packet.Checksum(0, append(pseudo, syn...)))

	datagram := make([]byte, 8) // without a checksum, which UDP over IPv4 permits
	binary.BigEndian.PutUint16(datagram, source)
	binary.BigEndian.PutUint16(datagram[2:], 53)
	binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))

	return [][]byte{p.frame(unix.IPPROTO_ICMP, echo), p.frame(unix.IPPROTO_TCP, syn), p.frame(unix.IPPROTO_UDP, datagram)}
}

// probeMAC sends the probe; no interface has it.
var probeMAC = net.HardwareAddr{0x0e, 0x0f, 0x0f, 0x0f, 0x0f, 0x03}

func (p probe) frame(protocol byte, payload []byte) []byte {
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, probeTTL, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(payload)))
	copy(ip[12:], p.from.AsSlice())
	copy(ip[16:], p.to.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], packet.Checksum(0, ip))
	frame := append(append(append([]byte{}, p.link.Attrs().HardwareAddr...), probeMAC...), 0x08, 0x00)
	frame = append(append(frame, ip...), payload...)
	for len(frame) < 60 { // Ethernet's minimum
		frame = append(frame, 0)
	}
	return frame
}

// dropper is what dropped a packet: a rule of a chain, or its policy.
type dropper struct {
	family, table, chain string
	handle               uint64 // 0: the policy
	rule                 string // in nft's words; "" if it cannot be found
}

func (d dropper) String() string {
	at := fmt.Sprintf("%s %s %s", d.family, d.table, d.chain)
	switch {
	case d.handle == 0:
		return "the policy of nftables chain " + at
	case d.rule == "":
		return fmt.Sprintf("the rule with handle %d in nftables chain %s", d.handle, at)
	}
	return fmt.Sprintf("rule %q of nftables chain %s", d.rule, at)
}

// base returns the chain of the forward hook that led to the drop, if it may be opened.
func (d dropper) base(ctx context.Context) (filterChain, bool) {
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "ruleset").Output()
	if err != nil {
		return filterChain{}, false
	}
	var doc struct {
		Nftables []struct {
			Chain *filterChain `json:"chain"`
		} `json:"nftables"`
	}
	if json.Unmarshal(out, &doc) != nil {
		return filterChain{}, false
	}
	var found []filterChain
	for _, x := range doc.Nftables {
		c := x.Chain
		if c != nil && c.Hook == "forward" && c.Family == d.family && c.Table == d.table {
			if c.Name == d.chain {
				return *c, true
			}
			found = append(found, *c)
		}
	}
	if len(found) != 1 {
		return filterChain{}, false
	}
	return found[0], true
}

// Numbers of linux/netfilter/nf_tables.h and nfnetlink.h.
const (
	traceGroup   = 9  // NFNLGRP_NFTRACE
	traceMessage = 17 // NFT_MSG_TRACE

	traceTableName, traceChain, traceHandle, traceType, traceVerdict, traceID, tracePolicy = 1, 2, 3, 4, 5, 6, 16

	tracePolicyType, traceRuleType = 1, 3
	verdictCode, verdictDrop       = 1, 0
)

// traceTable names a table that exists only while the probe is traced, because tracing
// slows all other rules down.
func traceTable(own string) string { return own + "_trace" }

// trace sends the probe again and has the kernel report what drops it.
func (p probe) trace(ctx context.Context) (dropper, bool) {
	own := exitTable(p.exit.Link)
	table := traceTable(own)
	remove := fmt.Sprintf("table ip %[1]s\ndelete table ip %[1]s\n", table)
	script := fmt.Sprintf("%stable ip %s {\n\tchain trace {\n\t\ttype filter hook prerouting priority %d; policy accept;\n\t\tiifname %q ip saddr %s meta nftrace set 1\n\t}\n}\n",
		remove, table, probeBefore-1, p.exit.Link, p.from)
	socket, err := openNetlink(unix.NETLINK_NETFILTER, traceGroup)
	if err != nil {
		return dropper{}, false
	}
	defer socket.Close()
	if err := nft(ctx, script); err != nil {
		return dropper{}, false
	}
	defer nft(context.WithoutCancel(ctx), remove)
	reading, stop := context.WithCancel(ctx)
	t := tracer{own: own, mine: map[uint32]bool{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = readNetlink(reading, socket, t.take, func() {})
	}()
	_, _, passed, err := p.shoot(ctx)
	stop()
	<-done
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || passed || t.found == nil {
		return dropper{}, false
	}
	d := *t.found
	d.rule = ruleText(ctx, d)
	return d, true
}

// tracer finds what drops the probe in the kernel's trace messages.
type tracer struct {
	own  string
	mine map[uint32]bool // ids of packets seen by ovloom's own table

	mu    sync.Mutex
	found *dropper
}

func (t *tracer) take(list []syscall.NetlinkMessage) {
	families := map[byte]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_INET: "inet"}
	for _, m := range list {
		if m.Header.Type != subsystemNFT<<8|traceMessage || len(m.Data) < nfHeaderBytes {
			continue
		}
		a := nfAttributes(m.Data[nfHeaderBytes:])
		if len(a[traceID]) < 4 || len(a[traceType]) < 4 {
			continue
		}
		id, table := binary.BigEndian.Uint32(a[traceID]), nfString(a[traceTableName])
		if table == t.own || table == traceTable(t.own) {
			t.mine[id] = true
			continue
		}
		d := dropper{family: families[m.Data[0]], table: table, chain: nfString(a[traceChain])}
		drops := false
		switch binary.BigEndian.Uint32(a[traceType]) {
		case tracePolicyType:
			drops = len(a[tracePolicy]) >= 4 && binary.BigEndian.Uint32(a[tracePolicy]) == verdictDrop
		case traceRuleType:
			code := nfAttributes(a[traceVerdict])[verdictCode]
			drops = len(code) >= 4 && binary.BigEndian.Uint32(code) == verdictDrop
			if len(a[traceHandle]) >= 8 {
				d.handle = binary.BigEndian.Uint64(a[traceHandle])
			}
		}
		if drops && t.mine[id] {
			t.mu.Lock()
			t.found = &d
			t.mu.Unlock()
		}
	}
}

// ruleText returns a rule in nft's syntax.
func ruleText(ctx context.Context, d dropper) string {
	if d.handle == 0 {
		return ""
	}
	out, err := exec.CommandContext(ctx, "nft", "-s", "-a", "list", "chain", d.family, d.table, d.chain).Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutSuffix(strings.TrimSpace(line), fmt.Sprintf(" # handle %d", d.handle)); ok {
			return text
		}
	}
	return ""
}
