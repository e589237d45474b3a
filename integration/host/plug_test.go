package host_test

// Plugging what must not be plugged changes nothing; the underlay's card is watched.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

func TestRefusedPlugsChangeNothing(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	h, other := o.Hosts[0], o.Hosts[1]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	o.Run("port", "add", "acme/web/tp")
	o.Exec(h, "ip", "tuntap", "add", "tap7", "mode", "tap")
	o.Exec(h, "ip", "addr", "add", "192.0.2.7/24", "dev", "tap7")
	o.Exec(h, "ip", "link", "add", "lone", "type", "bridge")
	links := func() string {
		return o.Exec(h, "ip", "-o", "link") + o.Exec(h, "ip", "-o", "addr") + o.Exec(h, "ovs-vsctl", "--columns=name,mtu_request,external_ids", "list", "interface") +
			o.Exec(h, "ovs-vsctl", "list-ports", "br-int")
	}
	before := links()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code  int
		words []string
		args  []string
	}{
		{4, []string{"br-phy"}, []string{"--tap", "eth1"}},
		{4, []string{"eth0"}, []string{"--tap", "eth0"}},
		{4, []string{"VTEP"}, []string{"--tap", "br-phy", "--force"}},
		{4, []string{"192.0.2.7/24", "--force"}, []string{"--tap", "tap7"}},
		{4, []string{"bridge"}, []string{"--tap", "lone"}},
		{4, []string{"br-int"}, []string{"--tap", "vx0"}},
		{3, []string{"no network namespace"}, []string{"--netns", fifo}},
		{3, []string{"no network namespace"}, []string{"--netns", plain}},
		{3, []string{"no network namespace"}, []string{"--netns", "/dev/null"}},
		{4, []string{"host's own"}, []string{"--pid", fmt.Sprint(h.Ovloomd.Pid())}},
	} {
		refused(o, h, c.code, overlay.Words(c.words...), append([]string{"port", "plug", "acme/web/tp"}, c.args...)...)
	}
	if after := links(); after != before {
		t.Errorf("the host was changed: before\n%s\nafter\n%s", before, after)
	}

	// Many at once hold no thread each.
	client := api.NewClient(h.Socket())
	var all sync.WaitGroup
	ref := intent.PortRef{Tenant: "acme", Network: "web", Port: "tp"}
	for range 200 {
		all.Go(func() {
			if _, err := client.Plug(t.Context(), api.PlugRequest{Ref: ref, Netns: fifo}); err == nil {
				t.Error("a FIFO was plugged")
			}
		})
	}
	all.Wait()
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.Ovloomd.Pid())); err == nil {
		for _, line := range strings.Split(string(status), "\n") {
			var threads int
			if n, _ := fmt.Sscanf(line, "Threads: %d", &threads); n == 1 && threads > 100 {
				t.Errorf("ovloomd has %d threads", threads)
			}
		}
	}
	o.Exec(h, "ip", "addr", "flush", "dev", "tap7")
	o.RunOn(h, "port", "plug", "acme/web/tp", "--tap", "tap7")
	o.StatusBecomes(h, "the tap plugged", func(s api.Status) bool { return len(s.Ports) == 1 && s.Ports[0].Up })

	// Whoever changes the port sees what is left to do in the machine behind the tap.
	const left = "to do by hand: port acme/web/tp is tap7 of "
	for _, out := range []string{
		o.RunOn(h, "port", "set", "acme/web/tp", "--ip", "10.0.0.77"),
		o.RunOn(other, "port", "set", "acme/web/tp", "--ip", "10.0.0.78"),
		o.RunOn(other, "network", "set", "acme/web", "--mtu", "1400"),
	} {
		if !strings.Contains(out, left+h.Name) || !strings.Contains(out, "with gateway 10.0.0.1") {
			t.Errorf("a change says\n%s", out)
		}
	}
	if out := o.RunOn(other, "network", "set", "acme/web", "--mtu", "1380", "-o", "json"); !strings.Contains(out, `"left_to_do"`) || !strings.Contains(out, "an MTU of 1380 bytes") {
		t.Errorf("a change says\n%s", out)
	}

	// A second port in a namespace leaves the first one's default route alone.
	a := o.Plug(h, "acme/web/c1")
	o.Run("port", "add", "acme/web/c2")
	out := o.RunOn(h, "port", "plug", "acme/web/c2", "--netns", a.NetNS, "--ifname", "eth1")
	if !strings.Contains(out, "note: no default route through 10.0.0.1") {
		t.Errorf("plug says %s", out)
	}
	routes, err := a.Exec(t.Context(), "ip", "route", "show", "default")
	if err != nil || strings.Count(routes, "default") != 1 || !strings.Contains(routes, "dev eth0") {
		t.Errorf("default routes: %v %s", err, routes)
	}
}

func TestHandsOnTheUnderlay(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: []string{"ovloomd ended", "Connection reset by peer", "Invalid argument", "native tunnel routing failed", "no carrier", "tunnel"}})
	first, second := o.Hosts[0], o.Hosts[1]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(first, "acme/web/c1"), o.Plug(second, "acme/web/c2")
	o.Reaches(a, b.V4())

	o.Exec(second, "ip", "link", "set", "eth1", "mtu", "1580")
	o.StatusBecomes(second, "the MTU of now", func(s api.Status) bool { return s.Underlay.MTU == 1580 && s.Underlay.Interface == "br-phy" })
	lab.Eventually(t, overlay.PollTime, "host show has the MTU of now", func() error {
		var h api.Host
		if o.Get(first, &h, "host", "show", "host2"); h.UnderlayMTU != 1580 {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	lab.Eventually(t, overlay.PollTime, "the port has it", func() error {
		out, err := b.Exec(t.Context(), "ip", "link", "show", "eth0")
		if err != nil || !strings.Contains(out, "mtu 1530") {
			return fmt.Errorf("%v %s", err, out)
		}
		return nil
	})

	o.Exec(second, "ip", "addr", "del", second.VTEP.String()+"/24", "dev", "br-phy")
	o.StatusBecomes(second, "a warning", func(s api.Status) bool {
		return warns(s, "VTEP address "+second.VTEP.String(), "no interface") && s.Underlay.Fault != ""
	})
	lab.Eventually(t, overlay.PollTime, "other hosts are told", func() error {
		var h api.Host
		if o.Get(first, &h, "host", "show", "host2"); h.Fault == "" {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	if out := o.Exec(second, "ip", "-o", "addr", "show", "br-phy"); strings.Contains(out, second.VTEP.String()) {
		t.Errorf("the address was put back unasked: %s", out)
	}

	// Another address, by a restart.
	o.Exec(second, "ip", "addr", "add", "172.31.0.99/24", "dev", "br-phy")
	if err := second.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.StartOvloomd(t.Context(), "--vtep", "172.31.0.99"); err != nil {
		t.Fatal(err)
	}
	o.Reaches(a, b.V4())
	o.Reaches(b, a.V4())
	if out := o.Exec(second, "ip", "-o", "addr", "show", "br-phy"); strings.Contains(out, second.VTEP.String()+"/") {
		t.Errorf("the old address is back: %s", out)
	}
	o.StatusBecomes(second, "no warning", func(s api.Status) bool { return len(s.Warnings) == 0 })
}
