package integration_test

// Deleting: what is in use, all that uses it, and what is left in switches,
// hosts and the store.

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/store"
)

// refused runs a command of the CLI that must fail with an exit code, and with
// all of words in what it says.
func (o *overlay) refused(h *lab.Host, code int, words []string, args ...string) {
	o.t.Helper()
	out, err := h.Ovloom(o.t.Context(), args...)
	mustSay(o.t, err, code, words...)
	if out != "" {
		o.t.Errorf("ovloom %s failed, and printed\n%s", strings.Join(args, " "), out)
	}
}

// mustSay checks how a command failed.
func mustSay(t *testing.T, err error, code int, words ...string) {
	t.Helper()
	var failed *lab.ExecError
	if !errors.As(err, &failed) {
		t.Errorf("no exit code: %v", err)
		return
	}
	if failed.Code != code {
		t.Errorf("exit code %d, want %d: %v", failed.Code, code, err)
	}
	for _, w := range words {
		if !strings.Contains(failed.Stderr, w) {
			t.Errorf("it does not say %q: %v", w, err)
		}
	}
}

// intents is all that a user can see of the store, and all its keys but the
// counters: those may go on although nothing comes of it.
func (o *overlay) intents() string {
	o.t.Helper()
	var b strings.Builder
	for _, noun := range []string{"tenant", "network", "port"} {
		b.WriteString(o.run(noun, "list", "-o", "json") + "\n")
	}
	for _, key := range o.storeKeys() {
		if !counters.MatchString(key) {
			b.WriteString(key + "\n")
		}
	}
	return b.String()
}

var counters = regexp.MustCompile(`^/ovloom/v1/c/((id|vni|vrf)$|claim/)`)

func (o *overlay) storeKeys() []string {
	o.t.Helper()
	return withStore(o, func(ctx context.Context, s *store.Store) ([]string, error) { return s.Keys(ctx) })
}

func TestDeletingWhatIsInUseIsRefused(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(h, "acme/web/c1"), o.plug(h, "acme/web/c2")
	o.run("port", "add", "acme/web/c3")
	o.reaches(a, b.v4())

	binding, port, network := "used by binding acme/web/c1 on host1", "used by port acme/web/c3", "used by network acme/web"
	before := o.intents()
	for _, c := range []struct {
		what  string
		words []string
	}{
		{"tenant acme", []string{"tenant acme is in use", binding, port, network, "--cascade"}},
		{"network acme/web", []string{"network acme/web is in use", binding, port, "--cascade"}},
		{"port acme/web/c1", []string{"port acme/web/c1 is in use", binding, "--cascade"}},
	} {
		noun, name, _ := strings.Cut(c.what, " ")
		o.refused(h, 4, c.words, noun, "delete", name)
		o.refused(h, 4, c.words, noun, "delete", name, "--dry-run")
		plan := o.run(noun, "delete", name, "--cascade", "--dry-run")
		if last := plan[strings.LastIndex(plan, "\n")+1:]; last != c.what+" would be deleted" || !strings.Contains(plan, "binding acme/web/c1 on host1 would be deleted\n") {
			t.Errorf("deleting %s with --cascade --dry-run says\n%s", c.what, plan)
		}
	}
	if after := o.intents(); after != before {
		t.Errorf("refused deletes changed something: before\n%s\nafter\n%s", before, after)
	}
	o.reaches(b, a.v4())

	// What nothing uses is deleted without more ado.
	if out := o.run("port", "delete", "acme/web/c3"); out != "port acme/web/c3 deleted" {
		t.Errorf("deleting a port that nothing uses says %q", out)
	}
}

// Deleting everything leaves what a host without any tenant has: in the switches
// the flows of the tables and of the other hosts, in the store the hosts.
func TestCascadeLeavesNothing(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2})
	first, second := o.Hosts[0], o.Hosts[1]
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/22", "--subnet", "fd00:1::/64")
	o.run("network", "add", "acme/lab", "--subnet", "10.1.0.0/24", "--learning")
	a, b := o.plug(first, "acme/web/c1"), o.plug(second, "acme/web/c2")
	o.plug(second, "acme/lab/c1", "--learn", "2")
	o.reaches(a, b.v4())

	// More than fit into one transaction, from several clients at once.
	const ports = 300
	client := api.NewClient(first.Socket())
	defer client.Close()
	var g errgroup.Group
	g.SetLimit(8)
	for i := range ports {
		g.Go(func() error {
			_, err := client.AddPort(t.Context(), intent.NetworkRef{Tenant: "acme", Network: "web"}, api.PortSpec{Name: fmt.Sprintf("p%d", i)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, h := range o.Hosts {
		lab.Eventually(t, pollTime, h.Name+" to have something to delete", func() error {
			if kinds := o.flowKinds(h); kinds[pipeline.KindPort] < 2*ports || kinds[pipeline.KindNetwork] == 0 || o.groups(h) == "" {
				return fmt.Errorf("only flows of %v and groups %q", kinds, o.groups(h))
			}
			return nil
		})
	}

	// One network first, from the host that has no store.
	out := strings.Split(o.runOn(second, "network", "delete", "acme/lab", "--cascade"), "\n")
	if want := []string{"binding acme/lab/c1 on host2 will be deleted", "port acme/lab/c1 will be deleted",
		"network acme/lab will be deleted", "3 objects deleted"}; !slices.Equal(out, want) {
		t.Errorf("deleting a network says %q, want %q", out, want)
	}
	out = strings.Split(o.run("tenant", "delete", "acme", "--cascade"), "\n")
	if want := ports + 2 + 2 + 1 + 1; len(out) != want+1 || out[want] != fmt.Sprintf("%d objects deleted", want) ||
		out[want-1] != "tenant acme will be deleted" || out[want-2] != "network acme/web will be deleted" ||
		!slices.Contains(out, "binding acme/web/c2 on host2 will be deleted") || !slices.Contains(out, "port acme/web/p299 will be deleted") {
		t.Errorf("deleting the tenant says\n%s", strings.Join(out, "\n"))
	}

	// The command has waited for the hosts: no polling from here on.
	for _, h := range o.Hosts {
		kinds := o.flowKinds(h)
		if kinds[pipeline.KindBase] == 0 || kinds[pipeline.KindReason] == 0 || kinds[pipeline.KindHost] == 0 {
			t.Errorf("%s lost flows that belong to no tenant: %v", h.Name, kinds)
		}
		delete(kinds, pipeline.KindBase)
		delete(kinds, pipeline.KindReason)
		delete(kinds, pipeline.KindHost)
		if len(kinds) > 0 {
			t.Errorf("%s has flows of %v left", h.Name, kinds)
		}
		if g := o.groups(h); g != "" {
			t.Errorf("%s has groups left:\n%s", h.Name, g)
		}
	}
	if _, err := a.Ping(t.Context(), b.v4()); err == nil {
		t.Error("machines of a deleted tenant reach each other")
	}
	for _, noun := range []string{"tenant", "network", "port"} {
		if out := o.run(noun, "list", "-o", "json"); out != "[]" {
			t.Errorf("ovloom %s list shows %s", noun, out)
		}
	}
	// What remains: the hosts themselves, the counters, because no id may ever be given
	// out twice, and which store it is.
	remains := regexp.MustCompile(`^/ovloom/v1/((hosts|alive|applied)/host[12]|i/vtep/[0-9.]+|guard/host/host[12]|c/(id|vni|vrf)|cluster)$`)
	for _, key := range o.storeKeys() {
		if !remains.MatchString(key) {
			t.Errorf("key left: %s", key)
		}
	}

	// The interfaces are still in the workloads; unplugging removes them as before.
	for _, m := range []*machine{a, b} {
		ref := m.port.Ref().String()
		o.orphaned(m.Host, ref)
		o.runOn(m.Host, "port", "unplug", ref)
		o.gone(m)
		o.refused(m.Host, 3, []string{"tenant acme does not exist"}, "port", "unplug", ref)
	}
	o.runOn(second, "port", "unplug", "acme/lab/c1")
	for _, h := range o.Hosts {
		lab.Eventually(t, pollTime, h.Name+" to have nothing to warn of", func() error {
			if s := o.status(h); len(s.Warnings) > 0 || len(s.Ports) > 0 {
				return fmt.Errorf("warnings %v, ports %v", s.Warnings, s.Ports)
			}
			return nil
		})
	}
}

func TestUnpluggingRemovesTheInterface(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 1})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	m := o.plug(o.Hosts[0], "acme/web/c1")
	if links := o.links(m); links == "" {
		t.Fatal("a plugged workload has no interface")
	}
	o.run("port", "unplug", "acme/web/c1")
	o.gone(m)
	lab.Eventually(t, pollTime, "the binding to be released", func() error {
		var p api.Port
		if o.get(o.Hosts[0], &p, "port", "show", "acme/web/c1"); p.Host != "" || len(p.Claims) > 0 {
			return fmt.Errorf("%+v", p.Claims)
		}
		return nil
	})
	o.run("port", "delete", "acme/web/c1") // nothing uses it any more
}

// A port that is deleted while it is plugged is silent at once. Its interface
// stays where it is, because it belongs to a workload, until someone unplugs it.
func TestDeletingAPluggedPort(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(h, "acme/web/c1"), o.plug(h, "acme/web/c2")
	o.reaches(a, b.v4())

	cookie := pipeline.MakeCookie(pipeline.KindPort, a.port.ID)
	o.run("port", "delete", "acme/web/c1", "--cascade")
	if strings.Contains(o.dump(h), fmt.Sprintf("cookie=%#x,", uint64(cookie))) {
		t.Error("flows of a deleted port are left")
	}
	if _, err := a.Ping(t.Context(), b.v4()); err == nil {
		t.Error("a deleted port reaches another")
	}
	o.orphaned(h, "acme/web/c1")

	// A new port of the name is another port: the old interface does not become its.
	o.run("port", "add", "acme/web/c1")
	o.orphaned(h, "acme/web/c1")
	o.refused(h, 4, []string{"is plugged here already", "ovloom port unplug acme/web/c1"}, "port", "plug", "acme/web/c1", "--netns", a.NetNS)
	o.run("port", "unplug", "acme/web/c1")
	o.gone(a)
	now := o.plugExisting(h, "acme/web/c1")
	o.reaches(now, b.v4())
	lab.Eventually(t, pollTime, "no warning", func() error {
		if w := o.status(h).Warnings; len(w) > 0 {
			return fmt.Errorf("%v", w)
		}
		return nil
	})
}

// orphaned waits until status warns of an interface whose port was deleted, and
// says how to remove it.
func (o *overlay) orphaned(h *lab.Host, ref string) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, "status to warn of the interface of "+ref, func() error {
		warnings := o.status(h).Warnings
		for _, w := range warnings {
			if strings.Contains(w.What, "was plugged for port "+ref+", which was deleted") && w.Do == "ovloom port unplug "+ref {
				return nil
			}
		}
		return fmt.Errorf("it warns of %v", warnings)
	})
}

// gone checks that nothing is left of a machine's interface.
func (o *overlay) gone(m *machine) {
	o.t.Helper()
	if links := o.links(m); links != "" {
		o.t.Errorf("%s still has an interface: %s", m.Name, links)
	}
	ports, err := m.Host.Vsctl(o.t.Context(), "--columns=name", "find", "interface", "external_ids:iface-id="+m.port.UUID)
	if err != nil || ports != "" {
		o.t.Errorf("the bridge of %s still has %s, %v", m.Host.Name, ports, err)
	}
	links, err := m.Host.Exec(o.t.Context(), "ip", "-o", "link")
	if err != nil || strings.Contains(links, m.port.Ref().String()) { // as the host's end is called
		o.t.Errorf("%s still has the other end: %s, %v", m.Host.Name, links, err)
	}
}

// links returns what a machine has besides its loopback.
func (o *overlay) links(m *machine) string {
	o.t.Helper()
	out, err := m.Exec(o.t.Context(), "ip", "-o", "link", "show", "type", "veth")
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// flowKinds counts a host's flows by the kind of object that they belong to.
func (o *overlay) flowKinds(h *lab.Host) map[pipeline.Kind]int {
	o.t.Helper()
	kinds := map[pipeline.Kind]int{}
	for _, m := range regexp.MustCompile(`cookie=0x([0-9a-f]+)`).FindAllStringSubmatch(o.dump(h), -1) {
		c, err := strconv.ParseUint(m[1], 16, 64)
		if err != nil {
			o.t.Fatal(err)
		}
		kinds[pipeline.Cookie(c).Kind()]++
	}
	return kinds
}

// groups returns a host's groups as ovs-ofctl prints them, or "".
func (o *overlay) groups(h *lab.Host) string {
	o.t.Helper()
	out, err := h.Exec(o.t.Context(), "ovs-ofctl", "-O", "OpenFlow15", "dump-groups", "unix:"+h.MgmtSock("br-int"))
	if err != nil {
		o.t.Fatal(err)
	}
	_, list, _ := strings.Cut(out, "\n") // after the heading
	return list
}
