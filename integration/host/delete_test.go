package host_test

// Deleting: what is in use, all that uses it, and what is left in switches,
// hosts and the store.

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// refused runs a command of the CLI that must fail with an exit code, and with
// all of words in what it says.
func refused(o *overlay.Overlay, h *lab.Host, code int, words []string, args ...string) {
	o.T.Helper()
	out, err := h.Ovloom(o.T.Context(), args...)
	overlay.MustFail(o.T, err, code, words...)
	if out != "" {
		o.T.Errorf("ovloom %s failed, and printed\n%s", strings.Join(args, " "), out)
	}
}

// intents is all that a user can see of the store, and all its keys but the
// counters, which may rise although nothing is added.
func intents(o *overlay.Overlay) string {
	o.T.Helper()
	var b strings.Builder
	for _, noun := range []string{"tenant", "network", "port"} {
		b.WriteString(o.Run(noun, "list", "-o", "json") + "\n")
	}
	for _, key := range storeKeys(o) {
		if !counters.MatchString(key) {
			b.WriteString(key + "\n")
		}
	}
	return b.String()
}

var counters = regexp.MustCompile(`^/ovloom/v1/c/((id|vni|vrf)$|claim/)`)

func storeKeys(o *overlay.Overlay) []string {
	o.T.Helper()
	ctx, cancel := context.WithTimeout(o.T.Context(), overlay.PollTime)
	defer cancel()
	s, err := store.Open(ctx, cluster.Config{StateDir: o.T.TempDir(), Endpoints: []string{"unix://" + o.StoreSocket()}})
	if err != nil {
		o.T.Fatal(err)
	}
	defer s.Close()
	keys, err := s.Keys(ctx)
	if err != nil {
		o.T.Fatal(err)
	}
	return keys
}

func TestDeletingWhatIsInUseIsRefused(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(h, "acme/web/c1"), o.Plug(h, "acme/web/c2")
	o.Run("port", "add", "acme/web/c3")
	o.Reaches(a, b.V4())

	binding, port, network := "used by binding acme/web/c1 on host1", "used by port acme/web/c3", "used by network acme/web"
	before := intents(o)
	for _, c := range []struct {
		what  string
		words []string
	}{
		{"tenant acme", []string{"tenant acme is in use", binding, port, network, "--cascade"}},
		{"network acme/web", []string{"network acme/web is in use", binding, port, "--cascade"}},
		{"port acme/web/c1", []string{"port acme/web/c1 is in use", binding, "--cascade"}},
	} {
		noun, name, _ := strings.Cut(c.what, " ")
		refused(o, h, 4, c.words, noun, "delete", name)
		refused(o, h, 4, c.words, noun, "delete", name, "--dry-run")
		plan := o.Run(noun, "delete", name, "--cascade", "--dry-run")
		if last := plan[strings.LastIndex(plan, "\n")+1:]; last != c.what+" would be deleted" || !strings.Contains(plan, "binding acme/web/c1 on host1 would be deleted\n") {
			t.Errorf("deleting %s with --cascade --dry-run says\n%s", c.what, plan)
		}
	}
	if after := intents(o); after != before {
		t.Errorf("refused deletes changed something: before\n%s\nafter\n%s", before, after)
	}
	o.Reaches(b, a.V4())

	// Unused objects are deleted without --cascade.
	if out := o.Run("port", "delete", "acme/web/c3"); out != "port acme/web/c3 deleted" {
		t.Errorf("deleting a port that nothing uses says %q", out)
	}
}

// Deleting everything leaves what a host without any tenant has: in the switches
// the flows of the tables and of the other hosts, in the store the hosts.
func TestCascadeLeavesNothing(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	first, second := o.Hosts[0], o.Hosts[1]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/22", "--subnet", "fd00:1::/64")
	o.Run("network", "add", "acme/lab", "--subnet", "10.1.0.0/24", "--learning")
	a, b := o.Plug(first, "acme/web/c1"), o.Plug(second, "acme/web/c2")
	o.Plug(second, "acme/lab/c1", "--learn", "2")
	o.Reaches(a, b.V4())

	// More than fit into one transaction, from several clients at once.
	const ports = 300
	client := api.NewClient(first.Socket())
	defer client.Close()
	var g errgroup.Group
	g.SetLimit(8)
	for i := range ports {
		g.Go(func() error {
			_, err := client.Add(t.Context(), intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprintf("p%d", i)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, h := range o.Hosts {
		lab.Eventually(t, overlay.PollTime, h.Name+" to have something to delete", func() error {
			if kinds := flowKinds(o, h); kinds[pipeline.KindPort] < 2*ports || kinds[pipeline.KindNetwork] == 0 || groups(o, h) == "" {
				return fmt.Errorf("only flows of %v and groups %q", kinds, groups(o, h))
			}
			return nil
		})
	}

	// One network first, from the host that has no store.
	out := strings.Split(o.RunOn(second, "network", "delete", "acme/lab", "--cascade"), "\n")
	if want := []string{"binding acme/lab/c1 on host2 will be deleted", "port acme/lab/c1 will be deleted",
		"network acme/lab will be deleted", "3 objects deleted"}; !slices.Equal(out, want) {
		t.Errorf("deleting a network says %q, want %q", out, want)
	}
	out = strings.Split(o.Run("tenant", "delete", "acme", "--cascade"), "\n")
	if want := ports + 2 + 2 + 1 + 1; len(out) != want+1 || out[want] != fmt.Sprintf("%d objects deleted", want) ||
		out[want-1] != "tenant acme will be deleted" || out[want-2] != "network acme/web will be deleted" ||
		!slices.Contains(out, "binding acme/web/c2 on host2 will be deleted") || !slices.Contains(out, "port acme/web/p299 will be deleted") {
		t.Errorf("deleting the tenant says\n%s", strings.Join(out, "\n"))
	}

	// The command has waited for the hosts: no polling from here on.
	for _, h := range o.Hosts {
		kinds := flowKinds(o, h)
		if kinds[pipeline.KindBase] == 0 || kinds[pipeline.KindReason] == 0 || kinds[pipeline.KindHost] == 0 {
			t.Errorf("%s lost flows that belong to no tenant: %v", h.Name, kinds)
		}
		delete(kinds, pipeline.KindBase)
		delete(kinds, pipeline.KindReason)
		delete(kinds, pipeline.KindHost)
		if len(kinds) > 0 {
			t.Errorf("%s has flows of %v left", h.Name, kinds)
		}
		if g := groups(o, h); g != "" {
			t.Errorf("%s has groups left:\n%s", h.Name, g)
		}
	}
	if _, err := a.Ping(t.Context(), b.V4()); err == nil {
		t.Error("machines of a deleted tenant reach each other")
	}
	for _, noun := range []string{"tenant", "network", "port"} {
		if out := o.Run(noun, "list", "-o", "json"); out != "[]" {
			t.Errorf("ovloom %s list shows %s", noun, out)
		}
	}
	// What remains: the hosts themselves, the counters, because no id may ever be given
	// out twice, and which store it is.
	remains := regexp.MustCompile(`^/ovloom/v1/((hosts|alive|applied)/host[12]|i/vtep/[0-9.]+|guard/host/host[12]|c/(id|vni|vrf)|cluster)$`)
	for _, key := range storeKeys(o) {
		if !remains.MatchString(key) {
			t.Errorf("key left: %s", key)
		}
	}

	// The interfaces are still in the workloads; unplugging removes them as before.
	for _, m := range []*overlay.Machine{a, b} {
		ref := m.Port.Ref().String()
		orphaned(o, m.Host, ref)
		o.RunOn(m.Host, "port", "unplug", ref)
		gone(o, m)
		refused(o, m.Host, 3, []string{"tenant acme does not exist"}, "port", "unplug", ref)
	}
	o.RunOn(second, "port", "unplug", "acme/lab/c1")
	for _, h := range o.Hosts {
		lab.Eventually(t, overlay.PollTime, h.Name+" to have nothing to warn of", func() error {
			if s := o.Status(h); len(s.Warnings) > 0 || len(s.Ports) > 0 {
				return fmt.Errorf("warnings %v, ports %v", s.Warnings, s.Ports)
			}
			return nil
		})
	}
}

func TestUnpluggingRemovesTheInterface(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	m := o.Plug(o.Hosts[0], "acme/web/c1")
	if links := links(o, m); links == "" {
		t.Fatal("a plugged workload has no interface")
	}
	o.Run("port", "unplug", "acme/web/c1")
	gone(o, m)
	lab.Eventually(t, overlay.PollTime, "the binding to be released", func() error {
		var p api.Port
		if o.Get(o.Hosts[0], &p, "port", "show", "acme/web/c1"); p.Host != "" || len(p.Claims) > 0 {
			return fmt.Errorf("%+v", p.Claims)
		}
		return nil
	})
	o.Run("port", "delete", "acme/web/c1") // nothing uses it any more
}

// A port that is deleted while it is plugged is silent at once. Its interface
// stays where it is, because it belongs to a workload, until someone unplugs it.
func TestDeletingAPluggedPort(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(h, "acme/web/c1"), o.Plug(h, "acme/web/c2")
	o.Reaches(a, b.V4())

	cookie := pipeline.MakeCookie(pipeline.KindPort, a.Port.ID)
	o.Run("port", "delete", "acme/web/c1", "--cascade")
	if strings.Contains(o.Dump(h), fmt.Sprintf("cookie=%#x,", uint64(cookie))) {
		t.Error("flows of a deleted port are left")
	}
	if _, err := a.Ping(t.Context(), b.V4()); err == nil {
		t.Error("a deleted port reaches another")
	}
	orphaned(o, h, "acme/web/c1")

	// A new port of the same name is another port: the old interface does not become its interface.
	o.Run("port", "add", "acme/web/c1")
	orphaned(o, h, "acme/web/c1")
	refused(o, h, 4, []string{"is plugged here already", "ovloom port unplug acme/web/c1"}, "port", "plug", "acme/web/c1", "--netns", a.NetNS)
	o.Run("port", "unplug", "acme/web/c1")
	gone(o, a)
	now := o.PlugExisting(h, "acme/web/c1")
	o.Reaches(now, b.V4())
	lab.Eventually(t, overlay.PollTime, "no warning", func() error {
		if w := o.Status(h).Warnings; len(w) > 0 {
			return fmt.Errorf("%v", w)
		}
		return nil
	})
}

// orphaned waits until status warns of an interface whose port was deleted, and
// says how to remove it.
func orphaned(o *overlay.Overlay, h *lab.Host, ref string) {
	o.T.Helper()
	lab.Eventually(o.T, overlay.PollTime, "status to warn of the interface of "+ref, func() error {
		warnings := o.Status(h).Warnings
		for _, w := range warnings {
			if strings.Contains(w.What, "was plugged for port "+ref+", which was deleted") && w.Do == "ovloom port unplug "+ref {
				return nil
			}
		}
		return fmt.Errorf("it warns of %v", warnings)
	})
}

// gone checks that nothing is left of a machine's interface.
func gone(o *overlay.Overlay, m *overlay.Machine) {
	o.T.Helper()
	if links := links(o, m); links != "" {
		o.T.Errorf("%s still has an interface: %s", m.Name, links)
	}
	ports, err := m.Host.Vsctl(o.T.Context(), "--columns=name", "find", "interface", "external_ids:iface-id="+m.Port.UUID)
	if err != nil || ports != "" {
		o.T.Errorf("the bridge of %s still has %s, %v", m.Host.Name, ports, err)
	}
	links, err := m.Host.Exec(o.T.Context(), "ip", "-o", "link")
	if err != nil || strings.Contains(links, m.Port.Ref().String()) { // as the host's end is called
		o.T.Errorf("%s still has the other end: %s, %v", m.Host.Name, links, err)
	}
}

// links returns what a machine has besides its loopback.
func links(o *overlay.Overlay, m *overlay.Machine) string {
	o.T.Helper()
	out, err := m.Exec(o.T.Context(), "ip", "-o", "link", "show", "type", "veth")
	if err != nil {
		o.T.Fatal(err)
	}
	return out
}

// flowKinds counts a host's flows by the kind of object that they belong to.
func flowKinds(o *overlay.Overlay, h *lab.Host) map[pipeline.Kind]int {
	o.T.Helper()
	kinds := map[pipeline.Kind]int{}
	for _, m := range regexp.MustCompile(`cookie=0x([0-9a-f]+)`).FindAllStringSubmatch(o.Dump(h), -1) {
		c, err := strconv.ParseUint(m[1], 16, 64)
		if err != nil {
			o.T.Fatal(err)
		}
		kinds[pipeline.Cookie(c).Kind()]++
	}
	return kinds
}

// groups returns a host's groups as ovs-ofctl prints them, or "".
func groups(o *overlay.Overlay, h *lab.Host) string {
	o.T.Helper()
	out, err := h.Exec(o.T.Context(), "ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "unix:"+h.MgmtSock("br-int"))
	if err != nil {
		o.T.Fatal(err)
	}
	_, list, _ := strings.Cut(out, "\n") // after the heading
	return list
}
