package world

import (
	"testing"

	"github.com/ovloom/ovloom/intent"
)

func TestRangePrefixes(t *testing.T) {
	for _, s := range []string{
		"203.0.113.10-203.0.113.200", "203.0.113.0-203.0.113.255", "203.0.113.7", "0.0.0.0-255.255.255.255",
		"255.255.255.254-255.255.255.255", "10.0.0.1-10.0.1.0",
	} {
		r, err := intent.ParseAddrRange(s)
		if err != nil {
			t.Fatal(err)
		}
		next := r.First
		for _, p := range rangePrefixes(r) {
			if p.Addr() != next || p.Masked() != p {
				t.Errorf("%s: %s does not begin at %s", s, p, next)
			}
			if !r.Contains(lastOf(p)) {
				t.Errorf("%s: %s reaches beyond", s, p)
			}
			next = lastOf(p).Next()
		}
		if next != r.Last.Next() {
			t.Errorf("%s: ends before %s", s, next)
		}
	}
}
