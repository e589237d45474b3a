package hostnet

import (
	"context"
	"sync"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
)

func TestWatch(t *testing.T) {
	ns := ovstest.Netns(t, "watch")
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	links, inside := map[string]LinkState{}, map[int]int{}
	addrs := 0
	ended := make(chan error, 1)
	go func() {
		ended <- Watch(ctx, func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range c.Links {
				links[l.Name] = l
			}
			for _, name := range c.Gone {
				delete(links, name)
			}
			for _, id := range c.Inside {
				inside[id]++
			}
			if c.Addrs {
				addrs++
			}
		})
	}()
	see := func(what string, cond func() bool) {
		t.Helper()
		ovstest.Until(t, what, func() bool { mu.Lock(); defer mu.Unlock(); return cond() })
	}
	see("all links", func() bool { return links["lo"].Index == 1 })

	made, err := Plug(ctx, spec(ns))
	must(t, err)
	host := HostIfName(uuid)
	see("the pair", func() bool {
		l := links[host]
		return l.Index == made.IfIndex && l.Up && l.Carrier && l.Kind == "veth" && l.Inside >= 0
	})
	mu.Lock()
	id := links[host].Inside
	before := inside[id]
	mu.Unlock()
	ovstest.IP(t, "-n", ns, "addr", "del", "10.0.0.5/24", "dev", "eth0")
	see("a change in the namespace", func() bool { return inside[id] > before })
	ovstest.IP(t, "link", "set", host, "down")
	see("the host's end down", func() bool { return !links[host].Up })
	ovstest.IP(t, "link", "set", host, "up")
	ovstest.IP(t, "-n", ns, "link", "set", "eth0", "down")
	see("the other end down", func() bool { return links[host].Up && !links[host].Carrier })
	ovstest.IP(t, "addr", "add", "192.0.2.9/32", "dev", "lo")
	see("an address of the host", func() bool { return addrs > 0 })
	ovstest.IP(t, "addr", "del", "192.0.2.9/32", "dev", "lo")

	if !Stands(Target{Netns: ns}, made.Place) {
		t.Error("the namespace does not stand")
	}
	target, place, ifname, err := FindEnd(host)
	must(t, err)
	if target.Netns != ns || place != made.Place || ifname != "eth0" {
		t.Errorf("the other end is %s in %+v, %+v", ifname, target, place)
	}
	ovstest.IP(t, "netns", "del", ns)
	see("the pair gone", func() bool { _, there := links[host]; return !there })
	ovstest.IP(t, "netns", "add", ns) // a new one with the same name
	if Stands(Target{Netns: ns}, made.Place) {
		t.Error("another namespace of the same name counts as the first")
	}
	stop()
	must(t, <-ended)
}
