package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/store/cluster"
)

const exampleFile = "../../packaging/ovloomd.yaml"

// As it is, the example changes nothing; with every key in force it is a valid
// configuration, has all keys, and shows the defaults.
func TestExampleConfiguration(t *testing.T) {
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	if err := cfg.read(strings.NewReader(string(example)), exampleFile); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, defaultConfig()) {
		t.Errorf("as it is, it sets %+v", cfg)
	}

	inForce := regexp.MustCompile(`(?m)^#([a-z-]+:.*)$`).ReplaceAllString(string(example), "$1")
	all := config{}
	if err := all.read(strings.NewReader(inForce), exampleFile); err != nil {
		t.Fatal(err)
	}
	defaults := reflect.ValueOf(defaultConfig())
	for i, v := 0, reflect.ValueOf(all); i < v.NumField(); i++ {
		key := v.Type().Field(i).Tag.Get("yaml")
		if !strings.Contains(inForce, "\n"+key+":") {
			t.Errorf("it does not have %s", key)
		}
		if !defaults.Field(i).IsZero() && !v.Field(i).Equal(defaults.Field(i)) {
			t.Errorf("it shows %s: %v; the default is %v", key, v.Field(i), defaults.Field(i))
		}
	}
	if err := all.validate(); err != nil {
		t.Error(err)
	}
}

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
