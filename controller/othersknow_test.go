package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// A port is up when the other hosts of its tenant have applied it; a host that is alive and
// hangs delays that only for a limited time.
func TestPortIsUpWhenOthersKnowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.store.claimElsewhere(intent.PortRef{Tenant: "acme", Network: "web", Port: "c2"}, "host2")
		r.store.hang = true
		r.run()
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		synctest.Wait()
		time.Sleep(othersPatience / 2)
		synctest.Wait()
		if up(r.store.claims(portRef("c1"))) {
			t.Error("the port is up before the other host has applied it")
		}
		time.Sleep(othersPatience)
		synctest.Wait()
		if !up(r.store.claims(portRef("c1"))) {
			t.Error("a host that hangs keeps the port down")
		}
		if r.store.waited != 1 {
			t.Errorf("waited %d times", r.store.waited)
		}
	})
}

func up(claims []intent.Binding) bool {
	for _, b := range claims {
		if b.Host == self {
			return b.Up
		}
	}
	return false
}
