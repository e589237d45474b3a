package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

var update = flag.Bool("update", false, "write testdata/*.golden and docs/cli.md anew")

// session is a user at a shell, with a host behind the socket. What the
// commands print is compared with a golden file.
type session struct {
	t      *testing.T
	host   *hosttest.Host
	socket string
	env    map[string]string
	log    strings.Builder
}

func newSession(t *testing.T) *session {
	o := hosttest.New(t)
	socket := o.Serve()
	return &session{t: t, host: o, socket: socket, env: map[string]string{"OVLOOM_SOCKET": socket}}
}

// exec runs one command line, split at spaces.
func (s *session) exec(line string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(strings.Fields(line), strings.NewReader(""), &out, &errs, func(k string) string { return s.env[k] })
	return out.String(), errs.String(), code
}

// run runs command lines and writes down what they print; lines of stderr
// begin with "! ".
func (s *session) run(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		out, errs, code := s.exec(line)
		fmt.Fprintf(&s.log, "$ ovloom %s\n%s", line, out)
		for l := range strings.Lines(errs) {
			fmt.Fprintf(&s.log, "! %s", l)
		}
		if code != 0 {
			fmt.Fprintf(&s.log, "(exit code %d)\n", code)
		}
		s.log.WriteString("\n")
	}
}

// golden compares what was printed with testdata/NAME.golden.
func (s *session) golden(name string) {
	s.t.Helper()
	got := strings.NewReplacer(s.socket, "SOCKET", filepath.Dir(s.socket), "DIR").Replace(s.log.String())
	got = waited.ReplaceAllString(got, "(waited 700ms)") // on a busy machine it is less
	got = uuids.ReplaceAllString(got, "UUID")
	compare(s.t, filepath.Join("testdata", name+".golden"), got)
}

// uuids are made by chance.
var uuids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

var waited = regexp.MustCompile(`\(waited [1-6]00ms\)`)

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s differs at line %d:\n got %q\nwant %q", file, i+1, g[i], append(w, "")[min(i, len(w))])
		}
	}
	t.Fatalf("%s has more lines than were printed: %q", file, w[len(g)])
}

func TestTenant(t *testing.T) {
	s := newSession(t)
	s.run("tenant list", "tenant list -o json", "tenant add acme", "tenant add acme", "tenant add aardvark -o json", "tenant list",
		"tenant list --output=json", "tenant show acme", "tenant show acme -o json", "tenant show nobody", "tenant delete nobody",
		"network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1", "tenant show acme",
		"tenant delete acme", "tenant delete acme --dry-run", "tenant delete acme --cascade --dry-run", "tenant delete acme --cascade --dry-run -o json",
		"tenant show acme", "tenant delete --cascade acme", "tenant delete aardvark --cascade -o json", "tenant list")
	s.golden("tenant")
}

func TestNetwork(t *testing.T) {
	s := newSession(t)
	s.run("network add acme/web --subnet 10.0.0.0/24", "tenant add acme",
		"network add acme/web --subnet 10.0.0.0/24",
		"network add acme/web --subnet 10.0.0.0/24",
		"network add --subnet 10.1.0.0/24 --subnet fd00:1::/64 acme/db --gateway fd00:1::9 --gateway 10.1.0.254 --vni 4097 --mtu 1400 --unknown flood --learning",
		"network add acme/x --vni 4097", "network add acme/bare -o json",
		"network list", "network list acme", "network list acme -o json", "network list nobody", "network show acme/db", "network show acme/web -o json", "network show acme/nope",
		"network set acme/web --mtu 1300 --unknown=flood", "network set acme/db --learning=false --mtu 0", "network set acme/web --gateway 10.0.0.254",
		"network set acme/web --subnet 10.9.0.0/16 -o json", "network set acme/nope --mtu 1300", "network set acme/nope --gateway 10.0.0.1", "network list acme",
		"port add acme/web/c1", "network delete acme/web", "network delete acme/web --cascade", "network delete acme/web", "network delete acme/db -o json")
	s.golden("network")
}

func TestPort(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24 --subnet fd00::/64 --learning",
		"port add acme/web/c1", "port add acme/web/c1", "port add acme/web/c2 --ip 10.0.0.20 --ip fd00::20 --mac 02:00:00:00:00:20 --learn 4",
		"port add acme/web/c3 --ip 10.0.0.20", "port add acme/web/c3 --ip 10.1.0.1", "port add acme/nope/c1", "port add acme/web/c3 --ip 10.0.0.30,fd00::30 -o json",
		"port list", "port list acme", "port list acme/web", "port list nobody", "port list acme/nope",
		"port set acme/web/c2 --ip 10.0.0.21 --learn 0", "port set acme/web/c2 --mac 02:00:00:00:00:22 -o json", "port set acme/web/c9 --learn 1",
		"port plug acme/web/c1 --netns c1", "port plug acme/web/c2 --pid 4711 --ifname net0 -o json", "port plug acme/web/c3 --tap tap0", "port plug acme/web/c3 --tap tap0", "port plug acme/web/c9 --netns x",
		"port show acme/web/c1", "port show acme/web/c1 -o json", "port show acme/web/c9")
	s.host.Claim(intent.PortRef{Tenant: "acme", Network: "web", Port: "c2"}, "host2", true)
	s.run("port list acme/web", "port show acme/web/c2", "port list acme/web -o json",
		"port unplug acme/web/c1", "port unplug acme/web/c1", "port unplug acme/web/c3 -o json",
		"port delete acme/web/c1", "port delete acme/web/c2", "port delete acme/web/c2 --cascade", "port delete acme/web/c3 -o json", "port list")
	s.golden("port")
}

func TestPeer(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "network add acme/db", "peer list",
		"peer add acme/web/tor1 --vtep 192.0.2.40", "peer add acme/web/tor1 --vtep 192.0.2.41", "peer add acme/web/tor2 --vtep 192.0.2.40", "peer add acme/web/tor2 --vtep 192.0.2.1",
		"peer add acme/nope/tor1 --vtep 192.0.2.40", "peer add acme/db/tor1 --vtep 192.0.2.40 -o json",
		"peer list", "peer list acme", "peer list acme/web -o json", "peer list nobody", "peer list acme/nope", "peer show acme/web/tor1", "peer show acme/db/tor1 -o json", "peer show acme/web/tor9",
		"peer delete acme/web/tor9", "peer delete acme/web/tor9 --dry-run", "network delete acme/web", "peer delete acme/web/tor1 --dry-run", "peer delete acme/web/tor1", "peer delete acme/db/tor1 --cascade", "peer list -o json")
	s.golden("peer")
}

func TestHost(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1", "port plug acme/web/c1 --netns c1")
	s.host.Register("host3", 3)
	s.run("host list", "host list -o json", "host show host1", "host show host1 -o json", "host show host3", "host show host9",
		"host remove host3", "host remove host3", "host remove host1", "host remove host1 --cascade --dry-run",
		"host leave", "host leave --dry-run", "host leave --cascade -o json", "host list", "host remove host2 --cascade")
	s.golden("host")
}

func TestStatus(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := newSession(t)
	s.host.State = api.Status{Version: "v0.1.0", Datapath: "netdev", Bridge: "br-int", OVSVersion: "3.1.0"}
	s.run("status")
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1", "port plug acme/web/c1 --netns c1")
	s.host.State = api.Status{Version: "v0.1.0", Datapath: "netdev", Bridge: "br-int", OVSVersion: "3.1.0", Started: at,
		Connections: []api.Connection{{Name: "openflow", Target: "unix:/run/br-int.mgmt", Connected: true, Since: at},
			{Name: "store", Target: "https://host1:2379", Since: at.Add(time.Hour), Error: "connection refused"}},
		Resync: api.Resync{At: at, Messages: 1}, Tenants: []string{"acme", "umbrella"}, Flows: 61, Groups: 1,
		Cache:     &api.Cache{Hits: 5012, Misses: 23, Flows: 7, Masks: 1, MaskHits: 5550},
		Conflicts: []api.Conflict{{Port: "acme/web/c2", Claims: []api.Claim{{Host: "host2", Generation: 9}, {Host: "host1", Generation: 4}}, Interfaces: []string{"tap0", "tap1"}}},
		Drops:     []api.Drop{{Reason: "spoof-mac", Meaning: "the source MAC is not the port's", Packets: 3, Bytes: 294}, {Reason: "no such port", Packets: 1, Bytes: 60}},
		Warnings:  []api.Warning{{What: "the underlay's MTU is 1500", Do: "raise it to 1550 on eth0"}, {What: "port acme/web/c2 is claimed twice"}},
		LeftOut:   []api.LeftOut{{Key: "/ovloom/v1/hosts/host2", Object: "host host2", Reason: "VTEP address is missing"}},
		Repairs: []api.Repair{{At: at.Add(time.Hour), First: at, Times: 2, What: "flows changed by another program", Count: 17, Detail: "17 deleted"},
			{At: at, First: at, Times: 1, What: "port settings changed by another program", Count: 1, Detail: "vx0: down"}}}
	s.run("status", "status -o json")
	s.golden("status")
}

func TestDoctor(t *testing.T) {
	s := newSession(t)
	healthy := intent.Health{Hosts: []string{"host1", "host2"}, Paths: []intent.Path{
		{From: "host1", To: "host2", State: intent.PathOK, Passes: 1500, Wanted: 1500, RTT: 300},
		{From: "host2", To: "host1", State: intent.PathOK, Passes: 1500, Wanted: 1500, RTT: 310}}}
	s.host.Health = healthy
	s.run("doctor", "doctor host2")
	ill := intent.Health{Hosts: []string{"host1", "host2", "host3", "host4"}, Paths: []intent.Path{
		{From: "host1", To: "host2", State: intent.PathMTU, Passes: 1404, Wanted: 1500},
		{From: "host1", To: "host3", State: intent.PathDead, Wanted: 1500},
		{From: "host2", To: "host1", State: intent.PathOK, Passes: 1500, Wanted: 1500},
		{From: "host3", To: "host1", State: intent.PathUnknown, Wanted: 1500}},
		Findings: []intent.Finding{{Hosts: []string{"host1", "host2"}, What: "the underlay is too small", Do: "raise its MTU"}, {Hosts: []string{"host4"}, What: "host host4 is down", Do: "start it"}}}
	s.host.Health = ill
	s.run("doctor", "doctor -o json")
	for i := range matrixMost {
		ill.Hosts = append(ill.Hosts, fmt.Sprintf("many%d", i))
	}
	s.host.Health = ill
	s.run("doctor")
	s.golden("doctor")
}

func TestFlows(t *testing.T) {
	s := newSession(t)
	s.host.Flows = []api.Flow{
		{Table: "classify", Object: "port acme/web/c1", Text: "table=classify,priority=100,in_port=5 actions=goto_table:port_security", Words: "packets from acme/web/c1 come in here"},
		{Table: "classify", Object: "port acme/web/c1", Text: "table=classify,priority=90,in_port=5 actions=drop", Words: "packets from acme/web/c1 come in here", Packets: 3},
		{Table: "fdb", Object: "port acme/web/c1", Text: "table=fdb,priority=100,dl_dst=02:00:00:00:00:05 actions=goto_table:output", Packets: 12, Bytes: 1176},
		{Table: "drop", Object: "base", Text: "table=drop,priority=0 actions=drop"}}
	s.run("flows", "flows acme/web/c1", "flows --table drop", "flows acme/web/c1 --long", "flows acme/web/c1 --raw --table=fdb", "flows acme/web/c1 -o json --table fdb", "flows acme/web/c9", "flows acme/web/c9 -o json")
	s.golden("flows")
}

func TestUsageErrors(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24")
	s.host.FailWith(func(op string) error {
		if op != "Get" && op != "Snapshot" {
			t.Errorf("a line with a usage error reached %s", op)
		}
		return nil
	})
	s.run("", "tenat", "frobnicate", "tenant", "tenant ad acme", "tenant add", "port set acme/web/c1 acme/web/c2 --ip 10.0.0.9", "network update acme/web", "port unpl x", "tenant add ACME", "tenant add acme/web", "tenant add --frob x", "tenant list x", "--frob", "network add acme/x -", "tenant add -- --x",
		"tenant list -o xml", "tenant list --timeout 5", "tenant list --timeout -5s", "tenant list --socket", "tenant add acme --wait=perhaps",
		"network add acme/x --subnt 10.0.0.0/24", "network add acme --subnet 10.0.0.0/24", "network add acme/x --subnet 10.0.0.0", "network add acme/x --subnet 10.0.0.1/24", "network add acme/x --subnet 10.0.0.0/24 --subnet 10.0.0.0/16",
		"network add acme/x --gateway 10.0.0.1", "network add acme/x --subnet 10.0.0.0/24 --gateway 10.0.0.0/24", "network add acme/x --subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2",
		"network add acme/x --vni 0", "network add acme/x --vni 16777216", "network add acme/x --vni 99999999999", "network add acme/x --vni x", "network add acme/x --vni -1", "network add acme/x --mtu 100", "network add acme/x --unknown maybe", "network add acme/x --learning=x",
		"network set acme/web", "network set acme/web --unknown maybe", "network set acme/web --vni 7", "network set acme/web --gateway 10.7.0.1", "network set acme/web --mtu 99999", "network list a b",
		"port add acme/web", "port add acme/web/c1 --ip 10.0.0.300", "port add acme/web/c1 --ip 10.0.0.5/24", "port add acme/web/c1 --mac 01:00:00:00:00:00", "port add acme/web/c1 --mac zz", "port add acme/web/c1 --learn -1", "port set acme/web/c1", "port list a/b/c", "port list a b",
		"port plug acme/web/c1", "port plug acme/web/c1 --netns a --pid 1", "port plug acme/web/c1 --netns=", "port plug acme/web/c1 --netns a/b", "port plug acme/web/c1 --pid 0", "port plug acme/web/c1 --tap a --ifname b", "port plug acme/web/c1 --netns a --ifname sixteen-bytes-xx",
		"peer add acme/web", "peer add acme/web/tor1", "peer add acme/web/tor1 --vtep 192.0.2", "peer add acme/web/tor1 --vtep 2001:db8::1", "peer add acme/web/T --vtep 192.0.2.40", "peer list a b", "peer list a/b/c", "peer show acme/web",
		"route add acme", "route add acme 10.9.0.0/16", "route add acme 10.9.0.1/16 --via 10.0.0.7", "route add acme web --via 10.0.0.7", "route add acme 127.0.0.0/8 --via 10.0.0.7", "route add acme 10.9.0.0/16 --via fd00::7", "route add acme 10.9.0.0/16 --via 10.0.0.7 --via 10.0.0.7", "route add acme 10.9.0.0/16 --via 10.0.0", "route add acme/web 10.9.0.0/16 --via 10.0.0.7", "route set acme 10.9.0.0/16", "route show acme", "route delete acme 10.9.0.0/16 x",
		"external add", "external add internet", "external add internet --host --bridge br-ex", "external add Internet --host", "external add internet --host --subnet 203.0.113.0/24", "external add internet --host --range fd00::/64", "external add internet --host --range 10.0.0.0/31", "external add internet --host --allow fd00::/8", "external add internet --host --allow 192.0.2.1/24",
		"external add campus --bridge br-ex", "external add campus --bridge= --subnet 203.0.113.0/24", "external add campus --bridge br-ex --range 203.0.113.0/24", "external add campus --bridge br-ex --subnet 203.0.113.0/24", "external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.0", "external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.1-203.0.113.10", "external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.20-203.0.113.10", "external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.10-203.0.113.20 --mtu 9", "external add campus --bridge br-ex --subnet 2001:db8::/64 --pool 2001:db8::10-2001:db8::20",
		"external set internet", "external set internet --allow x", "external set internet --allow 192.0.2.5 --no-allow 192.0.2.5", "external set internet --mtu 7", "external set internet --pool 203.0.113.10-x", "external list x", "external set a b", "external delete In",
		"nat", "nat snat", "nat frob", "nat snat frob", "nat snat add", "nat snat add acme/web", "nat snat add acme --external X", "nat snat add acme --max-connections 4294967296", "nat snat add acme --address 100.64.0", "nat snat set acme", "nat list a b",
		"nat floating add acme/web", "nat floating add acme/web/c1 --address x", "nat floating show acme/web", "nat floating delete acme/web/c1 --external X",
		"nat forward add acme", "nat forward add acme --tcp 80", "nat forward add acme --tcp 80 --udp 80 --to acme/web/c1:80", "nat forward add acme --tcp 0 --to acme/web/c1:80", "nat forward add acme --tcp 65536 --to acme/web/c1:80", "nat forward add acme --tcp x --to acme/web/c1:80", "nat forward add acme --tcp 80 --to acme/web/c1", "nat forward add acme --tcp 80 --to acme/web/c1:0", "nat forward add acme --tcp 80 --to umbrella/web/c1:80", "nat forward show acme", "nat forward delete acme --sctp 70000",
		"host show Host1", "host remove", "host leave now", "status now", "version now", "flows a b", "flows a/b/c/d", "cert host", "cert ca x", "cert host h1 --address 1.2.3", "completion", "completion tcsh", "help frobnicate")
	s.golden("usage")
	// Whatever is wrong with the words alone has exit code 2 and a hint.
	for part := range strings.SplitSeq(s.log.String(), "$ ovloom ") {
		if strings.Contains(part, "\n! ovloom: ") && !strings.Contains(part, "(exit code 2)") {
			t.Errorf("no exit code 2: %s", part)
		}
	}
}

func TestExitCodes(t *testing.T) {
	s := newSession(t)
	for _, tc := range []struct {
		err  error
		code int
	}{
		{fmt.Errorf("disk on fire"), 1}, {intent.Invalidf("x"), 2}, {intent.NotFoundf("x"), 3},
		{intent.Conflictf("x"), 4}, {intent.InUseBy("x", []string{"y"}), 4}, {intent.Unavailablef("x"), 5},
	} {
		s.host.FailWith(func(string) error { return tc.err })
		for _, line := range []string{"tenant list", "tenant show a", "tenant add a", "tenant delete a", "tenant delete a --cascade", "tenant delete a --dry-run",
			"network list", "network show a/b", "network add a/b", "network set a/b --mtu 1400", "network delete a/b",
			"port list", "port show a/b/c", "port add a/b/c", "port set a/b/c --learn 1", "port delete a/b/c", "port plug a/b/c --pid 1", "port unplug a/b/c",
			"peer list", "peer show a/b/c", "peer add a/b/c --vtep 192.0.2.40", "peer delete a/b/c",
			"route list", "route show a 10.9.0.0/16", "route add a 10.9.0.0/16 --via 10.0.0.7", "route set a 10.9.0.0/16 --via 10.0.0.7", "route delete a 10.9.0.0/16",
			"external list", "external show a", "external add a --host", "external set a --allow 192.0.2.5", "external delete a", "nat list", "nat list a",
			"nat snat list", "nat snat show a", "nat snat add a", "nat snat add a --external b", "nat snat set a --max-connections 1", "nat snat delete a",
			"nat floating list", "nat floating show a/b/c", "nat floating show a/b/c --external d", "nat floating add a/b/c", "nat floating add a/b/c --external d", "nat floating delete a/b/c",
			"nat forward list", "nat forward show a --tcp 80", "nat forward show a --tcp 80 --external b", "nat forward add a --tcp 80 --to a/b/c:80", "nat forward add a --tcp 80 --to a/b/c:80 --external d", "nat forward delete a --tcp 80",
			"host list", "host show a", "host remove a", "host leave", "status", "flows"} {
			out, errs, code := s.exec(line)
			if code != tc.code || out != "" || !strings.HasPrefix(errs, "ovloom: ") {
				t.Errorf("%s with %v: exit code %d, stdout %q, stderr %q", line, tc.err, code, out, errs)
			}
		}
	}
}

func TestManyUsersAreCutShort(t *testing.T) {
	s := newSession(t)
	users := make([]string, 25)
	for i := range users {
		users[i] = fmt.Sprintf("port acme/web/c%d", i)
	}
	s.host.FailWith(func(string) error { return intent.InUseBy("network acme/web", users) })
	_, errs, code := s.exec("network delete acme/web")
	if code != exitConflict || strings.Count(errs, "used by") != 20 || !strings.Contains(errs, "  and 5 more\nhint: ") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestWithoutDaemon(t *testing.T) {
	s := newSession(t)
	s.env["OVLOOM_SOCKET"] = filepath.Join(filepath.Dir(s.socket), "none")
	s.run("tenant list", "version", "version -o json", "tenant list --socket DIR-given")
	s.golden("without-daemon")
}

func TestVersion(t *testing.T) {
	s := newSession(t)
	s.env["OVLOOM_SOCKET"] = "/nonexistent"
	want := fmt.Sprintf("ovloom %[1]s\novloomd %[1]s\n", api.BuildVersion())
	if out, errs, code := s.exec("version --socket " + s.socket); out != want || code != 0 {
		t.Errorf("--socket does not win over the environment: %q %q %d", out, errs, code)
	}
}

func TestCert(t *testing.T) {
	s := newSession(t)
	dir := filepath.Join(filepath.Dir(s.socket), "pki")
	s.env["OVLOOM_SOCKET"] = "/nonexistent" // certificates need no daemon
	s.run("cert host host1 --dir "+dir, "cert ca --dir "+dir, "cert ca --dir "+dir, "cert host host1 --address 192.0.2.1 --address fd00::1 --dir="+dir,
		"cert host host1 --dir "+dir, "cert host host2 -o json --dir "+dir, "cert renew host1 --dir "+dir, "cert renew host9 --dir "+dir)
	s.golden("cert")
}

func TestCascadeTellsWhatFailed(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1")
	s.host.Halfway(intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}, intent.Unavailablef("the store does not answer").WithHint("ask again to delete the rest"))
	s.run("tenant delete acme --cascade", "port list -o json")
	s.host.Halfway(nil, nil)
	s.run("tenant delete acme --cascade")
	s.golden("cascade")
}
