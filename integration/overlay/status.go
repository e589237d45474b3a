package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
)

// Warns waits until a warning with the words appears, or disappears.
func (o *Overlay) Warns(h *lab.Host, words string, want bool) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, fmt.Sprintf("a warning of %q to be there: %v", words, want), func() error {
		all := o.Status(h).Warnings
		found := slices.ContainsFunc(all, func(w api.Warning) bool { return strings.Contains(w.What, words) })
		if found != want {
			return fmt.Errorf("warnings: %+v", all)
		}
		return nil
	})
}

// ConnectionBecomes waits until status reports a connection as up, or down.
func (o *Overlay) ConnectionBecomes(h *lab.Host, name string, up bool) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, fmt.Sprintf("the connection of %s to %s: up is %t", h.Name, name, up), func() error {
		for _, c := range o.Status(h).Connections {
			if c.Name == name && c.Connected != up {
				return fmt.Errorf("%+v", c)
			}
		}
		return nil
	})
}

// StatusBecomes polls until the status of a host meets a condition.
func (o *Overlay) StatusBecomes(h *lab.Host, what string, is func(api.Status) bool) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, what, func() error {
		var s api.Status
		o.Get(h, &s, "status")
		if !is(s) {
			return fmt.Errorf("status: ports %+v, warnings %+v, repairs %+v", s.Ports, s.Warnings, s.Repairs)
		}
		return nil
	})
}

// Repairs returns the repairs of one kind on a host: their number, and the newest.
func (o *Overlay) Repairs(h *lab.Host, what string) (times int, newest api.Repair) {
	o.T.Helper()
	for _, r := range o.Status(h).Repairs {
		if strings.Contains(r.What, what) {
			times += r.Times
			if newest.What == "" {
				newest = r
			}
		}
	}
	return times, newest
}

// Status returns a host's status.
func (o *Overlay) Status(h *lab.Host) api.Status {
	o.T.Helper()
	var s api.Status
	o.Get(h, &s, "status")
	return s
}

// Drops returns the number of packets that a host has dropped for a reason.
func (o *Overlay) Drops(h *lab.Host, reason string) uint64 {
	o.T.Helper()
	for _, d := range o.Status(h).Drops {
		if d.Reason == reason {
			return d.Packets
		}
	}
	return 0
}

// Dropped waits until a host has dropped that many packets for a reason.
func (o *Overlay) Dropped(h *lab.Host, reason string, packets uint64) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, fmt.Sprintf("%d packets dropped for %s on %s", packets, reason, h.Name), func() error {
		if n := o.Drops(h, reason); n < packets {
			return fmt.Errorf("only %d", n)
		}
		return nil
	})
}

// Synced waits until a host's switch holds the wanted flows.
func (o *Overlay) Synced(h *lab.Host) api.Status {
	o.T.Helper()
	var s api.Status
	lab.Eventually(o.T, PollTime, h.Name+" to have compared its switch", func() error {
		if s = o.Status(h); s.Resync.At.IsZero() {
			return errors.New("it has not")
		}
		return nil
	})
	return s
}

// HostAlive checks what the first host's CLI reports about a host's life.
func (o *Overlay) HostAlive(name string, want bool) error {
	out, err := o.Hosts[0].Ovloom(o.T.Context(), "host", "show", name, "-o", "json")
	var h api.Host
	if err == nil {
		err = json.Unmarshal([]byte(out), &h)
	}
	if err == nil && h.Alive != want {
		err = errors.New("alive: " + fmt.Sprint(h.Alive))
	}
	return err
}
