package ofp

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/openflow"
)

// Updates as Open vSwitch 3.1 sends them.
const (
	updateAdded = "0028" + "0001" + "00" + "00" + "0000" + "0000" + "0064" + "00000000" + "0000000000000077" + // table 0, priority 100
		"0001000c" + "80000004" + "00000003" + "00000000" // in_port=3
	updateRemoved = "0020" + "0002" + "05" + "02" + "000a" + "0000" + "0001" + "00000000" + "0f04000000000001" + // table 5, deleted
		"00010004" + "00000000"
	updateOwn    = "0008" + "0004" + "00000009"
	updatePaused = "0008" + "0005" + "00000000"
)

func TestMonitorRequest(t *testing.T) {
	got := hex.EncodeToString(AppendMonitorRequest(nil, 7, 5))
	want := "00000007" + "ffffffff" + "ffffffff" + "000e" + "05" + "00" + "00010004" + "00000000"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFlowUpdates(t *testing.T) {
	var got []string
	err := EachFlowUpdate(must(hex.DecodeString(updateAdded+updateOwn+updateRemoved+updatePaused)), func(c openflow.FlowChange) error {
		got = append(got, fmt.Sprintf("%s table=%d,priority=%d,cookie=%#x,%s %s", c.Event, c.Flow.Table, c.Flow.Priority, c.Flow.Cookie, c.Flow.Match, c.Reason))
		return nil
	})
	want := []string{
		"added table=0,priority=100,cookie=0x77,in_port=3 idle timeout",
		"removed table=5,priority=1,cookie=0xf04000000000001, deleted",
		"updates paused table=0,priority=0,cookie=0x0, idle timeout",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got\n%q, %v\nwant\n%q", got, err, want)
	}
	for _, bad := range []string{"0007000100", "000800ff00000000", "0008000100000000", "0028000100"} {
		if err := EachFlowUpdate(must(hex.DecodeString(bad)), func(openflow.FlowChange) error { return nil }); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestMonitorPause(t *testing.T) {
	for body, want := range map[string]openflow.FlowEvent{"0000232000000016": openflow.FlowUpdatesPaused, "0000232000000017": openflow.FlowUpdatesResumed} {
		if e, ok := MonitorPause(must(hex.DecodeString(body))); !ok || e != want {
			t.Errorf("%s: %s, %v", body, e, ok)
		}
	}
	if _, ok := MonitorPause(must(hex.DecodeString("000023200000001e"))); ok {
		t.Error("a packet-in pauses the monitor")
	}
}

func TestPortMod(t *testing.T) {
	p := openflow.Port{No: 3, MAC: [6]byte{2, 0, 0, 0, 0, 5}, PortConfig: openflow.PortConfig{NoForward: true, Down: true}}
	got := hex.EncodeToString(AppendPortMod(nil, 9, p))
	if want := "0610002000000009" + "0000000300000000" + "0200000000050000" + "0000002100000065"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s := p.PortConfig.String(); s != "down no-forward" {
		t.Errorf("in words: %s", s)
	}
}

func FuzzFlowUpdates(f *testing.F) {
	fuzz(f, func(b []byte) {
		_ = EachFlowUpdate(b, func(openflow.FlowChange) error { return nil })
		_, _ = MonitorPause(b)
	}, must(hex.DecodeString(updateAdded+updateOwn+updateRemoved+updatePaused)))
}
