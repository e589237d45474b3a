package overlay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/go-openvswitch/ovs"

	"github.com/ovloom/ovloom/integration/lab"
)

// OVS returns a client that runs the commands of Open vSwitch on a host.
func OVS(ctx context.Context, h *lab.Host) *ovs.Client {
	return ovs.New(ovs.Timeout(20), ovs.Protocols([]string{ovs.ProtocolOpenFlow15}), ovs.Exec(func(command string, args ...string) ([]byte, error) {
		out, err := h.Exec(ctx, append([]string{command}, args...)...)
		return []byte(out), err
	}))
}

// Ofctl changes the switch of a host, as another program might.
func (o *Overlay) Ofctl(h *lab.Host, args ...string) string {
	o.T.Helper()
	return o.Exec(h, append([]string{"ovs-ofctl", "-O", "OpenFlow15"}, args...)...)
}

// DeleteTable deletes all flows of one table of a host's switch.
func (o *Overlay) DeleteTable(h *lab.Host, table int) {
	o.T.Helper()
	if err := OVS(o.T.Context(), h).OpenFlow.DelFlows("unix:"+h.MgmtSock("br-int"), &ovs.MatchFlow{Table: table}); err != nil {
		o.T.Fatal(err)
	}
}

// FlowsAreRight compares the flows of a host's switch with those that a new process would
// compute.
func FlowsAreRight(ctx context.Context, h *lab.Host) error {
	out, err := h.Ovloom(ctx, "flows", "--diff")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// flowsBecomeRight is FlowsAreRight after the host has first compared its switch: its ovloomd
// may just have started.
func flowsBecomeRight(ctx context.Context, h *lab.Host) error {
	for until := time.Now().Add(lab.Patient(PollTime)); ; {
		err := FlowsAreRight(ctx, h)
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

// FlowWatch is a running `ovs-ofctl monitor br-int watch:`, which prints every
// change of the switch's flows (ovs-ofctl(8)).
type FlowWatch struct {
	o *Overlay
	H *lab.Host
	p *lab.Process
}

// WatchFlows starts watching and returns when the watch works.
func (o *Overlay) WatchFlows(h *lab.Host) *FlowWatch {
	o.T.Helper()
	p, err := h.Start(o.T.Context(), "flow-watch", "ovs-ofctl", "-O", "OpenFlow13", "monitor",
		"unix:"+h.MgmtSock("br-int"), "watch:!initial")
	if err != nil {
		o.T.Fatal(err)
	}
	w := &FlowWatch{o, h, p}
	o.T.Cleanup(func() { _ = p.Stop() })
	// A flow without an object, in a table that ovloom does not use.
	lab.Eventually(o.T, PollTime, "the watch to see a change", func() error {
		w.ofctl("add-flow", "cookie=0xdead,table=250,actions=drop")
		w.ofctl("del-flows", "cookie=0xdead/-1")
		if len(w.changes()) == 0 {
			return fmt.Errorf("nothing yet")
		}
		return nil
	})
	return w
}

func (w *FlowWatch) ofctl(command, flow string) {
	w.o.T.Helper()
	if _, err := w.H.Exec(w.o.T.Context(), "ovs-ofctl", "-O", "OpenFlow13", command, "unix:"+w.H.MgmtSock("br-int"), flow); err != nil {
		w.o.T.Fatal(err)
	}
}

// changes returns the changes so far.
func (w *FlowWatch) changes() []string {
	w.o.T.Helper()
	out, err := w.p.Output()
	if err != nil {
		w.o.T.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "event=") {
			events = append(events, strings.TrimSpace(line))
		}
	}
	return events
}

// Ours returns the changes that the test itself did not make.
func (w *FlowWatch) Ours() []string {
	w.o.T.Helper()
	var events []string
	for _, e := range w.changes() {
		if !strings.Contains(e, "table=250") {
			events = append(events, e)
		}
	}
	return events
}

// Dump returns a host's flows, without counters, as ovs-ofctl prints them.
func (o *Overlay) Dump(h *lab.Host) string {
	o.T.Helper()
	ctx, cancel := context.WithTimeout(o.T.Context(), 20*time.Second)
	defer cancel()
	out, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "--no-stats", "unix:"+h.MgmtSock("br-int"))
	if err != nil {
		o.T.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Megaflows returns the number of megaflows of a host's datapath for TCP to an address or
// prefix, as reported by ovs-vswitchd.
func Megaflows(ctx context.Context, h *lab.Host, match string) (int, error) {
	out, err := h.Exec(ctx, "ovs-appctl", "dpctl/dump-flows", "-m", "filter="+match)
	if err != nil {
		return 0, err
	}
	return strings.Count(out, "recirc_id("), nil
}
