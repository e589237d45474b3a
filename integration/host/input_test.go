package host_test

// Bad input through the real CLI, daemon and store: the message, the exit code, and that
// nothing was written.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// badCommand is a command line that must fail.
type badCommand struct {
	args  string   // of ovloom; fields
	code  int      // of the exit
	words []string // what was wrong, and what would be right
}

func TestBadInput(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	h := o.Hosts[0]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64", "--vni", "5001")
	o.Run("port", "add", "acme/web/c1", "--ip", "10.0.0.5", "--ip", "fd00:1::5", "--mac", "02:00:00:00:00:05")
	plugged := o.Plug(h, "acme/web/c2", "--ip", "10.0.0.6")
	other, err := h.NewWorkload(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	const net1 = "network add acme/db --subnet 10.0.1.0/24 "
	const port1 = "port add acme/web/c3 "
	long := strings.Repeat("x", 64)

	for _, group := range []struct {
		name string
		bad  []badCommand
	}{
		{"names", []badCommand{
			{"tenant add Acme", 2, overlay.Words(`"Acme"`, "lower-case letters, digits and inner hyphens")},
			{"tenant add -- -acme", 2, overlay.Words(`"-acme"`, "inner hyphens")},
			{"tenant add a.b", 2, overlay.Words(`"a.b"`, "lower-case letters")},
			{"tenant add ünder", 2, overlay.Words(`"ünder"`, "lower-case letters")},
			{"tenant add " + long, 2, overlay.Words("64 bytes", "at most 63")},
			{"tenant add acme/web", 2, overlay.Words("slash", "TENANT")},
			{"tenant add <empty>", 2, overlay.Words("tenant name is empty", "lower-case letters")},
			{"tenant add", 2, overlay.Words("needs TENANT", "--help")},
			{"network add web", 2, overlay.Words(`"web"`, "TENANT/NETWORK")},
			{"network add acme/Web", 2, overlay.Words(`"Web"`, "lower-case letters")},
			{"network add acme/", 2, overlay.Words("network name is empty")},
			{"port add acme/web", 2, overlay.Words(`"acme/web"`, "TENANT/NETWORK/PORT")},
			{"port add acme/web/c/1", 2, overlay.Words("is no name of a port", "TENANT/NETWORK/PORT")},
			{"port add acme/web/" + long, 2, overlay.Words("64 bytes", "at most 63")},
			{"host show Host1", 2, overlay.Words(`"Host1"`, "lower-case letters")},
		}},
		{"what does not exist", []badCommand{
			{"tenant show umbrella", 3, overlay.Words("tenant umbrella does not exist", "ovloom tenant list")},
			{"tenant delete umbrella", 3, overlay.Words("tenant umbrella does not exist")},
			{"network add umbrella/web --subnet 10.0.0.0/24", 3, overlay.Words("tenant umbrella does not exist", "ovloom tenant list")},
			{"network show acme/nope", 3, overlay.Words("network acme/nope does not exist", "ovloom network list acme")},
			{"network set acme/nope --mtu 1400", 3, overlay.Words("network acme/nope does not exist")},
			{"network delete acme/nope --cascade", 3, overlay.Words("network acme/nope does not exist")},
			{"port add acme/nope/c1", 3, overlay.Words("network acme/nope does not exist", "ovloom network list acme")},
			{"port add umbrella/web/c1", 3, overlay.Words("tenant umbrella does not exist")},
			{"port show acme/web/nope", 3, overlay.Words("port acme/web/nope does not exist")},
			{"port set acme/web/nope --ip 10.0.0.9", 3, overlay.Words("port acme/web/nope does not exist")},
			{"port delete acme/web/nope", 3, overlay.Words("port acme/web/nope does not exist")},
			{"port list umbrella", 3, overlay.Words("tenant umbrella does not exist")},
			{"port list --host host9", 3, overlay.Words("host host9 does not exist", "ovloom host list")},
			{"host show host9", 3, overlay.Words("host host9 does not exist", "ovloom host list")},
			{"host remove host9 --cascade", 3, overlay.Words("host host9 does not exist", "ovloom host list")},
			{"flows umbrella", 3, overlay.Words("umbrella")},
		}},
		{"what exists", []badCommand{
			{"tenant add acme", 4, overlay.Words("tenant acme exists")},
			{"network add acme/web --subnet 10.0.9.0/24", 4, overlay.Words("network acme/web exists")},
			{"port add acme/web/c1", 4, overlay.Words("port acme/web/c1 exists")},
		}},
		{"VNI", []badCommand{
			{net1 + "--vni 0", 2, overlay.Words("VNI 0 is out of range", "between 1 and 16773119")},
			{net1 + "--vni 16777216", 2, overlay.Words("VNI 16777216 is out of range", "between 1 and 16773119")},
			{net1 + "--vni -1", 2, overlay.Words("--vni", `"-1"`, "whole number")},
			{net1 + "--vni many", 2, overlay.Words("--vni", `"many"`, "whole number")},
			{net1 + "--vni 5001", 4, overlay.Words("VNI 5001 is taken by network acme/web", "choose another")},
		}},
		{"subnets", []badCommand{
			{"network add acme/db --subnet 10.0.0.128/25", 4, overlay.Words("10.0.0.128/25 overlaps 10.0.0.0/24 of network acme/web", "without a common address")},
			{"network add acme/db --subnet 10.8.0.0/16 --subnet 10.8.1.0/24", 2, overlay.Words("10.8.0.0/16 and 10.8.1.0/24", "overlap")},
			{"network add acme/db --subnet 10.0.1.0", 2, overlay.Words(`"10.0.1.0" is malformed`, "10.0.0.0/24")},
			{"network add acme/db --subnet 10.0.1.0/33", 2, overlay.Words(`"10.0.1.0/33" is malformed`)},
			{"network add acme/db --subnet 10.0.1.256/24", 2, overlay.Words("malformed")},
			{"network add acme/db --subnet 10.0.1.5/24", 2, overlay.Words("bits set behind its prefix", "write 10.0.1.0/24")},
			{"network add acme/db --subnet 10.0.1.0/31", 2, overlay.Words("prefix of 31 bits", "between /8 and /30")},
			{"network add acme/db --subnet 224.0.0.0/24", 2, overlay.Words("multicast", "10.0.0.0/24")},
			{"network add acme/db --subnet fe80::/64", 2, overlay.Words("link-local", "fd00:1::/64")},
			{"network add acme/db --subnet ::ffff:10.0.1.0/120", 2, overlay.Words("IPv4 prefix written as IPv6")},
			{net1 + "--gateway 10.0.2.1", 2, overlay.Words("gateway 10.0.2.1 is in no subnet", "--subnet")},
			{net1 + "--gateway 10.0.1.0", 2, overlay.Words("gateway address 10.0.1.0 is the network address", "between 10.0.1.1 and 10.0.1.254")},
			{net1 + "--gateway 10.0.1.255", 2, overlay.Words("gateway address 10.0.1.255 is the broadcast address", "between 10.0.1.1 and 10.0.1.254")},
			{net1 + "--gateway first", 2, overlay.Words(`"first" is malformed`)},
			{net1 + "--gateway 10.0.1.1 --gateway 10.0.1.2", 2, overlay.Words("second of subnet 10.0.1.0/24")},
			{net1 + "--mtu 100", 2, overlay.Words("MTU 100 is out of range", "between 576 and 9216")},
			{net1 + "--mtu large", 2, overlay.Words("--mtu", `"large"`, "whole number")},
			{net1 + "--unknown shout", 2, overlay.Words(`"shout"`, "drop or flood")},
			{"network set acme/web --subnet 10.0.0.0/25", 4, overlay.Words("ports of network acme/web", "fd00:1::5", "used by port acme/web/c1")},
			{"network set acme/web --subnet 10.3.0.0/24 --subnet fd00:1::/64", 4, overlay.Words("10.0.0.5", "used by port acme/web/c2")},
			{"network set acme/web", 2, overlay.Words("nothing is given to change", "--help")},
			{"network set acme/web --vni 7", 2, overlay.Words("no flag --vni", "--help")},
		}},
		{"addresses", []badCommand{
			{port1 + "--ip 10.0.9.5", 2, overlay.Words("10.0.9.5 is in no subnet of network acme/web", "10.0.0.0/24, fd00:1::/64")},
			{port1 + "--ip 10.0.0.0", 2, overlay.Words("10.0.0.0 is the network address", "between 10.0.0.2 and 10.0.0.254")},
			{port1 + "--ip 10.0.0.255", 2, overlay.Words("10.0.0.255 is the broadcast address", "between 10.0.0.2 and 10.0.0.254")},
			{port1 + "--ip 10.0.0.1", 2, overlay.Words("10.0.0.1 is the gateway", "choose between 10.0.0.2 and")},
			{port1 + "--ip fd00:1::1", 2, overlay.Words("fd00:1::1 is the gateway", "choose between fd00:1::2 and")},
			{port1 + "--ip fd00:1::", 2, overlay.Words("fd00:1:: is the network address")},
			{port1 + "--ip 10.0.0.5/24", 2, overlay.Words("malformed", "leave out the prefix length: 10.0.0.5")},
			{port1 + "--ip fe80::1%eth0", 2, overlay.Words("zone")},
			{port1 + "--ip here", 2, overlay.Words(`"here" is malformed`)},
			{port1 + "--ip 10.0.0.7 --ip 10.0.0.7", 2, overlay.Words("10.0.0.7 is given twice", "once")},
			{port1 + "--ip 10.0.0.5", 4, overlay.Words("10.0.0.5 is taken by acme/web/c1", "choose another")},
			{"port set acme/web/c2 --ip fd00:1:0:0::5", 4, overlay.Words("fd00:1::5 is taken by acme/web/c1", "choose another")},
			{port1 + "--mac 02:00:00:00:00:05", 4, overlay.Words("02:00:00:00:00:05 is taken by acme/web/c1", "choose another")},
			{"port set acme/web/c2 --mac 02:00:00:00:00:05", 4, overlay.Words("02:00:00:00:00:05 is taken by acme/web/c1")},
			{port1 + "--mac 03:00:00:00:00:07", 2, overlay.Words("group address", "lowest bit")},
			{port1 + "--mac ff:ff:ff:ff:ff:ff", 2, overlay.Words("group address")},
			{port1 + "--mac 00:00:00:00:00:00", 2, overlay.Words("all zeros", "leave it out")},
			{port1 + "--mac 0e:0f:0f:0f:0f:01", 2, overlay.Words("a router's own", "starts with 02")},
			{port1 + "--mac 02:00:00:00:05", 2, overlay.Words("malformed", "six hexadecimal bytes")},
			{port1 + "--learn 5", 2, overlay.Words("does not learn", "--learning")},
			{port1 + "--learn 5000", 2, overlay.Words("5000 is out of range", "between 0 and 1024")},
			{port1 + "--learn some", 2, overlay.Words("--learn", `"some"`, "whole number")},
			{"port set acme/web/c1", 2, overlay.Words("nothing is given to change")},
		}},
		{"plugging", []badCommand{
			{"port plug acme/web/c1", 2, overlay.Words("exactly one of --netns, --pid, --tap and --container")},
			{"port plug acme/web/c1 --netns a --pid 1", 2, overlay.Words("exactly one of --netns, --pid, --tap and --container")},
			{"port plug acme/web/c1 --netns nowhere", 3, overlay.Words("nowhere", "ip netns list")},
			{"port plug acme/web/c1 --netns ../etc", 2, overlay.Words(`"../etc" is malformed`, "ip netns list")},
			{"port plug acme/web/c1 --netns /proc/self/exe", 3, overlay.Words("/proc/self/exe", "namespace")},
			{"port plug acme/web/c1 --pid 4194305", 3, overlay.Words("4194305")},
			{"port plug acme/web/c1 --pid me", 2, overlay.Words("--pid", `"me"`, "whole number")},
			{"port plug acme/web/c1 --tap tap99", 3, overlay.Words("tap99 does not exist", "ip link")},
			{"port plug acme/web/c1 --tap lo", 4, overlay.Words("lo is the loopback")},
			{"port plug acme/web/c1 --tap br-int", 4, overlay.Words("br-int is the bridge itself", "tap of a VM")},
			{"port plug acme/web/c1 --netns " + other.NetNS + " --ifname much-too-long-a-name", 2, overlay.Words("malformed", "15 bytes")},
			{"port plug acme/web/nope --netns " + other.NetNS, 3, overlay.Words("port acme/web/nope does not exist")},
			{"port plug umbrella/web/c1 --netns " + other.NetNS, 3, overlay.Words("tenant umbrella does not exist")},
			{"port plug acme/web/c1 --netns " + plugged.NetNS, 4, overlay.Words("has an interface eth0 already", "--ifname")},
			{"port plug acme/web/c2 --netns " + other.NetNS, 4, overlay.Words("plugged already", "unplug it first")},
			{"port plug acme/web/c2 --netns " + plugged.NetNS + " --ifname eth1", 4, overlay.Words("plugged already", "unplug it first")},
			{"port unplug acme/web/c1", 3, overlay.Words("port acme/web/c1 is not plugged on this host (host1)", "ovloom port show acme/web/c1")},
			{"port unplug acme/web/nope", 3, overlay.Words("port acme/web/nope does not exist")},
		}},
		{"the command line", []badCommand{
			{"", 2, overlay.Words("no command", "--help")},
			{"tennant list", 2, overlay.Words(`"tennant"`, "did you mean tenant")},
			{"tenant list --colour", 2, overlay.Words("no flag --colour")},
			{"tenant list -o yaml", 2, overlay.Words(`"yaml"`, "table or json")},
			{"tenant list --timeout soon", 2, overlay.Words("--timeout", `"soon"`, "30s")},
			{"tenant list --timeout 0s", 2, overlay.Words("not positive")},
			{"flows --table nope", 2, overlay.Words(`table "nope" does not exist`, "classify")},
			{"tenant list --socket /nowhere", 5, overlay.Words("/nowhere", "systemctl start ovloomd")},
		}},
	} {
		t.Run(group.name, func(t *testing.T) {
			o := o.With(t)
			before := intents(o)
			for _, c := range group.bad {
				args := strings.Fields(c.args)
				for i, a := range args {
					if a == "<empty>" {
						args[i] = ""
					}
				}
				refused(o, h, c.code, c.words, args...)
				if t.Failed() {
					t.Fatalf("ovloom %s", c.args)
				}
			}
			if after := intents(o); after != before {
				t.Errorf("something was written: before\n%s\nafter\n%s", before, after)
			}
		})
	}

	t.Run("plugging twice as before changes nothing", func(t *testing.T) {
		o := o.With(t)
		before, flows := intents(o), o.Dump(h)
		o.Run("port", "plug", "acme/web/c2", "--netns", plugged.NetNS)
		if intents(o) != before || o.Dump(h) != flows {
			t.Error("something changed")
		}
	})
	t.Run("straight to the API", func(t *testing.T) { testBadRequests(o.With(t)) })
	o.StoreIsSound()
}

// testBadRequests talks to the API as a program with a bug would.
func testBadRequests(o *overlay.Overlay) {
	t := o.T
	h := o.Hosts[0]
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", h.Socket())
		},
	}}
	defer client.CloseIdleConnections()
	before := intents(o)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		words                    []string
	}{
		{"text for a number", "POST", "/v1/tenants/acme/networks", `{"name":"db","vni":"many"}`, 400, overlay.Words("vni", "string", "whole number")},
		{"a fraction", "POST", "/v1/tenants/acme/networks", `{"name":"db","vni":1.5}`, 400, overlay.Words("vni", "whole number")},
		{"a negative number", "POST", "/v1/tenants/acme/networks", `{"name":"db","vni":-1}`, 400, overlay.Words("vni", "not negative")},
		{"more than 32 bits", "POST", "/v1/tenants/acme/networks", `{"name":"db","vni":4294967296}`, 400, overlay.Words("vni", "32 bits")},
		{"more than 24 bits", "POST", "/v1/tenants/acme/networks", `{"name":"db","vni":16777216}`, 400, overlay.Words("VNI 16777216", "between 1 and 16773119")},
		{"a number for a name", "POST", "/v1/tenants", `{"name":7}`, 400, overlay.Words("name", "number", "string")},
		{"an object for a list", "POST", "/v1/tenants/acme/networks", `{"name":"db","subnets":{}}`, 400, overlay.Words("subnets", "a list")},
		{"text for a list", "POST", "/v1/tenants/acme/networks/web/ports", `{"name":"c9","addresses":"10.0.0.9"}`, 400, overlay.Words("addresses", "a list")},
		{"a malformed address", "POST", "/v1/tenants/acme/networks/web/ports", `{"name":"c9","addresses":["10.0.0"]}`, 400, overlay.Words("10.0.0")},
		{"a malformed MAC", "POST", "/v1/tenants/acme/networks/web/ports", `{"name":"c9","mac":"02"}`, 400, overlay.Words("02", "six hexadecimal bytes")},
		{"a malformed prefix", "POST", "/v1/tenants/acme/networks", `{"name":"db","subnets":[{"prefix":"10.0.1.0"}]}`, 400, overlay.Words("10.0.1.0")},
		{"an unknown field", "POST", "/v1/tenants", `{"name":"db","color":"red"}`, 400, overlay.Words("color", "the fields are name")},
		{"an unknown field of a subnet", "POST", "/v1/tenants/acme/networks", `{"name":"db","subnets":[{"prefix":"10.0.1.0/24","gw":"10.0.1.1"}]}`, 400, overlay.Words("gw")},
		{"an unknown parameter", "DELETE", "/v1/tenants/acme?cascading=true", "", 400, overlay.Words("cascading", "cascade")},
		{"a malformed parameter", "DELETE", "/v1/tenants/acme?cascade=yes", "", 400, overlay.Words("cascade", "true or false")},
		{"a parameter given twice", "DELETE", "/v1/tenants/acme?cascade=true&cascade=false", "", 400, overlay.Words("cascade", "2 times")},
		{"no body", "POST", "/v1/tenants", "", 400, overlay.Words("no body", "name")},
		{"a body where none belongs", "DELETE", "/v1/tenants/acme", "{}", 400, overlay.Words("no body")},
		{"no JSON", "POST", "/v1/tenants", "name=db", 400, overlay.Words("not JSON")},
		{"half of it", "POST", "/v1/tenants", `{"name":"db"`, 400, overlay.Words("cut short")},
		{"two values", "POST", "/v1/tenants", `{"name":"db"}{"name":"eb"}`, 400, overlay.Words("goes on after its JSON value", "one object per request")},
		{"a list", "POST", "/v1/tenants", `[{"name":"db"}]`, 400, overlay.Words("array", "JSON object")},
		{"null", "POST", "/v1/tenants", `null`, 400, overlay.Words("name")},
		{"deep nesting", "POST", "/v1/tenants", strings.Repeat("[", 100_000), 400, overlay.Words("JSON")},
		{"a huge body", "POST", "/v1/tenants", `{"name":"` + strings.Repeat("x", 4<<20) + `"}`, 413, overlay.Words("more than 1048576 bytes")},
		{"a huge name", "POST", "/v1/tenants", `{"name":"` + strings.Repeat("x", 1000) + `"}`, 400, overlay.Words("1000 bytes", "at most 63")},
		{"a name with a slash in the path", "GET", "/v1/tenants/ac%2Fme", "", 400, overlay.Words("slash")},
		{"a name that leaves its place", "GET", "/v1/tenants/%2e%2e", "", 400, overlay.Words("malformed")},
		{"another method", "PUT", "/v1/tenants", "{}", 405, overlay.Words("does not take PUT", "GET, POST")},
		{"another path", "GET", "/v2/tenants", "", 404, overlay.Words("/v2/tenants", "docs/api.md")},
		{"a change of nothing", "PATCH", "/v1/tenants/acme/networks/web", "{}", 400, overlay.Words("nothing is given to change", "mtu")},
		{"a change of a fixed field", "PATCH", "/v1/tenants/acme/networks/web", `{"vni":7}`, 400, overlay.Words("vni", "the fields are")},
		{"a place to plug into that is no name", "PUT", "/v1/tenants/acme/networks/web/ports/c1/plug", `{"netns":"a\u0000b"}`, 400, overlay.Words("malformed")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			r, err := http.NewRequestWithContext(t.Context(), c.method, "http://ovloomd"+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			var told struct{ Error, Hint string }
			if err == nil {
				err = json.Unmarshal(answer, &told)
			}
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("%s: %.300s, %v", resp.Status, answer, err)
			}
			for _, w := range c.words {
				if !strings.Contains(told.Error+"; "+told.Hint, w) {
					t.Errorf("it does not say %q: %.300s", w, answer)
				}
			}
		})
	}
	// A client that goes away in the middle of its request.
	conn, err := net.Dial("unix", h.Socket())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /v1/tenants HTTP/1.1\r\nHost: ovloomd\r\nContent-Length: 100\r\n\r\n{\"name\":\"db\"}")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	o.Status(h) // it still answers
	if after := intents(o); after != before {
		t.Errorf("something was written: before\n%s\nafter\n%s", before, after)
	}
}

// A daemon with invalid flags says so and has touched nothing.
func TestDaemonRefusesBadFlags(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 1})
	h := l.Hosts[0]
	if _, err := h.Ovloom(t.Context(), "--help"); err != nil { // the programs are built by now
		t.Fatal(err)
	}
	hostState := func() string {
		t.Helper()
		var b strings.Builder
		for _, c := range [][]string{{"ip", "-o", "addr"}, {"ip", "route"}, {"ovs-vsctl", "list-br"}} {
			out, err := h.Exec(t.Context(), c...)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(out)
		}
		return b.String()
	}
	before := hostState()
	for _, c := range []struct {
		flags []string // after those that are right
		code  int
		words []string
	}{
		{[]string{"--vtep", "2001:db8::1"}, 2, overlay.Words("2001:db8::1 is IPv6", "IPv4 only")},
		{[]string{"--vtep", "::ffff:192.0.2.1"}, 2, overlay.Words("IPv4 address written as IPv6", "192.0.2.1")},
		{[]string{"--vtep", "here"}, 2, overlay.Words(`"here"`, "IPv4 address of this host")},
		{[]string{"--vtep", "127.0.0.1"}, 2, overlay.Words("127.0.0.1", "no address that other hosts reach")},
		{[]string{"--vtep", "192.0.2.77"}, 3, overlay.Words("192.0.2.77", "ip addr")},
		{[]string{"--vtep", h.Mgmt.String()}, 4, overlay.Words(h.Mgmt.String(), "eth0", "--take-nic eth0")},
		{[]string{"--take-nic", "eth7"}, 4, overlay.Words("--take-nic eth1")},
		{[]string{"--host-name", "Host_1"}, 2, overlay.Words(`"Host_1"`, "lower-case letters")},
		{[]string{"--datapath", "fast"}, 2, overlay.Words(`"fast"`, "auto, system or netdev")},
		{[]string{"--vxlan-port", "70000"}, 2, overlay.Words("70000 is out of range", "4789")},
		{[]string{"--bridge", "much-too-long-a-name"}, 2, overlay.Words("much-too-long-a-name", "1 to 15")},
		{[]string{"--log-level", "loud"}, 2, overlay.Words(`"loud"`, "debug, info, warn or error")},
		{[]string{"--state-dir", "state"}, 2, overlay.Words("--state-dir", "absolute")},
		{[]string{"--config", "/nowhere.yaml"}, 2, overlay.Words("/nowhere.yaml")},
		{[]string{"--vteps", "10.0.0.1"}, 2, overlay.Words("vteps", "--help")},
		{[]string{"extra"}, 2, overlay.Words(`"extra"`, "--help")},
		{[]string{"--store-listen", "http://0.0.0.0:2379", "--store-insecure=false"}, 2, overlay.Words("without TLS", "ovloom cert ca", "--store-insecure")},
		{[]string{"--store-listen", "ftp://10.0.0.1"}, 2, overlay.Words("ftp", "https")},
		{[]string{"--store-listen", "https://127.0.0.1:2379"}, 2, overlay.Words("needs a CA", "ovloom cert ca")},
		{[]string{"--store", "http://127.0.0.1:2379", "--store-listen", "http://127.0.0.1:2379"}, 2, overlay.Words("not both")},
	} {
		args := append([]string{filepath.Join(lab.Programs(), "ovloomd")}, h.OvloomdFlags()...)
		_, err := h.Exec(t.Context(), append(args, c.flags...)...)
		overlay.MustFail(t, err, c.code, c.words...)
	}
	if after := hostState(); after != before {
		t.Errorf("the host was changed: before\n%s\nafter\n%s", before, after)
	}
}
