// Package overlay is what the tests in labs share: an overlay on the hosts of a lab, with
// workloads plugged into its ports by the CLI, an outside that NAT leads to, and servers,
// frames and questions to the hosts' status and switches.
//
// Methods of Overlay and Outdoors fail the test on failure; those that wait for a condition
// fail it after PollTime.
package overlay

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// OnKernel reports whether labs use Linux's own datapath.
func OnKernel() bool { return os.Getenv("LAB_DATAPATH") == intent.DatapathSystem }

// HostIf returns the host's end of a machine's veth pair.
func HostIf(m *Machine) string { return hostnet.HostIfName(m.Port.UUID) }

// PollTime bounds conditions that take milliseconds on an idle machine.
const PollTime = 20 * time.Second

// Overlay is a lab whose hosts run ovloomd.
type Overlay struct {
	*lab.Lab
	T *testing.T
}

// New starts a lab and an ovloomd on each of its hosts, or on the first few of them.
func New(t *testing.T, c lab.Config, only ...int) *Overlay {
	t.Helper()
	if c.Verify == nil {
		c.Verify = flowsBecomeRight
	}
	o := &Overlay{lab.New(t, c), t}
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

// Machine is a workload with the port that it is plugged into.
type Machine struct {
	*lab.Workload
	Port intent.Port
}

// V4 returns the first IPv4 address.
func (m *Machine) V4() netip.Addr { return m.first(false) }

// V6 returns the first IPv6 address.
func (m *Machine) V6() netip.Addr { return m.first(true) }

func (m *Machine) first(is6 bool) netip.Addr {
	for _, a := range m.Port.Addrs {
		if a.Is6() == is6 {
			return a
		}
	}
	panic(fmt.Sprintf("port %s has no such address: %v", m.Port.Ref(), m.Port.Addrs))
}

// Plug adds a port, makes a workload on a host and plugs it in.
func (o *Overlay) Plug(h *lab.Host, ref string, flags ...string) *Machine {
	o.T.Helper()
	o.Run(append([]string{"port", "add", ref}, flags...)...)
	return o.PlugExisting(h, ref)
}

// PlugExisting makes a workload on a host and plugs it into an existing port.
func (o *Overlay) PlugExisting(h *lab.Host, ref string, flags ...string) *Machine {
	o.T.Helper()
	m := &Machine{}
	o.Get(h, &m.Port, "port", "show", ref)
	w, err := h.NewWorkload(o.T.Context(), fmt.Sprintf("%s-%s-%s-%d", m.Port.Tenant, m.Port.Network, m.Port.Name, len(h.Workloads())))
	if err != nil {
		o.T.Fatal(err)
	}
	m.Workload = w
	o.RunOn(h, append([]string{"port", "plug", ref, "--netns", w.NetNS}, flags...)...)
	return m
}

// Reaches polls until a ping is answered.
func (o *Overlay) Reaches(from *Machine, to netip.Addr) {
	o.T.Helper()
	lab.Eventually(o.T, PollTime, fmt.Sprintf("%s reaches %s", from.Port.Ref(), to), func() error {
		_, err := from.Ping(o.T.Context(), to)
		return err
	})
}

// Capture captures the frames of a machine.
func (o *Overlay) Capture(m *Machine) *lab.Capture {
	o.T.Helper()
	c, err := m.Capture("eth0")
	if err != nil {
		o.T.Fatal(err)
	}
	return c
}

// Wire captures the frames on the underlay.
func (o *Overlay) Wire() *lab.Capture {
	o.T.Helper()
	c, err := o.CaptureUnderlay()
	if err != nil {
		o.T.Fatal(err)
	}
	return c
}

// Send sends one frame unchanged from a machine.
func (o *Overlay) Send(from *Machine, frame []byte) {
	o.T.Helper()
	if err := from.SendFrame("eth0", frame); err != nil {
		o.T.Fatal(err)
	}
}

// Say sends a datagram from one machine to another.
func (o *Overlay) Say(from, to *Machine, payload []byte) {
	o.T.Helper()
	o.Send(from, Datagram(from.Port.MAC, to.Port.MAC, from.V4(), to.V4(), payload))
}

// Shout sends a broadcast datagram in the machine's network.
func (o *Overlay) Shout(from *Machine, payload []byte) {
	o.T.Helper()
	o.Send(from, Datagram(from.Port.MAC, lab.Broadcast, from.V4(), netip.MustParseAddr("255.255.255.255"), payload))
}

// NetworkNamed returns a network from the store.
func (o *Overlay) NetworkNamed(ref string) intent.Network {
	o.T.Helper()
	var n api.Network
	o.Get(o.Hosts[0], &n, "network", "show", ref)
	return n.Network
}

// Of returns an overlay on a lab whose daemons the test starts.
func Of(l *lab.Lab, t *testing.T) *Overlay { return &Overlay{l, t} }

// With returns the overlay for a subtest.
func (o *Overlay) With(t *testing.T) *Overlay { return &Overlay{o.Lab, t} }
