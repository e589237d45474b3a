package exit

import (
	"strings"
	"testing"

	"github.com/ovloom/ovloom/hostnet"
)

// A user's program keeps a port if it listened before the forward was made, and not if it came
// later, also over a restart of ovloomd. A program of root keeps it in either case.
func TestForwardsYieldToWhoWasFirst(t *testing.T) {
	dir := t.TempDir()
	h := &host{own: addrs("192.0.2.1"), serves: map[uint16]hostnet.Service{8080: hostnet.ServedByUser}}
	start := func() *Reconciler {
		return New(Settings{Bridge: "br-int", Link: "ovl0", StateDir: dir},
			Deps{Switch: &bridge{wake: make(chan struct{})}, Host: h, Controller: &recorder{}})
	}
	serve := func(port uint16, s hostnet.Service) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.serves[port] = s
	}
	forwarded := func(r *Reconciler, want string) {
		t.Helper()
		r.Set(r.lastSeen().config) // check again
		eventually(t, "forwards of "+want, func() bool {
			var ports []string
			if e := h.now(); e != nil {
				for _, f := range e.Forwards {
					ports = append(ports, portKey(f))
				}
			}
			return strings.Join(ports, " ") == want
		})
	}
	c := complete(internet())
	c.Forwards = append(c.Forwards, forward(8080), forward(8081))
	r := start()
	r.Set(c)
	eventually(t, "a look", func() bool { return len(r.Status().Warnings) == 1 })
	forwarded(r, "tcp/8081")

	serve(8081, hostnet.ServedByUser)
	r.Set(c)
	eventually(t, "a warning of the program that came later", func() bool { return len(r.Status().Warnings) == 2 })
	forwarded(r, "tcp/8081")
	r.Close()

	r = start()
	defer r.Close()
	r.Set(c)
	eventually(t, "a look after a restart", func() bool { return len(r.Status().Warnings) == 2 })
	forwarded(r, "tcp/8081")
	serve(8081, hostnet.ServedByRoot)
	forwarded(r, "")
	serve(8080, hostnet.NotServed)
	forwarded(r, "tcp/8080")
}
