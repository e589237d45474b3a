package peers

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"antrea.io/libOpenflow/openflow15"
	"antrea.io/ofnet/ofctrl"
	"github.com/sirupsen/logrus"

	"github.com/ovloom/ovloom/integration/ovstest"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
)

// app is what ofnet calls back.
type app struct{ connected chan *ofctrl.OFSwitch }

func (a *app) SwitchConnected(sw *ofctrl.OFSwitch)                         { a.connected <- sw }
func (a *app) SwitchDisconnected(*ofctrl.OFSwitch)                         {}
func (a *app) PacketRcvd(*ofctrl.OFSwitch, *ofctrl.PacketIn)               {}
func (a *app) MultipartReply(*ofctrl.OFSwitch, *openflow15.MultipartReply) {}
func (a *app) FlowGraphEnabledOnSwitch() bool                              { return false }
func (a *app) TLVMapEnabledOnSwitch() bool                                 { return false }
func (a *app) PortStatusRcvd(*openflow15.PortStatus)                       {}
func (a *app) MaxRetry() int                                               { return 10 }
func (a *app) RetryInterval() time.Duration                                { return 10 * time.Millisecond }

// dialOfnet connects ofnet to the switch.
func dialOfnet(t testing.TB, mgmt string) *ofctrl.OFSwitch {
	t.Helper()
	logrus.SetOutput(io.Discard)
	a := &app{connected: make(chan *ofctrl.OFSwitch, 1)}
	c := ofctrl.NewController(a)
	ended := make(chan error, 1)
	go func() { ended <- c.Connect(mgmt) }()
	t.Cleanup(func() {
		c.Delete()
		<-ended
	})
	select {
	case sw := <-a.connected:
		return sw
	case err := <-ended:
		ended <- err
		t.Fatalf("ofnet does not connect: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("ofnet does not connect within 20 s")
	}
	return nil
}

// dial connects ofconn to the switch.
func dial(t testing.TB, mgmt string) *ofconn.Conn {
	t.Helper()
	c, err := ofconn.Dial(t.Context(), "unix:"+mgmt, ofconn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Flow i of many matches a network and a MAC, sets two registers and goes on.
const flowTable, nextTable = 10, 20

func ourFlow(i int) of.Flow {
	return of.Flow{
		Table: flowTable, Priority: 100, Cookie: uint64(i + 1),
		Match: of.MatchOf(of.Exact(of.FieldMetadata, uint64(i%100)), of.MAC(of.FieldEthDst, flowMAC(i))),
		Actions: []of.Action{
			of.Set(of.FieldReg2, uint64(i)),
			of.Set(of.FieldReg3, uint64(0x0a000000+i)),
			of.Goto{Table: nextTable},
		},
	}
}

func theirFlow(table *ofctrl.Table, i int) *ofctrl.Flow {
	mac, metadata := flowMAC(i), uint64(i%100)
	hw := net.HardwareAddr(mac[:])
	f := &ofctrl.Flow{
		Table:    table,
		Match:    ofctrl.FlowMatch{Priority: 100, Metadata: &metadata, MacDa: &hw},
		CookieID: uint64(i + 1),
	}
	f.ApplyAction(ofctrl.NewSetFieldAction(openflow15.NewRegMatchField(2, uint32(i), nil)))
	f.ApplyAction(ofctrl.NewSetFieldAction(openflow15.NewRegMatchField(3, uint32(0x0a000000+i), nil)))
	f.Goto(nextTable)
	return f
}

func flowMAC(i int) [6]byte { return [6]byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)} }

// theirFlows makes n flows of ofnet.
func theirFlows(sw *ofctrl.OFSwitch, n int) []*ofctrl.Flow {
	table := ofctrl.NewTable(flowTable, sw)
	flows := make([]*ofctrl.Flow, n)
	for i := range flows {
		flows[i] = theirFlow(table, i)
	}
	return flows
}

func ourMods(n int) []of.Mod {
	mods := make([]of.Mod, n)
	for i := range mods {
		mods[i] = &of.FlowMod{Flow: ourFlow(i)}
	}
	return mods
}

// installTheirs installs flows with ofnet, in one bundle as it is meant to be used.
func installTheirs(t testing.TB, sw *ofctrl.OFSwitch, flows []*ofctrl.Flow) {
	t.Helper()
	tx := sw.NewTransaction(ofctrl.Ordered)
	if err := tx.Begin(); err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		m, err := f.GetBundleMessage(openflow15.FC_ADD)
		if err == nil {
			err = tx.AddMessage(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	n, err := tx.Complete()
	if err == nil {
		err = tx.Commit()
	}
	if err != nil || n != len(flows) {
		t.Fatalf("ofnet installs %d of %d flows: %v", n, len(flows), err)
	}
}

// held returns the text of the flows that the switch holds, sorted, and removes them.
func held(t testing.TB, c *ofconn.Conn) []string {
	t.Helper()
	flows, err := c.Flows(t.Context(), ofconn.FlowFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, f := range flows {
		texts = append(texts, f.Flow.String())
	}
	slices.Sort(texts)
	if err := c.Apply(t.Context(), []of.Mod{&of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: of.TableAll}}}); err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestBothInstallTheSameFlows(t *testing.T) {
	mgmt := ovstest.StartBridge(t).Mgmt
	c, sw := dial(t, mgmt), dialOfnet(t, mgmt)
	const n = 500
	installTheirs(t, sw, theirFlows(sw, n))
	theirs := held(t, c)
	if err := c.Apply(t.Context(), ourMods(n)); err != nil {
		t.Fatal(err)
	}
	ours := held(t, c)
	if len(ours) != n || !slices.Equal(ours, theirs) {
		t.Errorf("ours: %d flows, the first is\n%s\nofnet's: %d, the first is\n%s", len(ours), first(ours), len(theirs), first(theirs))
	}
}

func first(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	return texts[0]
}

// BenchmarkInstall installs the same flows with ofconn and with ofnet, in turn. Run
// it with -benchtime 5x.
func BenchmarkInstall(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			mgmt := ovstest.StartBridge(b).Mgmt
			c, sw := dial(b, mgmt), dialOfnet(b, mgmt)
			mods, flows := ourMods(n), theirFlows(sw, n)
			var ours, theirs []time.Duration
			timed := func(to *[]time.Duration, install func()) {
				start := time.Now()
				install()
				*to = append(*to, time.Since(start))
				if got := len(held(b, c)); got != n {
					b.Fatalf("%d flows are in, want %d", got, n)
				}
			}
			for b.Loop() {
				timed(&theirs, func() { installTheirs(b, sw, flows) })
				timed(&ours, func() {
					if err := c.Apply(b.Context(), mods); err != nil {
						b.Fatal(err)
					}
				})
			}
			b.ReportMetric(median(ours), "ovloom-ms")
			b.ReportMetric(median(theirs), "ofnet-ms")
			b.ReportMetric(median(theirs)/median(ours), "ratio")
		})
	}
}

// median returns the median of times in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2]) / float64(time.Millisecond)
}
