package underlay

// The steps between a NIC of the kernel and a NIC in a bridge. Each step can be repeated,
// whether its work is done, half done or not begun.

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

type step struct {
	what string
	do   func(context.Context) error
}

// run runs steps in turn until one fails.
func (u *Underlay) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		u.before(s.what)
		err := ctx.Err()
		if err == nil {
			err = s.do(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// takenSettings are the NIC's settings while it is in the bridge: the kernel must not
// answer for the bridge's addresses with the NIC's MAC, and must have no IPv6 there.
var takenSettings = map[hostnet.Setting]string{hostnet.ARPIgnore: "8", hostnet.DisableIPv6: "1"}

func readSettings(nic string) (map[hostnet.Setting]string, error) {
	settings := map[hostnet.Setting]string{}
	for s := range takenSettings {
		v, err := hostnet.Sysctl(s, nic)
		if err != nil {
			return nil, err
		}
		if v != "" {
			settings[s] = v
		}
	}
	return settings, nil
}

// takeSteps moves the journal's addresses and routes to the bridge. At any time, each is
// on one of the two interfaces, or on both.
func (u *Underlay) takeSteps(j journal) []step {
	nic, bridge := j.Link.Name, j.Bridge
	steps := []step{
		{"make bridge " + bridge, func(ctx context.Context) error {
			return u.cfg.Switch.EnsureUplinkBridge(ctx, bridge, nic, bridgeMAC(j.Link.MAC), j.Link.MTU)
		}},
		{"wait for interface " + bridge, func(ctx context.Context) error { return waitForLink(ctx, bridge) }},
		{"switch off receive offloads of " + nic, func(context.Context) error {
			return hostnet.SetReceiveOffloads(nic, allOff(j.Offloads))
		}},
	}
	for _, a := range j.addrs() {
		on := a.onBridge(j)
		steps = append(steps, step{"add " + on.Prefix.String() + " to " + bridge, func(context.Context) error {
			return hostnet.AddAddr(bridge, on)
		}})
	}
	steps = append(steps,
		setting(hostnet.ARPIgnore, nic, takenSettings[hostnet.ARPIgnore]),
		step{"bring up " + bridge, func(context.Context) error { return hostnet.SetUp(bridge) }},
	)
	for _, r := range j.Link.Routes {
		steps = append(steps, step{"move route " + r.String() + " to " + bridge, func(context.Context) error {
			return hostnet.PutRoute(bridge, r)
		}})
	}
	// Remove in reverse order, secondary addresses before their primary one: the NIC then
	// always has the first addresses, and missing ones can be appended.
	for _, a := range slices.Backward(j.addrs()) {
		steps = append(steps, step{"delete " + a.Prefix.String() + " from " + nic, func(context.Context) error {
			return hostnet.DelAddr(nic, a.Addr)
		}})
	}
	return append(steps,
		setting(hostnet.DisableIPv6, nic, takenSettings[hostnet.DisableIPv6]),
		u.announce(bridge, j))
}

// returnSteps restores the host as recorded in the journal.
func (u *Underlay) returnSteps(j journal) []step {
	nic, bridge := j.Link.Name, j.Bridge
	var steps []step
	for _, s := range []hostnet.Setting{hostnet.DisableIPv6, hostnet.ARPIgnore} {
		if v, known := j.Settings[s]; known {
			steps = append(steps, setting(s, nic, v))
		}
	}
	for _, a := range j.Link.Addrs {
		steps = append(steps, step{"add " + a.Prefix.String() + " to " + nic, func(context.Context) error {
			return hostnet.AddAddr(nic, a)
		}})
	}
	for _, r := range j.Link.Routes {
		steps = append(steps, step{"move route " + r.String() + " to " + nic, func(context.Context) error {
			return hostnet.PutRoute(nic, r)
		}})
	}
	for _, a := range slices.Backward(j.addrs()) {
		steps = append(steps, step{"delete " + a.Prefix.String() + " from " + bridge, func(context.Context) error {
			if !hostnet.LinkExists(bridge) {
				return nil
			}
			return hostnet.DelAddr(bridge, a.Addr)
		}})
	}
	deleteBridge := step{"delete bridge " + bridge, func(ctx context.Context) error {
		err := u.cfg.Switch.DeleteBridge(ctx, bridge)
		if intent.KindOf(err) == intent.Conflict {
			// Another owner's bridge, for which taking failed: nothing of ovloom's is in
			// it.
			u.cfg.Log.Warn("bridge left alone", "bridge", bridge, "error", err)
			return nil
		}
		return err
	}}
	steps = append(steps, deleteBridge)
	if !j.Link.Promisc {
		// A killed ovs-vswitchd leaves promiscuous mode on.
		steps = append(steps, step{"switch off promiscuous mode of " + nic, func(context.Context) error {
			return hostnet.PromiscOff(nic)
		}})
	}
	return append(steps,
		step{"switch on receive offloads of " + nic, func(context.Context) error {
			return hostnet.SetReceiveOffloads(nic, j.Offloads)
		}},
		u.announce(nic, j))
}

func allOff(offloads map[string]bool) map[string]bool {
	off := map[string]bool{}
	for name := range offloads {
		off[name] = false
	}
	return off
}

// announce tells the neighbours where the addresses are now. It never fails: the
// neighbours find out by themselves, if later.
func (u *Underlay) announce(link string, j journal) step {
	return step{"announce the addresses of " + link, func(context.Context) error {
		var addrs []netip.Addr
		for _, a := range j.addrs() {
			addrs = append(addrs, a.Prefix.Addr())
		}
		if err := hostnet.Announce(link, addrs); err != nil {
			u.cfg.Log.Warn("cannot announce moved addresses; neighbours will notice late", "interface", link, "error", err)
		}
		return nil
	}}
}

func setting(s hostnet.Setting, link, value string) step {
	return step{"set " + string(s) + " of " + link, func(context.Context) error {
		_, err := hostnet.SetSysctl(s, link, value)
		return err
	}}
}

// settled reports whether the kernel has everything that takeSteps sets.
func (u *Underlay) settled(j journal, nic hostnet.Link) bool {
	if _, ok := u.cfg.Switch.InternalPort(j.Bridge); !ok {
		return false
	}
	bridge, err := hostnet.ReadLink(j.Bridge)
	if err != nil || !bridge.Up || !nic.Up {
		return false
	}
	for _, a := range j.addrs() {
		if !slices.ContainsFunc(bridge.Addrs, a.Same) {
			return false
		}
	}
	for _, r := range j.Link.Routes {
		if !slices.Contains(bridge.Routes, r) {
			return false
		}
	}
	if len(nic.Routes) > 0 || slices.ContainsFunc(nic.Addrs, func(a hostnet.Addr) bool { return !a.LinkLocal() }) {
		return false
	}
	if offloads, err := hostnet.ReadReceiveOffloads(nic.Name); err != nil || offloads["rx-gro"] {
		return false
	}
	for s, want := range takenSettings {
		if v, err := hostnet.Sysctl(s, nic.Name); err != nil || v != "" && v != want {
			return false
		}
	}
	return true
}

// moved is an address of the NIC that moves to the bridge.
type moved struct{ hostnet.Addr }

// addrs returns the addresses to move: all but link-local ones, which each interface makes
// itself.
func (j journal) addrs() []moved {
	var all []moved
	for _, a := range j.Link.Addrs {
		if !a.LinkLocal() {
			all = append(all, moved{a})
		}
	}
	return all
}

// onBridge returns the address for the bridge: with a label that fits, and valid for ever,
// because the program that would renew it does so on the NIC.
func (a moved) onBridge(j journal) hostnet.Addr {
	on := a.Addr
	on.Valid, on.Preferred = 0, 0
	if rest, ok := strings.CutPrefix(on.Label, j.Link.Name+":"); ok && len(j.Bridge)+1+len(rest) <= 15 {
		on.Label = j.Bridge + ":" + rest
	} else {
		on.Label = ""
	}
	return on
}

// waitForLink waits for ovs-vswitchd to make the interface of a bridge, which may happen a
// little after the database says so.
func waitForLink(ctx context.Context, name string) error {
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !hostnet.LinkExists(name) {
		select {
		case <-tick.C:
		case <-limited.Done():
			return intent.Unavailablef("ovs-vswitchd has not made interface %s: %w", name, limited.Err()).
				WithHint("see whether ovs-vswitchd runs, and in this network namespace")
		}
	}
	return nil
}

// bridgeMAC returns a MAC for the bridge, derived from the NIC's but different: locally
// administered, with a bit of the first byte flipped.
func bridgeMAC(nic string) string {
	mac, err := net.ParseMAC(nic)
	if err != nil || len(mac) != 6 {
		return ""
	}
	mac[0] = mac[0]&^1 | 2
	mac[0] ^= 0x40
	return mac.String()
}
