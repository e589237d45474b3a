package intent

import "testing"

// A SNAT that says nothing of connections, as all that were stored before there was a
// default, has the default's limit.
func TestSNATLimit(t *testing.T) {
	for _, c := range []struct {
		stored, limit uint32
		limited       bool
	}{{0, DefaultConnections, true}, {1, 1, true}, {UnlimitedConnections, 0, false}} {
		if limit, limited := (SNAT{MaxConnections: c.stored}).Limit(); limit != c.limit || limited != c.limited {
			t.Errorf("stored %d: limit %d, %t", c.stored, limit, limited)
		}
	}
}
