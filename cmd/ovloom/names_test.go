package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// Commands take several names, other names of verbs, and addresses for ports; lists are in
// the order of people.
func TestNames(t *testing.T) {
	s := newSession(t)
	s.run("tenant create acme umbrella", "network new acme/web --subnet 10.0.0.0/24 --subnet fd00::/64", "network add umbrella/web --subnet 10.0.0.0/24",
		"port add acme/web/p10 acme/web/p9 acme/web/p2", "port add acme/web/x acme/web/y --ip 10.0.0.77", "port add umbrella/web/p1",
		"port ls", "port ls acme/web -o json",
		"external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.10-203.0.113.20", "nat floating add acme/web/p2 --external campus",
		"port list --ip 203.0.113.10", "port list --ip 10.0.0.2", "port list --mac 02:00:00:00:00:99", "port list --host host2", "port list --host host9", "port list --ip 10.0.0", "port list --mac x", "port list --host Host1",
		"port show 203.0.113.10", "port show fd00::2", "port show 10.0.0.2", "port get 10.0.0.99", "port show zz",
		"tenant show acme nobody umbrella", "tenant show acme umbrella -o json", "port show acme/web/p9 acme/web/p10",
		"port rm acme/web/p9 acme/web/nope acme/web/p10", "port del acme/web/p2 --cascade -o json", "network rm umbrella/web --dry-run --cascade",
		"network describe acme/web", "port upd x", "port unpl x", "tenant destroy acme")
	s.golden("names")
	if out, errs, code := s.exec("--version"); code != exitOK || !strings.HasPrefix(out, "ovloom ") {
		t.Errorf("--version: exit code %d, %s%s", code, out, errs)
	}
}

// A container's process is what docker or podman tells.
func TestContainer(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1")
	dir := t.TempDir()
	engine := func(name, script string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	s.run("port plug acme/web/c1 --container nginx")
	engine("docker", `[ "$6" = nginx ] && echo 4711 || exit 1`)
	s.run("port plug acme/web/c1 --container nginx", "port plug acme/web/c1 --container other", "port plug acme/web/c1 --container nginx --pid 7", "port plug acme/web/c1 --container=-x")
	engine("docker", "echo 0")
	s.run("port plug acme/web/c1 --container nginx")
	s.golden("container")
}

func TestObserved(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/lab", "connections acme", "macs acme/lab", "connections nobody", "macs acme/nope", "macs acme")
	s.host.Connections = []intent.Connection{
		{Port: "acme/lab/c1", Protocol: "tcp", Source: "10.0.0.2:40112", Destination: "198.51.100.7:443", TranslatedSource: "203.0.113.10:40112", State: "ESTABLISHED"},
		{Protocol: "icmp", Source: "203.0.113.1", Destination: "203.0.113.10", TranslatedDestination: "10.0.0.2"},
	}
	s.host.Learned = []intent.LearnedMAC{{MAC: intent.MAC{2, 0, 0, 0, 0, 7}, Behind: "port acme/lab/bridge1", Idle: 3.2, Age: 61}}
	s.run("connections acme", "connections acme -o json", "macs acme/lab", "macs acme/lab -o json")
	s.golden("observed")
}
