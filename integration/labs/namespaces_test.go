package labs_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// A user who adds a namespace while a lab stands does not hide the lab's: it can be
// removed.
func TestNamespacesOfOthersDoNotHideALab(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	o.Synced(o.Hosts[0])
	name := o.Mark() + "-mine"
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	defer exec.Command("ip", "netns", "delete", name).Run()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], "/run/netns/"+o.Mark()) {
			times[f[4]]++
		}
	}
	if len(times) < 2 {
		t.Errorf("the lab's namespaces are not mounted: %v", times)
	}
	for at, n := range times {
		if n != 1 {
			t.Errorf("%s is mounted %d times", at, n)
		}
	}
}
