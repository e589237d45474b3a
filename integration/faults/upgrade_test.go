package faults_test

// Tests of replacing ovloomd by another version, and back.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// buildVersion builds an ovloomd with the given version.
func buildVersion(o *overlay.Overlay, version string) (program string) {
	o.T.Helper()
	ctx, cancel := context.WithTimeout(o.T.Context(), 10*time.Minute)
	defer cancel()
	program = filepath.Join(o.Dir, "ovloomd-"+version)
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "urfave_cli_no_docs", "-o", program, "-ldflags", "-X github.com/ovloom/ovloom/api.version="+version,
		"github.com/ovloom/ovloom/cmd/ovloomd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		o.T.Fatalf("build version %s: %v\n%s", version, err, out)
	}
	return program
}

// replaceOvloomd replaces the ovloomd of a host by another program, which must report its
// version and find nothing to change in the switch.
func replaceOvloomd(o *overlay.Overlay, h *lab.Host, program, version string) {
	o.T.Helper()
	if err := h.Ovloomd.Stop(); err != nil {
		o.T.Fatal(err)
	}
	p, err := h.Start(o.T.Context(), "ovloomd", append([]string{program}, h.OvloomdFlags()...)...)
	if err != nil {
		o.T.Fatal(err)
	}
	h.Ovloomd = p
	lab.Eventually(o.T, overlay.PollTime, "the new ovloomd to answer", func() error {
		_, err := h.Ovloom(o.T.Context(), "status")
		return err
	})
	if s := o.Synced(h); s.Resync.Messages != 0 {
		o.T.Errorf("version %s on %s sent %d messages", version, h.Name, s.Resync.Messages)
	}
	lab.Eventually(o.T, overlay.PollTime, fmt.Sprintf("%s to be listed with version %s", h.Name, version), func() error {
		var hosts []intent.HostState
		o.Get(o.Hosts[0], &hosts, "host", "list")
		for _, s := range hosts {
			if s.Name == h.Name && s.Version == version && s.Alive {
				return nil
			}
		}
		return fmt.Errorf("hosts: %+v", hosts)
	})
	if out, err := h.Ovloom(o.T.Context(), "version"); err != nil || !strings.Contains(out, "ovloomd "+version) {
		o.T.Errorf("ovloom version prints %q (%v)", out, err)
	}
}

// Another version of ovloomd, and then the first one again, takes over without packet loss and
// without a message to a switch that is right.
func TestUpgradeOfOvloomd(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: []string{`terminating with signal`}})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.Run("network", "add", "acme/lab", "--subnet", "10.0.1.0/24", "--learning")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Plug(o.Hosts[1], "acme/lab/l1", "--learn", "3")
	o.Reaches(a, b.V4())
	programs := map[string]string{}
	for _, version := range []string{"v1.0.0-test", "v1.1.0-test"} {
		programs[version] = buildVersion(o, version)
	}
	var watches []*overlay.FlowWatch
	for _, h := range o.Hosts {
		watches = append(watches, o.WatchFlows(h))
	}
	window := func(during func()) lab.Echoed {
		t.Helper()
		echo, err := lab.StartEcho(a.Workload, b.Workload, b.V4(), 500)
		if err != nil {
			t.Fatal(err)
		}
		during()
		return echo.Stop()
	}
	began := time.Now()
	replaced := window(func() {
		for _, version := range []string{"v1.0.0-test", "v1.1.0-test", "v1.0.0-test"} {
			for _, h := range o.Hosts {
				replaceOvloomd(o, h, programs[version], version)
			}
		}
	})
	took := time.Since(began)
	for _, w := range watches {
		if changed := w.Ours(); len(changed) != 0 {
			t.Errorf("%d changes of the flows of %s, such as %s", len(changed), w.H.Name, changed[0])
		}
	}
	quiet := window(func() { time.Sleep(took) })
	// A busy machine loses one packet in 200 by itself; an outage of 10 ms loses more.
	if replaced.Lost() > quiet.Lost()+replaced.Sent/200 {
		t.Errorf("%d of %d packets lost while ovloomd was replaced, %d of %d in an equal time without",
			replaced.Lost(), replaced.Sent, quiet.Lost(), quiet.Sent)
	}
	t.Logf("%d of %d packets lost while ovloomd was replaced, %d of %d in an equal time without",
		replaced.Lost(), replaced.Sent, quiet.Lost(), quiet.Sent)

	// The new plugs work.
	c := o.Plug(b.Host, "acme/web/c3")
	o.Reaches(a, c.V4())
	lab.Eventually(t, overlay.PollTime, "the watch to see the new port's flows", func() error {
		if len(watches[0].Ours()) == 0 {
			return errors.New("no change")
		}
		return nil
	})
}
