package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// A container that ended takes its end of the port with it, which the userspace
// datapath does not report. Status does, and the port can be plugged elsewhere at once.
func TestWorkloadThatEnded(t *testing.T) {
	// Open vSwitch's warnings about an interface that is gone.
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: []string{`put back`, `\|(WARN|ERR)\|.*ovl[0-9a-f]{12}`}})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())

	if _, err := b.Host.Exec(t.Context(), "ip", "netns", "del", b.NetNS); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, overlay.PollTime, "a warning that the namespace has ended", func() error {
		w := o.Status(b.Host).Warnings
		if len(w) != 1 || !strings.Contains(w[0].What, "port acme/web/c2 (interface ") {
			return fmt.Errorf("it warns of %v", w)
		}
		return nil
	})
	b = o.PlugExisting(b.Host, "acme/web/c2")
	o.Reaches(a, b.V4())
	if w := o.Status(b.Host).Warnings; len(w) > 0 {
		t.Errorf("with the port plugged again, it warns of %v", w)
	}
}
