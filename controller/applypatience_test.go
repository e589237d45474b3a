package controller

import (
	"testing"
	"time"
)

// A change of a full table of 50,000 ports is given enough time even on a busy machine.
func TestApplyPatience(t *testing.T) {
	if few, many := applyPatience(3), applyPatience(300_000); few > applyTimeout+time.Second || many < 150*time.Second {
		t.Errorf("%s for 3 messages, %s for 300,000", few, many)
	}
}
