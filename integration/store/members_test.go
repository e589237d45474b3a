package store_test

// What must hold when members of a store of three are lost.

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// members waits until so many members of the store answer, have a vote, and one
// leads.
func members(o *overlay.Overlay, h *lab.Host, up int) []api.StoreMember {
	o.T.Helper()
	var list []api.StoreMember
	lab.Eventually(o.T, 3*overlay.PollTime, fmt.Sprintf("%d members of the store to be up", up), func() error {
		o.Get(h, &list, "store", "member", "list")
		n, leaders := 0, 0
		for _, m := range list {
			if m.State == "up" {
				n++
			}
			if m.Leader {
				leaders++
			}
		}
		if n != up || leaders != 1 {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	return list
}

// restartOvloomd starts a host's ovloomd with flags of its own.
func restartOvloomd(o *overlay.Overlay, h *lab.Host, flags []string) {
	o.T.Helper()
	if h.Ovloomd.Running() {
		if err := h.Ovloomd.Stop(); err != nil {
			o.T.Fatal(err)
		}
	}
	p, err := h.Start(o.T.Context(), "ovloomd", append([]string{filepath.Join(lab.Programs(), "ovloomd")}, flags...)...)
	if err != nil {
		o.T.Fatal(err)
	}
	h.Ovloomd = p
	lab.Eventually(o.T, 3*overlay.PollTime, "ovloomd of "+h.Name+" to answer", func() error {
		_, err := h.Ovloom(o.T.Context(), "status")
		return err
	})
}

// From one member to three by two commands a host; each may be lost, two are too
// many, and all that come back go on.
func TestMembersOfTheStoreLost(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: append([]string{`member`, `lease`}, overlay.StoreGone...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	machines := make([]*overlay.Machine, len(o.Hosts))
	for i, h := range o.Hosts {
		machines[i] = o.Plug(h, fmt.Sprintf("acme/web/c%d", i+1))
	}
	flags := map[*lab.Host][]string{o.Hosts[0]: o.Hosts[0].OvloomdFlags()}
	for i, h := range o.Hosts[1:] {
		var j api.StoreJoining
		o.Get(o.Hosts[0], &j, "store", "member", "add", h.Name, "--url", fmt.Sprintf("http://%s:2380", h.Mgmt))
		own := h.OvloomdFlags()
		at := slices.Index(own, "--store")
		own = append(slices.Delete(own, at, at+2), "--store-listen", j.Listen)
		for _, u := range j.Join {
			own = append(own, "--store-join", u)
		}
		flags[h] = own
		restartOvloomd(o, h, own)
		members(o, o.Hosts[0], i+2)
	}

	for i, h := range o.Hosts {
		others := slices.Delete(slices.Clone(o.Hosts), i, i+1)
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		for n, other := range others {
			ref := fmt.Sprintf("acme/web/lost%d-%d", i, n)
			lab.Eventually(t, 3*overlay.PollTime, "a change on "+other.Name, func() error {
				_, err := other.Ovloom(t.Context(), "port", "add", ref, "--no-wait")
				if lab.ExitCode(err) == 4 {
					return nil // stored, and the answer lost
				}
				return err
			})
			// A new leader may just have been elected.
			lab.Eventually(t, 3*overlay.PollTime, "the change to show on "+others[1-n].Name, func() error {
				_, err := others[1-n].Ovloom(t.Context(), "port", "show", ref)
				return err
			})
		}
		o.Reaches(machines[(i+1)%3], machines[i].V4()) // also to the host without ovloomd
		restartOvloomd(o, h, flags[h])
		members(o, h, 3)
		lab.Eventually(t, 3*overlay.PollTime, "the change to show on "+h.Name, func() error {
			_, err := h.Ovloom(t.Context(), "port", "show", fmt.Sprintf("acme/web/lost%d-0", i))
			return err
		})
	}

	last := o.Hosts[2]
	for _, h := range o.Hosts[:2] {
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	o.ConnectionBecomes(last, "store", false)
	unavailable(o, last, "port", "add", "acme/web/none")
	var tenants []intent.Tenant
	if o.Get(last, &tenants, "tenant", "list"); len(tenants) != 1 {
		t.Errorf("tenants in the copy: %v", tenants)
	}
	o.Reaches(machines[2], machines[0].V4())
	for _, h := range o.Hosts[:2] {
		restartOvloomd(o, h, flags[h])
	}
	o.ConnectionBecomes(last, "store", true)
	members(o, last, 3)
	o.Reaches(o.Plug(last, "acme/web/c4"), machines[1].V4())
}
