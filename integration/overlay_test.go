package integration_test

// What the tests of the overlay share: workloads plugged into ports by the CLI.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// pollTime is how long a condition may take that takes milliseconds on an idle
// machine.
const pollTime = 20 * time.Second

// overlay is a lab whose hosts run ovloomd.
type overlay struct {
	*lab.Lab
	t *testing.T
}

// newOverlay starts a lab and an ovloomd on each of its hosts, or on the first few
// only.
func newOverlay(t *testing.T, c lab.Config, only ...int) *overlay {
	t.Helper()
	if c.Verify == nil {
		c.Verify = flowsBecomeRight
	}
	o := &overlay{lab.New(t, c), t}
	if len(only) == 0 {
		if err := o.Lab.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, h := range o.Hosts[:only[0]] {
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// flowsAreRight compares what a host's switch holds with what a new process would
// want it to hold.
func flowsAreRight(ctx context.Context, h *lab.Host) error {
	out, err := h.Ovloom(ctx, "flows", "--diff")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// flowsBecomeRight is flowsAreRight once the host has compared its switch for the first
// time: its ovloomd may have started just now.
func flowsBecomeRight(ctx context.Context, h *lab.Host) error {
	for until := time.Now().Add(lab.Patient(pollTime)); ; {
		err := flowsAreRight(ctx, h)
		if lab.ExitCode(err) != 5 || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// run runs a command of the CLI on the first host and fails the test if it fails.
func (o *overlay) run(args ...string) string {
	o.t.Helper()
	return o.runOn(o.Hosts[0], args...)
}

func (o *overlay) runOn(h *lab.Host, args ...string) string {
	o.t.Helper()
	out, err := h.Ovloom(o.t.Context(), args...)
	if err != nil {
		o.t.Fatalf("on %s: %v", h.Name, err)
	}
	return out
}

// get runs a command with -o json and decodes what it prints.
func (o *overlay) get(h *lab.Host, into any, args ...string) {
	o.t.Helper()
	out := o.runOn(h, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		o.t.Fatalf("ovloom %v printed no JSON: %v\n%s", args, err, out)
	}
}

// machine is a workload with the port that it is plugged into.
type machine struct {
	*lab.Workload
	port intent.Port
}

// v4 returns the first IPv4 address.
func (m *machine) v4() netip.Addr { return m.first(false) }

// v6 returns the first IPv6 address.
func (m *machine) v6() netip.Addr { return m.first(true) }

func (m *machine) first(is6 bool) netip.Addr {
	for _, a := range m.port.Addrs {
		if a.Is6() == is6 {
			return a
		}
	}
	panic(fmt.Sprintf("port %s has no such address: %v", m.port.Ref(), m.port.Addrs))
}

// plug adds a port, makes a workload on a host and plugs it in.
func (o *overlay) plug(h *lab.Host, ref string, flags ...string) *machine {
	o.t.Helper()
	o.run(append([]string{"port", "add", ref}, flags...)...)
	return o.plugExisting(h, ref)
}

func (o *overlay) plugExisting(h *lab.Host, ref string, flags ...string) *machine {
	o.t.Helper()
	m := &machine{}
	o.get(h, &m.port, "port", "show", ref)
	w, err := h.NewWorkload(o.t.Context(), fmt.Sprintf("%s-%s-%s-%d", m.port.Tenant, m.port.Network, m.port.Name, len(h.Workloads())))
	if err != nil {
		o.t.Fatal(err)
	}
	m.Workload = w
	o.runOn(h, append([]string{"port", "plug", ref, "--netns", w.NetNS}, flags...)...)
	return m
}

// reaches polls until a ping is answered.
func (o *overlay) reaches(from *machine, to netip.Addr) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, fmt.Sprintf("%s reaches %s", from.port.Ref(), to), func() error {
		_, err := from.Ping(o.t.Context(), to)
		return err
	})
}

// capture captures what a machine sees.
func (o *overlay) capture(m *machine) *lab.Capture {
	o.t.Helper()
	c, err := m.Capture("eth0")
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

func (o *overlay) captureUnderlay() *lab.Capture {
	o.t.Helper()
	c, err := o.CaptureUnderlay()
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// send sends one frame from a machine, as it is.
func (o *overlay) send(from *machine, frame []byte) {
	o.t.Helper()
	if err := from.SendFrame("eth0", frame); err != nil {
		o.t.Fatal(err)
	}
}

// say sends a datagram from one machine to another.
func (o *overlay) say(from, to *machine, payload []byte) {
	o.t.Helper()
	o.send(from, datagram(from.port.MAC, to.port.MAC, from.v4(), to.v4(), payload))
}

// shout sends a datagram to all of the machine's network.
func (o *overlay) shout(from *machine, payload []byte) {
	o.t.Helper()
	o.send(from, datagram(from.port.MAC, lab.Broadcast, from.v4(), netip.MustParseAddr("255.255.255.255"), payload))
}

func datagram(srcMAC, dstMAC intent.MAC, src, dst netip.Addr, payload []byte) []byte {
	return lab.IPFrame(srcMAC, dstMAC, src, dst, lab.ProtoUDP, 64,
		lab.UDP(netip.AddrPortFrom(src, 9), netip.AddrPortFrom(dst, 9), payload))
}

// carries matches datagrams with a payload.
func carries(payload []byte) lab.Match {
	return func(p lab.Packet) bool { return bytes.Equal(p.Payload, payload) }
}

// status returns a host's status.
func (o *overlay) status(h *lab.Host) api.Status {
	o.t.Helper()
	var s api.Status
	o.get(h, &s, "status")
	return s
}

// drops returns how many packets a host has dropped for a reason.
func (o *overlay) drops(h *lab.Host, reason string) uint64 {
	o.t.Helper()
	for _, d := range o.status(h).Drops {
		if d.Reason == reason {
			return d.Packets
		}
	}
	return 0
}

// dropped waits until a host has dropped that many packets for a reason.
func (o *overlay) dropped(h *lab.Host, reason string, packets uint64) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, fmt.Sprintf("%d packets dropped for %s on %s", packets, reason, h.Name), func() error {
		if n := o.drops(h, reason); n < packets {
			return fmt.Errorf("only %d", n)
		}
		return nil
	})
}

// synced waits until a host's switch holds what is wanted.
func (o *overlay) synced(h *lab.Host) api.Status {
	o.t.Helper()
	var s api.Status
	lab.Eventually(o.t, pollTime, h.Name+" to have compared its switch", func() error {
		if s = o.status(h); s.Resync.At.IsZero() {
			return errors.New("it has not")
		}
		return nil
	})
	return s
}
