package labs_test

// These tests are of the lab itself: an overlay that ovs-vsctl alone can build
// shows that hosts, wires, workloads, captures and faults are what they seem.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/integration/lab"
)

// plainVNI is the VNI of the overlay that the lab's own tests build by hand.
const plainVNI = 77

// plainOverlay builds br-phy and br-int on every host with one workload each, and
// returns the workloads.
func plainOverlay(t *testing.T, l *lab.Lab) []*lab.Workload {
	t.Helper()
	workloads := make([]*lab.Workload, len(l.Hosts))
	g, ctx := errgroup.WithContext(t.Context())
	for i, h := range l.Hosts {
		g.Go(func() (err error) {
			workloads[i], err = plainHost(ctx, l, h, i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return workloads
}

func plainAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }

func plainHost(ctx context.Context, l *lab.Lab, h *lab.Host, i int) (*lab.Workload, error) {
	// The userspace datapath tunnels only through a bridge of its own that has
	// the address, and whose MAC is not also the NIC's.
	vsctl := []string{
		"add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", fmt.Sprintf("other_config:hwaddr=02:00:00:00:01:%02x", i+1),
		"--", "add-port", "br-phy", lab.UnderlayNIC,
		"--", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure",
	}
	for _, peer := range l.Hosts {
		if peer != h {
			name := "vx-" + peer.Name
			vsctl = append(vsctl, "--", "add-port", "br-int", name, "--", "set", "interface", name,
				"type=vxlan", "options:remote_ip="+peer.VTEP.String(), fmt.Sprintf("options:key=%d", plainVNI))
		}
	}
	if _, err := h.Vsctl(ctx, vsctl...); err != nil {
		return nil, err
	}
	script := fmt.Sprintf("ip addr flush dev %s && ip addr add %s dev br-phy && ip link set br-phy mtu 1600 up", lab.UnderlayNIC, h.Underlay)
	if _, err := h.Exec(ctx, "sh", "-c", script); err != nil {
		return nil, err
	}
	w, err := h.NewWorkload(ctx, "w")
	if err != nil {
		return nil, err
	}
	return w, errors.Join(
		w.PlugVeth(ctx, lab.Veth{
			HostIf: "w-eth0",
			MAC:    fmt.Sprintf("02:00:00:00:00:%02x", i+1),
			Addrs:  []netip.Prefix{netip.PrefixFrom(plainAddr(i), 24)},
			MTU:    1500,
		}),
		plainFlows(ctx, l, h),
	)
}

// plainFlows makes br-int a hub: the tunnels form a full mesh, in which a learning
// switch would let broadcasts go round.
func plainFlows(ctx context.Context, l *lab.Lab, h *lab.Host) error {
	var tunnels []string
	for _, peer := range l.Hosts {
		if peer != h {
			tunnels = append(tunnels, "vx-"+peer.Name)
		}
	}
	for _, flow := range []string{
		"priority=1,actions=w-eth0",
		"priority=2,in_port=w-eth0,actions=" + strings.Join(tunnels, ","),
	} {
		if _, err := h.Exec(ctx, "ovs-ofctl", "add-flow", "br-int", flow); err != nil {
			return err
		}
	}
	return nil
}

// mustReachEachOther pings between all workloads until every one has answered
// every other.
func mustReachEachOther(t *testing.T, workloads []*lab.Workload) {
	t.Helper()
	for _, w := range workloads {
		for i := range workloads {
			lab.Eventually(t, 20*time.Second, fmt.Sprintf("%s to reach %s", w.Host.Name, plainAddr(i)), func() error {
				return pingOnce(t.Context(), w, plainAddr(i))
			})
		}
	}
}

func pingOnce(ctx context.Context, w *lab.Workload, to netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := w.Ping(ctx, to)
	return err
}

func TestLab(t *testing.T) {
	for _, b := range lab.Backends {
		t.Run(string(b), func(t *testing.T) {
			l := lab.New(t, lab.Config{Backend: b})
			workloads := plainOverlay(t, l)
			wire, err := l.CaptureUnderlay()
			if err != nil {
				t.Fatal(err)
			}
			mustReachEachOther(t, workloads)

			t.Run("captures see what is inside VXLAN", func(t *testing.T) { testCapture(t, wire, workloads) })
			t.Run("full-size segments arrive", func(t *testing.T) { testTransfer(t, workloads) })
			t.Run("a cable that is pulled cuts", func(t *testing.T) { testCable(t, workloads) })
			t.Run("a switch that is killed cuts until it is back", func(t *testing.T) { testKill(t, l, workloads) })
			t.Run("commands fail with their code", func(t *testing.T) { testExec(t, workloads[0]) })
		})
	}
}

func testCapture(t *testing.T, wire *lab.Capture, workloads []*lab.Workload) {
	echo := lab.All(lab.IsEcho, lab.To(plainAddr(1)))
	wire.MustSee(t, time.Second, "an echo request in VXLAN", lab.Inside(plainVNI, echo))
	if n := wire.Count(echo); n > 0 {
		t.Errorf("%d echo requests outside of VXLAN", n)
	}
	if n := wire.Count(lab.Inside(plainVNI+1, echo)); n > 0 {
		t.Errorf("%d echo requests with a VNI that no network has", n)
	}
	wire.Reset()
	inside, err := workloads[1].Capture("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := pingOnce(t.Context(), workloads[0], plainAddr(1)); err != nil {
		t.Fatal(err)
	}
	// The hub sends to both other hosts.
	if n := wire.Count(lab.InsideAny(echo)); n != 2 {
		t.Errorf("%d copies of one echo request on the underlay, not 2", n)
	}
	if n := inside.Count(echo); n != 1 {
		t.Errorf("%d echo requests at the workload, not 1", n)
	}
}

func testTransfer(t *testing.T, workloads []*lab.Workload) {
	r, err := lab.Transfer(t.Context(), workloads[0], workloads[1], plainAddr(1), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	const full = 1500 - 20 - 20 - 12 // without headers and TCP's timestamp
	if r.MSS != full {
		t.Errorf("segments carry %d bytes, not %d", r.MSS, full)
	}
	if _, err := workloads[0].PingSize(t.Context(), plainAddr(1), 1500-28); err != nil {
		t.Error(err)
	}
	if _, err := workloads[0].PingSize(t.Context(), plainAddr(1), 1500-27); err == nil {
		t.Error("a packet larger than the MTU was not refused")
	}
}

func testCable(t *testing.T, workloads []*lab.Workload) {
	echo, err := lab.StartEcho(workloads[0], workloads[1], plainAddr(1), 500)
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 5*time.Second, "the echo to come back", func() error {
		if r := echo.Result(); r.Received == 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if err := workloads[1].Host.LinkDown(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 5*time.Second, "packets to be lost", func() error {
		if r := echo.Result(); r.Lost() < 100 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if err := workloads[1].Host.LinkUp(); err != nil {
		t.Fatal(err)
	}
	mustReachEachOther(t, workloads)
	// Some that seemed lost were only late: the machine is busy, too.
	if r := echo.Stop(); r.Lost() < 20 || r.LongestGap < 100*time.Millisecond {
		t.Errorf("no outage was measured: %+v", r)
	}
}

func testKill(t *testing.T, l *lab.Lab, workloads []*lab.Workload) {
	h := l.Hosts[1]
	if err := h.Vswitchd.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := pingOnce(t.Context(), workloads[0], plainAddr(1)); err == nil {
		t.Error("a host without a switch was reached")
	}
	if err := h.StartVswitchd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := plainFlows(t.Context(), l, h); err != nil {
		t.Fatal(err)
	}
	mustReachEachOther(t, workloads)
	if err := h.OVSDB.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := h.StartOVSDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustReachEachOther(t, workloads)
}

func testExec(t *testing.T, w *lab.Workload) {
	out, err := w.Exec(t.Context(), "sh", "-c", "ip -brief addr show eth0; echo to-stderr >&2; exit 7")
	if lab.ExitCode(err) != 7 || !strings.Contains(err.Error(), "to-stderr") {
		t.Errorf("exit code and standard error are lost in: %v", err)
	}
	if !strings.Contains(out, "10.0.0.1/24") {
		t.Errorf("the command did not run in the workload: %s", out)
	}
}

func TestCheckFindsWarnings(t *testing.T) {
	l, err := lab.Start(t.Context(), lab.Config{Hosts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("a quiet lab: %v", err)
	}
	h := l.Hosts[0]
	if _, err := h.Vsctl(t.Context(), "--no-wait", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "--", "add-port", "br0", "nowhere"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 5*time.Second, "a warning about the port", func() error {
		if err := l.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "nowhere") {
			return fmt.Errorf("the check says: %v", err)
		}
		return nil
	})
	if err := l.AllowLog(`\|WARN\|.*nowhere`); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("with the warning allowed: %v", err)
	}
}

func TestCheckFindsDaemonsThatEnded(t *testing.T) {
	l, err := lab.Start(t.Context(), lab.Config{Hosts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	// Not by its Process, which would mark its end as expected.
	p, err := os.FindProcess(l.Hosts[0].OVSDB.Pid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 5*time.Second, "the death of ovsdb-server to be noticed", func() error {
		if err := l.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "ovsdb-server ended by itself") {
			return fmt.Errorf("the check says: %v", err)
		}
		return nil
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	for _, b := range lab.Backends {
		t.Run(string(b), func(t *testing.T) {
			l, err := lab.Start(t.Context(), lab.Config{Hosts: 2, Backend: b})
			if err != nil {
				t.Fatal(err)
			}
			plainOverlay(t, l)
			if left := lab.Leftovers(l.Mark()); len(left) == 0 {
				t.Error("a living lab shows nothing")
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if left := lab.Leftovers(l.Mark()); len(left) > 0 {
				t.Errorf("left:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}
