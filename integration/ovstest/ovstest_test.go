package ovstest

import (
	"strings"
	"testing"
)

func TestSwitchComesUpAndComesBack(t *testing.T) {
	s := StartBridge(t)
	s.Ofctl("add-flow", "br0", "priority=7,ip actions=drop")
	if got := s.Ofctl("dump-flows", "--no-stats", "br0"); !strings.Contains(got, "priority=7,ip actions=drop") {
		t.Fatalf("dump-flows printed %q", got)
	}
	s.KillVswitchd()
	s.StartVswitchd()
	s.Until("br0 is back", func() bool { return listens(s.Mgmt) })
	if got := s.Ofctl("dump-flows", "--no-stats", "br0"); strings.Contains(got, "priority=7") {
		t.Fatalf("after a crash dump-flows printed %q", got)
	}
}
