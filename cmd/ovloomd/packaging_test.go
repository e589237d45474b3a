package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/config"
	"github.com/ovloom/ovloom/store/cluster"
)

// systemd waits for an orderly end, however long that takes.
func TestUnitWaitsForTheEnd(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/ovloomd.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(string(unit))
	if m == nil {
		t.Fatal("no TimeoutStopSec")
	}
	limit, err := time.ParseDuration(m[1] + "s")
	if most := api.Drain + cluster.MemberEnd; err != nil || limit < most+10*time.Second {
		t.Errorf("it is killed after %v, %v; its end may take %v", limit, err, most)
	}
}

// What is done to the store while ovloomd is stopped is done where its configuration says,
// and says where that was.
func TestNewStoreIsWhereTheConfigurationSays(t *testing.T) {
	dir := t.TempDir()
	state, file := filepath.Join(dir, "state"), filepath.Join(dir, "ovloomd.yaml")
	if err := os.WriteFile(file, []byte("state-dir: "+state+"\nhost-name: host1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"there was no store in " + state + ":", "it begins with a new and empty store in " + state} {
		var out strings.Builder
		if err := command(&out).Run([]string{"ovloomd", "--new-store", "--config", file}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
	if _, err := os.Stat(filepath.Join(state, "store")); err != nil {
		t.Error(err)
	}
	err := command(io.Discard).Run([]string{"ovloomd", "--restore", filepath.Join(dir, "no.db"), "--config", file})
	if err == nil || !strings.Contains(err.Error(), "no.db does not exist") {
		t.Errorf("restored nothing: %v", err)
	}
}

// A flag wins over the file, which wins over the default.
func TestFlagsWin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ovloomd.yaml")
	if err := os.WriteFile(file, []byte("bridge: br-file\nvxlan-port: 4790\ngroup: file\nstore: [https://file:1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got config.Config
	app := command(io.Discard)
	app.Action = func(c *cli.Context) (err error) { got, err = loadConfig(c); return err }
	if err := app.Run([]string{"ovloomd", "--config", file, "--bridge", "br-flag", "--vxlan-port", "4791", "--store-insecure", "--store", "https://a:1", "--store", "https://b:1"}); err != nil {
		t.Fatal(err)
	}
	if got.Bridge != "br-flag" || got.VXLANPort != 4791 || got.Group != "file" || got.PhyBridge != "br-phy" || !got.StoreInsecure || !slices.Equal(got.Store, []string{"https://a:1", "https://b:1"}) {
		t.Errorf("got %+v", got)
	}
}
