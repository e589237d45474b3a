package main

import "testing"

func TestActiveFlows(t *testing.T) {
	const out = `OFPST_TABLE reply (OF1.5) (xid=0x2):
  table 0:
    active=24, lookup=7, matched=5

  table 1:
    active=2, lookup=0, matched=0

  table 2: ditto
  tables 3...5: ditto
  table 12:
    active=19923, lookup=0, matched=0

  tables 13...253: ditto
`
	if got, err := activeFlows(out); err != nil || got != 24+5*2+242*19923 {
		t.Errorf("%d flows (%v), want %d", got, err, 24+5*2+242*19923)
	}
	for _, bad := range []string{"", "OFPST_TABLE reply (OF1.5) (xid=0x2):\n", "  table 0:\n    active=x\n", "  table 0:\n    active=1, lookup=0\n  tables many: ditto\n"} {
		if n, err := activeFlows(bad); err == nil {
			t.Errorf("%q has %d flows", bad, n)
		}
	}
}
