package hostnet

// On Open vSwitch's userspace datapath the kernel also receives the packets of a port's
// interface: Open vSwitch reads a copy. Without these rules the host would answer
// tenants, route their packets, and take part in their IPv6.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// Settings of interfaces of ports, besides the common ones.
const (
	forwarding  Setting = "ipv4/forwarding" // 0: does not forward incoming packets
	reversePath Setting = "ipv4/rp_filter"  // 1: strict reverse path filter
)

// asideSettings are the settings of ports' interfaces on the host. Without IPv6 they
// have no address at all, which is how Open vSwitch recognises interfaces where tunnels
// may end: with one, a tenant's packet to the VTEP's MAC and address would be
// decapsulated there. The other settings are most of the protection on hosts without
// nft(8).
var asideSettings = []struct {
	setting Setting
	value   string
}{{DisableIPv6, "1"}, {ARPIgnore, "8"}, {forwarding, "0"}, {reversePath, "1"}}

// Aside keeps the host's own network apart from its ports' packets. NewAside makes one.
type Aside struct {
	Table string // of nftables; each daemon has its own

	// VTEP and VXLANPort are the end of the host's tunnels. Only Open vSwitch, which
	// sends past the kernel, and root may send from one to such a port.
	VTEP      netip.Addr
	VXLANPort int

	turn chan struct{} // holds a token while the rules are being changed with nft(8)

	// Owned by the holder of the token.
	known []string        // interfaces of ports
	early []string        // interfaces of ports about to be plugged
	ruled map[string]bool // interfaces that the rules name; nil: there may be no rules

	mu    sync.Mutex
	fault error // the last error of Keep; guarded by mu
}

// NewAside returns an Aside for the ports of an integration bridge. It changes nothing.
func NewAside(bridge string) *Aside {
	return &Aside{Table: AsideTable(bridge), turn: make(chan struct{}, 1)}
}

// take waits for the caller's turn to change the rules; the turn lasts until done is
// called.
func (a *Aside) take(ctx context.Context) (done func(), err error) {
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Fault returns why the host's network is not kept apart from its ports; nil: no known
// fault. It does not wait for nft(8).
func (a *Aside) Fault() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fault
}

// Add registers an interface that is about to be made for a port.
func (a *Aside) Add(ctx context.Context, link string) error {
	done, err := a.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !slices.Contains(a.known, link) && !slices.Contains(a.early, link) {
		a.early = append(a.early, link)
	}
	return a.rule(ctx, []string{link})
}

// Made configures an interface that was made for a port.
func (a *Aside) Made(link string) error { return setAside(link) }

// Keep sets the interfaces of ports. With all it repairs what other programs changed,
// and forgets interfaces that have gone.
func (a *Aside) Keep(ctx context.Context, links []string, all bool) error {
	done, err := a.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	made := slices.DeleteFunc(slices.Clone(links), func(l string) bool { return !all && slices.Contains(a.known, l) })
	a.known = slices.Clone(links)
	a.early = slices.DeleteFunc(a.early, func(l string) bool { return slices.Contains(links, l) })
	if all {
		a.ruled = nil
	}
	errs := []error{a.rule(ctx, made)}
	for _, l := range made {
		errs = append(errs, setAside(l))
	}
	err = errors.Join(errs...)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = err
	return err
}

// rule makes the rules name these interfaces. If they do already, it does nothing.
func (a *Aside) rule(ctx context.Context, links []string) error {
	if a.ruled != nil {
		more := slices.DeleteFunc(slices.Clone(links), func(l string) bool { return a.ruled[l] })
		if len(more) == 0 {
			return nil
		}
		var b strings.Builder
		for _, family := range []string{"inet", "arp"} {
			fmt.Fprintf(&b, "add element %s %s ports { %s }\n", family, a.Table, quoted(more))
		}
		if nft(ctx, b.String()) == nil {
			for _, l := range more {
				a.ruled[l] = true
			}
			return nil
		}
	}
	all := slices.Concat(a.known, a.early)
	if err := nft(ctx, asideRules(a.Table, all)+a.senderRules()); err != nil {
		a.ruled = nil
		return err
	}
	a.ruled = map[string]bool{}
	for _, l := range all {
		a.ruled[l] = true
	}
	return nil
}

func setAside(link string) error {
	var errs []error
	for _, s := range asideSettings {
		_, err := SetSysctl(s.setting, link, s.value)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// quoted lists names in nft(8)'s syntax.
func quoted(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}

// asideRules drops packets from the interfaces as early as nftables sees them, before
// reassembly and conntrack. It is one transaction.
func asideRules(table string, links []string) string {
	var b strings.Builder
	for _, f := range []struct{ family, hook string }{{"inet", "prerouting priority -450"}, {"arp", "input priority 0"}} {
		fmt.Fprintf(&b, "table %[1]s %[2]s\ndelete table %[1]s %[2]s\n", f.family, table)
		fmt.Fprintf(&b, "table %s %s {\n\tset ports {\n\t\ttype ifname\n", f.family, table)
		if len(links) > 0 {
			fmt.Fprintf(&b, "\t\telements = { %s }\n", quoted(links))
		}
		fmt.Fprintf(&b, "\t}\n\tchain apart {\n\t\ttype filter hook %s; policy accept;\n\t\tiifname @ports drop\n\t}\n}\n", f.hook)
	}
	return b.String()
}

// senderRules keep the host's users, and packets that it masquerades, from sending
// tunnel packets that other hosts would accept. A user needs only a socket for that.
func (a *Aside) senderRules() string {
	if !a.VTEP.IsValid() {
		return ""
	}
	tunnel := fmt.Sprintf("ip saddr %s udp dport %d", a.VTEP, a.VXLANPort)
	return fmt.Sprintf(`table inet %s {
	chain users {
		type filter hook output priority 0; policy accept;
		%[2]s meta skuid != 0 counter drop
	}
	chain translated {
		type filter hook postrouting priority 300; policy accept;
		meta iif != 0 %[2]s counter drop
	}
}
`, a.Table, tunnel)
}

// Remove removes the rules. The interfaces stay as they are: they go with their ports.
func (a *Aside) Remove(ctx context.Context) error {
	done, err := a.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	a.known, a.early, a.ruled = nil, nil, nil
	for _, family := range []string{"inet", "arp"} {
		if exec.CommandContext(ctx, "nft", "list", "table", family, a.Table).Run() != nil {
			continue // there is no table, or no nft that could have made one
		}
		if err := nft(ctx, fmt.Sprintf("delete table %s %s\n", family, a.Table)); err != nil {
			return err
		}
	}
	return nil
}

// AsideTable names the table of nftables for the ports of an integration bridge.
func AsideTable(bridge string) string {
	if bridge == "br-int" {
		return "ovloom_ports"
	}
	return "ovloom_ports_" + strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return r
	}, bridge)
}
