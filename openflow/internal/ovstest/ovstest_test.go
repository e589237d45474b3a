package ovstest

import (
	"strings"
	"testing"
)

func TestSwitchComesUpAndComesBack(t *testing.T) {
	s := Start(t)
	s.Ofctl("add-flow", "br0", "priority=7,ip actions=drop")
	if got := s.Ofctl("dump-flows", "--no-stats", "br0"); !strings.Contains(got, "priority=7,ip actions=drop") {
		t.Fatalf("dump-flows printed %q", got)
	}
	s.KillVswitchd()
	s.StartVswitchd()
	s.waitFor("br0.mgmt")
	if got := s.Ofctl("dump-flows", "--no-stats", "br0"); strings.Contains(got, "priority=7") {
		t.Fatalf("after a crash dump-flows printed %q", got)
	}
}
