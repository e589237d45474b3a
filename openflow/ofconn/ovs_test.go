package ofconn

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
)

// These tests talk to a real Open vSwitch.

// dialOVS returns a connection that ends with the test.
func dialOVS(t testing.TB, s *ovstest.Switch, cfg Config) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), "unix:"+s.Mgmt, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// testFlow is flow i of many: its own cookie and destination.
func testFlow(i int) openflow.Flow {
	return openflow.Flow{
		Table: uint8(10 + i%3), Priority: 100, Cookie: uint64(i),
		Match: openflow.MatchOf(
			openflow.Exact(openflow.FieldMetadata, uint64(i%100)),
			openflow.MAC(openflow.FieldEthDst, [6]byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}),
		),
		Actions: []openflow.Action{
			openflow.Set(openflow.FieldReg2, uint64(i)),
			openflow.Set(openflow.FieldReg3, uint64(0x0a000000+i)),
			openflow.Goto{Table: 20},
		},
	}
}

// adds returns mods that add testFlow from..to-1.
func adds(from, to int) []openflow.Mod {
	var mods []openflow.Mod
	for i := from; i < to; i++ {
		mods = append(mods, &openflow.FlowMod{Flow: testFlow(i)})
	}
	return mods
}

// texts returns the sorted text of the flows that the switch holds.
func texts(t testing.TB, c *Conn, filter FlowFilter) []string {
	t.Helper()
	flows, err := c.Flows(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range flows {
		out = append(out, f.Flow.String())
	}
	slices.Sort(out)
	return out
}

func TestEveryFlowInstalledIsDumped(t *testing.T) {
	c := dialOVS(t, ovstest.StartBridge(t), Config{})
	const n = 100_000
	start := time.Now()
	if err := c.Apply(t.Context(), adds(0, n)); err != nil {
		t.Fatal(err)
	}
	installed := time.Since(start)
	start = time.Now()
	got := texts(t, c, FlowFilter{})
	t.Logf("%d flows installed in %v, dumped in %v", n, installed, time.Since(start))

	var want []string
	for i := range n {
		want = append(want, testFlow(i).String())
	}
	slices.Sort(want)
	if len(got) != n {
		t.Fatalf("%d flows dumped, want %d", len(got), n)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("the switch holds\n%s\nwant\n%s", got[i], want[i])
		}
	}
}

func TestFlowFilters(t *testing.T) {
	c := dialOVS(t, ovstest.StartBridge(t), Config{})
	if err := c.Apply(t.Context(), adds(0, 100)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		filter FlowFilter
		has    func(i int) bool
	}{
		{"one cookie", FlowFilter{Cookie: 42, CookieMask: ^uint64(0)}, func(i int) bool { return i == 42 }},
		{"high bits of the cookie", FlowFilter{Cookie: 32, CookieMask: 0xffe0}, func(i int) bool { return i&0xffe0 == 32 }},
		{"a bit of the slices", FlowFilter{Cookie: 1, CookieMask: 1}, func(i int) bool { return i&1 == 1 }},
		{"tables", FlowFilter{Tables: []uint8{10, 12}}, func(i int) bool { return i%3 != 1 }},
		{"match", FlowFilter{Match: openflow.MatchOf(openflow.Exact(openflow.FieldMetadata, 7))}, func(i int) bool { return i == 7 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var want []string
			for i := range 100 {
				if test.has(i) {
					want = append(want, testFlow(i).String())
				}
			}
			slices.Sort(want)
			if got := texts(t, c, test.filter); !slices.Equal(got, want) {
				t.Errorf("dumped\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestABadFlowKeepsNoOtherOut(t *testing.T) {
	unknownGroup := &openflow.FlowMod{Flow: openflow.Flow{Priority: 7, Actions: []openflow.Action{openflow.ToGroup{ID: 99}}}}
	badPrereq := &openflow.FlowMod{Flow: openflow.Flow{Priority: 8, Match: openflow.MatchOf(openflow.Exact(openflow.FieldTCPDst, 80))}}
	unencodable := &openflow.FlowMod{Flow: openflow.Flow{Priority: 9, Actions: []openflow.Action{
		openflow.Goto{Table: 3}, openflow.Goto{Table: 4}}}}
	for _, test := range []struct {
		name string
		bad  *openflow.FlowMod
		want string
	}{
		{"refused at commit", unknownGroup, "OFPBAC_BAD_OUT_GROUP"},
		{"refused when added", badPrereq, "OFPBMC_BAD_PREREQ"},
		{"not to be encoded", unencodable, "goto_table:4 comes too late"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dialOVS(t, ovstest.StartBridge(t), Config{ChunkMods: 10})
			mods := adds(0, 95)
			mods[57] = test.bad
			err := c.Apply(t.Context(), mods)
			var failed *ApplyError
			if !errors.As(err, &failed) {
				t.Fatalf("Apply returned %v, want an ApplyError", err)
			}
			if failed.Mods != 95 || failed.Committed != 94 || failed.Unsure != 0 {
				t.Errorf("%d of %d committed, %d not known; want 94 of 95, 0", failed.Committed, failed.Mods, failed.Unsure)
			}
			if len(failed.Refused) != 1 || failed.Refused[0].Mod != openflow.Mod(test.bad) || failed.Cause != nil {
				t.Errorf("refused %v because of %v, want only %s", failed.Refused, failed.Cause, test.bad)
			}
			if text := err.Error(); !strings.Contains(text, test.want) || !strings.Contains(text, test.bad.String()) {
				t.Errorf("the error says\n%s\nwant %s and %s in it", text, test.want, test.bad)
			}
			if got := len(texts(t, c, FlowFilter{})); got != 94 {
				t.Errorf("the switch holds %d flows, want all but the bad one", got)
			}
			// Nothing is left open: what is missing goes in under the same connection.
			if err := c.Apply(t.Context(), adds(57, 58)); err != nil {
				t.Fatal(err)
			}
			if got := len(texts(t, c, FlowFilter{})); got != 95 {
				t.Errorf("the switch holds %d flows, want 95", got)
			}
		})
	}
}

func TestGroupsMetersAndFlowsInOneApply(t *testing.T) {
	c := dialOVS(t, ovstest.StartBridge(t), Config{})
	group := openflow.Group{ID: 5, Type: openflow.GroupAll, Buckets: []openflow.Bucket{
		{ID: 1, Actions: []openflow.Action{openflow.Output{Port: 1}}},
		{ID: 2, Actions: []openflow.Action{openflow.Output{Port: 2}}},
	}}
	meter := openflow.Meter{ID: 9, Unit: openflow.PacketsPerSecond, Rate: 100, Burst: 10}
	flow := openflow.Flow{Priority: 3, Cookie: 1, Actions: []openflow.Action{openflow.ApplyMeter{ID: 9}, openflow.ToGroup{ID: 5}}}
	// The meter stands last and must go first.
	err := c.Apply(t.Context(), []openflow.Mod{
		&openflow.GroupMod{Command: openflow.GroupAdd, Group: group},
		&openflow.FlowMod{Flow: flow},
		&openflow.MeterMod{Command: openflow.MeterAdd, Meter: meter},
	})
	if err != nil {
		t.Fatal(err)
	}
	flows, groups, err := c.Tables(t.Context())
	if err != nil || len(flows) != 1 || flows[0].String() != flow.String() {
		t.Errorf("flows %v, %v; want %s", flows, err, flow)
	}
	if len(groups) != 1 || groups[0].String() != group.String() {
		t.Errorf("groups %v; want %s", groups, group)
	}
	meters, err := c.Meters(t.Context())
	if err != nil || len(meters) != 1 || meters[0] != meter {
		t.Errorf("meters %v, %v; want %s", meters, err, meter)
	}
	// A second add of the meter is refused before any bundle is sent.
	other := &openflow.FlowMod{Flow: testFlow(1)}
	again := &openflow.MeterMod{Command: openflow.MeterAdd, Meter: meter}
	err = c.Apply(t.Context(), []openflow.Mod{other, again})
	if err == nil || !strings.Contains(err.Error(), "OFPMMFC_METER_EXISTS") || !strings.Contains(err.Error(), again.String()) {
		t.Errorf("a meter added twice: %v", err)
	}
	// Deleted meters go after the flow that used them was replaced.
	flow.Actions = flow.Actions[1:]
	if err := c.Apply(t.Context(), []openflow.Mod{
		&openflow.MeterMod{Command: openflow.MeterDelete, Meter: meter}, &openflow.FlowMod{Flow: flow}}); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, c, FlowFilter{}); len(got) != 1 || got[0] != flow.String() {
		t.Errorf("flows %q, want %s", got, flow)
	}
	if meters, err := c.Meters(t.Context()); err != nil || len(meters) != 0 {
		t.Errorf("meters %v, %v; want none", meters, err)
	}
}

// receive returns what comes next on ch.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		var v T
		t.Fatalf("no %T within 10 s", v)
		return v
	}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestCTFlush(t *testing.T) {
	c := dialOVS(t, ovstest.StartBridge(t), Config{})
	if err := c.CTFlush(t.Context(), openflow.Connections{Zone: 5}, openflow.Connections{Zone: 5, Orig: openflow.Tuple{
		Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: 6, DstPort: 80}}); err != nil {
		t.Error(err)
	}
}

func TestKeepReconnectsAfterACrash(t *testing.T) {
	s := ovstest.StartBridge(t)
	conns := make(chan *Conn, 10)
	gone := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Keep(ctx, "unix:"+s.Mgmt, Config{}, func(ctx context.Context, c *Conn) error {
			conns <- c
			<-ctx.Done()
			gone <- context.Cause(ctx)
			return nil
		})
	}()
	first := receive(t, conns)
	if err := first.Apply(t.Context(), adds(0, 10)); err != nil {
		t.Fatal(err)
	}
	s.KillVswitchd()
	if err := receive(t, gone); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the connection ended with %v, want why it was lost", err)
	}
	if err := first.Apply(t.Context(), adds(0, 10)); err == nil {
		t.Error("Apply on a lost connection returned no error")
	}
	s.StartVswitchd()
	eventually(t, "br0 is back", func() bool { _, err := s.TryOfctl("show", "br0"); return err == nil })
	answers := time.Now()
	second := receive(t, conns)
	if err := second.Apply(t.Context(), adds(0, 1000)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(answers)
	t.Logf("1,000 flows are back %v after ovs-ofctl got an answer", took)
	if took > 300*time.Millisecond {
		t.Errorf("1,000 flows took %v to be back, want at most 300 ms", took)
	}
	cancel()
	if err := receive(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Keep returned %v, want that it was cancelled", err)
	}
	if second.Err() == nil {
		t.Error("Keep left its connection open")
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	s := ovstest.StartBridge(t)
	s.Vsctl("set", "Bridge", "br0", "protocols=OpenFlow13")
	for _, test := range []struct{ addr, want string }{
		{"unix:" + s.Mgmt, "OpenFlow15"},
		{"unix:/nowhere/br0.mgmt", "no such file or directory"},
		{"br0", "neither unix:PATH nor tcp:HOST:PORT"},
	} {
		_, err := Dial(t.Context(), test.addr, Config{})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.addr) {
			t.Errorf("Dial %s: %v, want %s", test.addr, err, test.want)
		}
	}
}

// Another program may change how fragments are treated, on a switch that tells nobody.
func TestConfigIsPutBack(t *testing.T) {
	s := ovstest.StartBridge(t)
	c := dialOVS(t, s, Config{PortChanges: make(chan openflow.PortChange, 1)})
	put := func(want string) {
		t.Helper()
		if was, err := c.PutConfigBack(t.Context()); was != want || err != nil {
			t.Errorf("put back %q, %v, want %q", was, err, want)
		}
	}
	put("")
	for _, frags := range []string{"drop", "normal"} {
		s.Ofctl("set-frags", "br0", frags)
		put(frags)
		if now := s.Ofctl("get-frags", "br0"); !strings.Contains(now, "nx-match") {
			t.Errorf("after that: %s", now)
		}
		put("")
	}
}
