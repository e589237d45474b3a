package underlay

// Distinguishing what a person changed from what was lost: ovs-vswitchd makes the bridge's
// interface anew when it starts, without addresses and routes, and the underlay puts them
// back. Addresses and routes that differ while the interface is still the same were
// changed by hand, and stay so.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/hostnet"
)

// seenName is the file that identifies the interface that was last put right.
const seenName = "underlay-seen.json"

// seen identifies an interface of the host: its index and the host's boot.
type seen struct {
	Boot  string `json:"boot"`
	Index int    `json:"index"`
}

func (u *Underlay) seenPath() string { return filepath.Join(u.cfg.StateDir, seenName) }

// bridgeNow identifies the bridge's interface; false if there is none.
func bridgeNow(bridge string) (seen, bool) {
	index, err := hostnet.LinkIndex(bridge)
	if err != nil {
		return seen{}, false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return seen{strings.TrimSpace(string(boot)), index}, err == nil
}

// note remembers the bridge's interface, on which everything is as it should be. If the
// note is lost, a change by hand is put back: a minor fault.
func (u *Underlay) note(bridge string) {
	now, ok := bridgeNow(bridge)
	if !ok || now == u.noted {
		return
	}
	b, err := json.Marshal(now)
	if err == nil {
		err = durable.Write(u.seenPath(), b)
	}
	if err != nil {
		u.cfg.Log.Warn("cannot save the interface of the underlay bridge", "bridge", bridge, "error", err)
		return
	}
	u.noted = now
}

// changedByHand reports whether the bridge's interface is the one last put right.
func (u *Underlay) changedByHand(bridge string) bool {
	if u.noted == (seen{}) {
		if b, err := os.ReadFile(u.seenPath()); err == nil {
			_ = json.Unmarshal(b, &u.noted) // a file that cannot be read counts as none
		}
	}
	now, ok := bridgeNow(bridge)
	return ok && now == u.noted
}

// adopt returns the journal with the bridge's present addresses and routes. If the bridge
// has no IPv4 address, the journal stays as it is: it is the only record of the card's
// addresses.
func (u *Underlay) adopt(j journal) journal {
	bridge, err := hostnet.ReadLink(j.Bridge)
	if err != nil {
		return j
	}
	var addrs []hostnet.Addr
	has4 := false
	for _, a := range bridge.Addrs {
		if a.LinkLocal() {
			continue
		}
		has4 = has4 || a.Prefix.Addr().Is4()
		if i := slices.IndexFunc(j.Link.Addrs, a.Same); i >= 0 {
			a = j.Link.Addrs[i]
		} else {
			a.Label = ""
		}
		addrs = append(addrs, a)
	}
	if !has4 {
		return j
	}
	for _, a := range j.Link.Addrs {
		if a.LinkLocal() {
			addrs = append(addrs, a)
		}
	}
	routes := slices.DeleteFunc(slices.Clone(bridge.Routes), func(r hostnet.Route) bool { return !usable(r, addrs, bridge.Routes) })
	if sameSet(addrs, j.Link.Addrs, hostnet.Addr.Same) && sameSet(routes, j.Link.Routes, func(a, b hostnet.Route) bool { return a == b }) {
		return j
	}
	u.cfg.Log.Info("addresses or routes of the underlay's bridge were changed by hand; they stay so", "bridge", j.Bridge)
	j.Link.Addrs, j.Link.Routes = addrs, routes
	return j
}

// usable reports whether a route could be added again. A route that lost the way to its
// gateway with an address stays where it is, but the kernel accepts it nowhere else.
func usable(r hostnet.Route, addrs []hostnet.Addr, all []hostnet.Route) bool {
	if !r.Gateway.IsValid() || r.OnLink || r.Gateway.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(addrs, func(a hostnet.Addr) bool { return a.Prefix.Contains(r.Gateway) || a.Peer.Contains(r.Gateway) }) ||
		slices.ContainsFunc(all, func(o hostnet.Route) bool { return !o.Gateway.IsValid() && o.Dst.Contains(r.Gateway) })
}

// sameSet reports whether two lists have the same elements, in any order.
func sameSet[T any](a, b []T, same func(T, T) bool) bool {
	in := func(x T, list []T) bool { return slices.ContainsFunc(list, func(y T) bool { return same(x, y) }) }
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x T) bool { return !in(x, b) })
}

// has4 reports whether the bridge has an IPv4 address.
func has4(bridge string) bool {
	l, err := hostnet.ReadLink(bridge)
	return err == nil && slices.ContainsFunc(l.Addrs, func(a hostnet.Addr) bool { return a.Prefix.Addr().Is4() })
}
