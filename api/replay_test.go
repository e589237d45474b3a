package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/storetest"
)

const replayFile = "testdata/replay.golden"

var updateReplay = flag.Bool("update-replay", false, "write "+replayFile+" anew")

// uuids are made by chance.
var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// What requests about objects of all classes are answered with, byte for byte. A line of
// requests is METHOD PATH and, for those that have one, the body.
func TestReplay(t *testing.T) {
	st := storetest.Open(t)
	srv := api.NewServer(api.Backend{Store: st}, quiet())
	var b strings.Builder
	play := func(requests string) {
		for _, line := range strings.Split(strings.TrimSpace(requests), "\n") {
			method, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			target, body, _ := strings.Cut(rest, " ")
			r := httptest.NewRequest(method, target, strings.NewReader(body))
			rec := httptest.NewRecorder()
			srv.ServeHTTP(rec, r)
			fmt.Fprintf(&b, "$ %s\n%d %s\n", strings.TrimSpace(line), rec.Code, uuids.ReplaceAllString(strings.TrimSpace(rec.Body.String()), "UUID"))
			if rec.Code == http.StatusInternalServerError || !json.Valid(rec.Body.Bytes()) {
				t.Errorf("%s: %d %s", line, rec.Code, rec.Body)
			}
		}
	}

	play(replayAdd)
	for i, name := range []string{"host1", "host2"} {
		h := intent.Host{Name: name, VTEP: netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i+1)), UnderlayMTU: 1600, Datapath: "netdev"}
		must(st.Register(t.Context(), h))(t)
	}
	claim := must(st.Claim(t.Context(), intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}, "host1", 0))(t)
	if err := st.MarkUp(t.Context(), claim.PortRef(), "host1", claim.Generation, true, ""); err != nil {
		t.Fatal(err)
	}
	must(st.Claim(t.Context(), intent.PortRef{Tenant: "acme", Network: "web", Port: "c2"}, "host1", 0))(t)
	must(st.Claim(t.Context(), intent.PortRef{Tenant: "acme", Network: "web", Port: "c2"}, "host2", 0))(t)
	must(st.ClaimNATAddress(t.Context(), "umbrella", "campus", "host2"))(t)
	play(replayRead)
	play(replaySet)
	play(replayRefused)
	play(replayDelete)

	if *updateReplay {
		if err := os.WriteFile(replayFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(replayFile)
	if err != nil {
		t.Fatal(err)
	}
	got, was := strings.Split(b.String(), "\n"), strings.Split(string(old), "\n")
	for i := range min(len(got), len(was)) {
		if got[i] != was[i] {
			t.Errorf("line %d, of %s\n got %s\nwant %s", i+1, got[max(0, i-1)], got[i], was[i])
		}
	}
	if len(got) != len(was) {
		t.Errorf("there are %d lines, not %d", len(got), len(was))
	}
}

const replayAdd = `
GET /v1/tenants
POST /v1/tenants {"name":"acme"}
POST /v1/tenants {"name":"acme"}
POST /v1/tenants {"name":"umbrella"}
POST /v1/tenants {"name":"tenant10"}
POST /v1/tenants {"name":"tenant9"}
GET /v1/tenants
GET /v1/tenants/acme
GET /v1/networks
POST /v1/tenants/acme/networks {"name":"web","subnets":[{"prefix":"10.0.0.0/24"},{"prefix":"fd00::/64"}]}
POST /v1/tenants/acme/networks {"name":"web"}
POST /v1/tenants/acme/networks {"name":"db","subnets":[{"prefix":"10.1.0.0/24","gateway":"10.1.0.254"}],"vni":4097,"mtu":1400,"unknown":"flood","learning":true,"ethertypes":["0x88b5"],"vlan_transparent":true,"storm_limit":50}
POST /v1/tenants/acme/networks {"name":"x","vni":4097}
POST /v1/tenants/acme/networks {"name":"x","subnets":[{"prefix":"10.0.0.128/25"}]}
POST /v1/tenants/nobody/networks {"name":"x"}
POST /v1/tenants/umbrella/networks {"name":"lan","subnets":[{"prefix":"10.0.0.0/24"}]}
POST /v1/tenants/acme/networks/web/ports {"name":"c1"}
POST /v1/tenants/acme/networks/web/ports {"name":"c1"}
POST /v1/tenants/acme/networks/web/ports {"name":"c2","mac":"02:00:00:00:00:02","addresses":["10.0.0.20","fd00::20"]}
POST /v1/tenants/acme/networks/web/ports {"name":"c10","addresses":["10.0.0.20"]}
POST /v1/tenants/acme/networks/web/ports {"name":"c10","mac":"02:00:00:00:00:02"}
POST /v1/tenants/acme/networks/web/ports {"name":"c10","addresses":["10.9.0.1"]}
POST /v1/tenants/acme/networks/web/ports {"name":"c10","learn":3}
POST /v1/tenants/acme/networks/db/ports {"name":"d1","learn":3}
POST /v1/tenants/acme/networks/nope/ports {"name":"c1"}
POST /v1/tenants/nobody/networks/web/ports {"name":"c1"}
POST /v1/tenants/umbrella/networks/lan/ports {"name":"p1"}
POST /v1/tenants/acme/networks/web/peers {"name":"tor1","vtep":"192.0.2.40"}
POST /v1/tenants/acme/networks/web/peers {"name":"tor1","vtep":"192.0.2.41"}
POST /v1/tenants/acme/networks/web/peers {"name":"tor2","vtep":"192.0.2.40"}
POST /v1/tenants/acme/networks/db/peers {"name":"tor1","vtep":"192.0.2.40"}
POST /v1/tenants/acme/networks/nope/peers {"name":"tor1","vtep":"192.0.2.40"}
POST /v1/tenants/acme/routes {"prefix":"10.9.0.0/16","via":["10.0.0.8","10.0.0.7"]}
POST /v1/tenants/acme/routes {"prefix":"10.9.0.0/16","via":["10.0.0.7"]}
POST /v1/tenants/acme/routes {"prefix":"10.8.0.0/16","via":["10.77.0.7"]}
POST /v1/tenants/acme/routes {"prefix":"0.0.0.0/0","via":["10.0.0.20"]}
POST /v1/tenants/acme/routes {"prefix":"fd01::/48","via":["fd00::7"]}
POST /v1/tenants/nobody/routes {"prefix":"10.9.0.0/16","via":["10.0.0.7"]}
POST /v1/externals {"name":"internet","kind":"host"}
POST /v1/externals {"name":"internet","kind":"host"}
POST /v1/externals {"name":"other","kind":"host"}
POST /v1/externals {"name":"campus","kind":"bridge","subnet":"203.0.113.0/24","bridge":"br-ex","vlan":7,"pool":{"first":"203.0.113.10","last":"203.0.113.12"},"allow":["192.0.2.7/32","192.0.2.6/32","192.0.2.7/32"]}
POST /v1/externals {"name":"lab","kind":"host","subnet":"100.66.0.0/24","underlay":"allow","mtu":1400}
POST /v1/tenants/acme/snats {"external":"internet","max_connections":100}
POST /v1/tenants/acme/snats {"external":"campus"}
POST /v1/tenants/acme/snats {"external":"nope"}
POST /v1/tenants/umbrella/snats {"external":"campus"}
POST /v1/tenants/acme/networks/web/ports/c1/floatings {"external":"campus"}
POST /v1/tenants/acme/networks/web/ports/c1/floatings {"external":"campus"}
POST /v1/tenants/acme/networks/web/ports/c2/floatings {"external":"internet"}
POST /v1/tenants/acme/networks/web/ports/c9/floatings {"external":"campus"}
POST /v1/tenants/acme/forwards {"external":"internet","protocol":"tcp","port":8080,"to":"acme/web/c1","to_port":80}
POST /v1/tenants/acme/forwards {"external":"internet","protocol":"tcp","port":8080,"to":"acme/web/c2","to_port":80}
POST /v1/tenants/acme/forwards {"external":"campus","protocol":"udp","port":53,"to":"acme/web/c2","to_port":5353}
POST /v1/tenants/acme/forwards {"external":"campus","address":"203.0.113.12","protocol":"udp","port":54,"to":"acme/web/c2","to_port":5353}
`

const replayRead = `
GET /v1/tenants/acme
GET /v1/tenants/nobody
GET /v1/networks
GET /v1/tenants/acme/networks
GET /v1/tenants/nobody/networks
GET /v1/tenants/acme/networks/web
GET /v1/tenants/acme/networks/nope
GET /v1/tenants/nobody/networks/web
GET /v1/ports
GET /v1/tenants/acme/ports
GET /v1/tenants/nobody/ports
GET /v1/tenants/acme/networks/web/ports
GET /v1/tenants/acme/networks/nope/ports
GET /v1/tenants/nobody/networks/web/ports
GET /v1/tenants/acme/networks/web/ports/c1
GET /v1/tenants/acme/networks/web/ports/c2
GET /v1/tenants/acme/networks/web/ports/c9
GET /v1/tenants/acme/networks/nope/ports/c9
GET /v1/peers
GET /v1/tenants/acme/peers
GET /v1/tenants/nobody/peers
GET /v1/tenants/acme/networks/web/peers
GET /v1/tenants/acme/networks/nope/peers
GET /v1/tenants/acme/networks/web/peers/tor1
GET /v1/tenants/acme/networks/web/peers/tor9
GET /v1/routes
GET /v1/tenants/acme/routes
GET /v1/tenants/nobody/routes
GET /v1/tenants/acme/routes/10.9.0.0/16
GET /v1/tenants/acme/routes/fd01::/48
GET /v1/tenants/acme/routes/10.99.0.0/16
GET /v1/externals
GET /v1/externals/internet
GET /v1/externals/campus
GET /v1/externals/nope
GET /v1/nat
GET /v1/tenants/acme/nat
GET /v1/tenants/nobody/nat
GET /v1/tenants/acme/snats/internet
GET /v1/tenants/umbrella/snats/campus
GET /v1/tenants/acme/snats/campus
GET /v1/tenants/acme/networks/web/ports/c1/floatings/campus
GET /v1/tenants/acme/networks/web/ports/c2/floatings/campus
GET /v1/tenants/acme/forwards/internet/tcp/8080
GET /v1/tenants/acme/forwards/campus/udp/53
GET /v1/tenants/acme/forwards/internet/tcp/99
GET /v1/hosts
GET /v1/hosts/host1
GET /v1/hosts/host9
`

const replaySet = `
PATCH /v1/tenants/acme/networks/web {"mtu":1300}
PATCH /v1/tenants/acme/networks/web {"mtu":0,"storm_limit":9,"unknown":"flood","learning":true,"ethertypes":["0x8863","0x8864"]}
PATCH /v1/tenants/acme/networks/web {"ethertypes":[],"vlan_transparent":true}
PATCH /v1/tenants/acme/networks/web {"subnets":[{"prefix":"10.0.0.0/23"},{"prefix":"fd00::/64","gateway":"fd00::fe"}]}
PATCH /v1/tenants/acme/networks/web {"subnets":[{"prefix":"10.0.0.0/24"},{"prefix":"fd00::/64"}]}
PATCH /v1/tenants/acme/networks/web {"subnets":[]}
PATCH /v1/tenants/acme/networks/web {"mtu":9}
PATCH /v1/tenants/acme/networks/web {"vni":9}
PATCH /v1/tenants/acme/networks/web {}
PATCH /v1/tenants/acme/networks/web {"mtu":1300,"frob":1}
PATCH /v1/tenants/acme/networks/nope {"mtu":1300}
PATCH /v1/tenants/acme/networks/web/ports/c2 {"addresses":["10.0.0.21"],"learn":2}
PATCH /v1/tenants/acme/networks/web/ports/c2 {"mac":"02:00:00:00:00:22"}
PATCH /v1/tenants/acme/networks/web/ports/c2 {"mac":""}
PATCH /v1/tenants/acme/networks/web/ports/c2 {"learn":2}
PATCH /v1/tenants/acme/networks/web/ports/c1 {"addresses":[]}
PATCH /v1/tenants/acme/networks/web/ports/c1 {"addresses":["10.0.0.21"]}
PATCH /v1/tenants/acme/networks/web/ports/c1 {"name":"c3"}
PATCH /v1/tenants/acme/networks/web/ports/c1 {}
PATCH /v1/tenants/acme/networks/web/ports/c9 {"learn":1}
PATCH /v1/tenants/acme/networks/web/peers/tor1 {"vtep":"192.0.2.41"}
PATCH /v1/tenants/acme/routes/10.9.0.0/16 {"via":["10.0.0.9"]}
PATCH /v1/tenants/acme/routes/10.9.0.0/16 {"via":[]}
PATCH /v1/tenants/acme/routes/10.9.0.0/16 {"via":["10.77.0.9"]}
PATCH /v1/tenants/acme/routes/10.9.0.0/16 {}
PATCH /v1/tenants/acme/routes/10.99.0.0/16 {"via":["10.0.0.9"]}
PATCH /v1/tenants/acme/routes/10.99.0.0/16 {"via":[]}
PATCH /v1/externals/campus {"allow":["192.0.2.5/32"],"no_allow":["192.0.2.7/32"]}
PATCH /v1/externals/campus {"no_allow":["192.0.2.7/32"]}
PATCH /v1/externals/campus {"pool":{"first":"203.0.113.10","last":"203.0.113.20"},"mtu":1450,"vlan":8}
PATCH /v1/externals/campus {"pool":{"first":"203.0.113.15","last":"203.0.113.20"}}
PATCH /v1/externals/campus {"vlan":0,"underlay":"allow"}
PATCH /v1/externals/internet {"underlay":"allow"}
PATCH /v1/externals/internet {"vlan":5}
PATCH /v1/externals/internet {"allow":[]}
PATCH /v1/externals/internet {}
PATCH /v1/externals/internet {"subnet":"100.99.0.0/24"}
PATCH /v1/externals/nope {"mtu":1400}
PATCH /v1/tenants/acme/snats/internet {"max_connections":7}
PATCH /v1/tenants/acme/snats/internet {"max_connections":0}
PATCH /v1/tenants/acme/snats/internet {}
PATCH /v1/tenants/acme/snats/campus {"max_connections":7}
PATCH /v1/tenants/acme/forwards/internet/tcp/8080 {"to_port":81}
GET /v1/tenants/acme/networks/web
GET /v1/externals/campus
`

const replayRefused = `
POST /v1/tenants {"name":"ACME"}
POST /v1/tenants {}
POST /v1/tenants null
POST /v1/tenants {"name":"x","id":7}
POST /v1/tenants {"name":7}
POST /v1/tenants/ACME/networks {"name":"x"}
POST /v1/tenants/acme/networks {"name":"X"}
POST /v1/tenants/acme/networks {"name":"x","id":7}
POST /v1/tenants/acme/networks {"name":"x","tenant":"umbrella"}
POST /v1/tenants/acme/networks {"NAME":"y","mtu":null}
POST /v1/tenants/acme/networks {"name":"x","subnets":[{"prefix":"10.3.0.0/24","frob":1}]}
POST /v1/tenants/acme/networks {"name":"x","subnets":[{"prefix":"10.3.0.1/24"}]}
POST /v1/tenants/acme/networks {"name":"x","vni":16777216}
POST /v1/tenants/acme/networks {"name":"x","mtu":"1400"}
POST /v1/tenants/acme/networks/web/ports {"name":"x","uuid":"7"}
POST /v1/tenants/acme/networks/web/ports {"name":"x","mac":"01:00:00:00:00:00"}
POST /v1/tenants/acme/networks/web/ports {"name":"x","learn":-1}
POST /v1/tenants/acme/networks/WEB/ports {"name":"x"}
POST /v1/tenants/acme/networks/web/peers {"name":"x"}
POST /v1/tenants/acme/networks/web/peers {"name":"x","vtep":"fd00::1"}
POST /v1/tenants/acme/routes {"prefix":"10.9.0.0/16"}
POST /v1/tenants/acme/routes {"via":["10.0.0.7"]}
POST /v1/tenants/acme/routes {"prefix":"10.9.0.0/16","via":["10.0.0.7"],"id":7}
POST /v1/externals {"name":"x"}
POST /v1/externals {"name":"x","kind":"host","number":7}
POST /v1/externals {"name":"x","kind":"host","subnet":"fd00::/64"}
POST /v1/externals {"name":"x","kind":"host","pool":"a-b"}
POST /v1/tenants/acme/snats {}
POST /v1/tenants/acme/snats {"external":"x","address":"fd00::1"}
POST /v1/tenants/acme/snats {"external":"x","max_connections":-1}
POST /v1/tenants/acme/networks/web/ports/c1/floatings {}
POST /v1/tenants/acme/networks/web/ports/C1/floatings {"external":"campus"}
POST /v1/tenants/acme/forwards {"external":"x","protocol":"icmp","port":1,"to":"acme/web/c1","to_port":1}
POST /v1/tenants/acme/forwards {"external":"x","protocol":"tcp","port":1,"to":"umbrella/lan/p1","to_port":1}
POST /v1/tenants/acme/forwards {"external":"x","protocol":"tcp","port":0,"to":"acme/web/c1","to_port":1}
POST /v1/tenants/acme/forwards {"external":"x","protocol":"tcp","port":1,"to":"acme","to_port":1}
GET /v1/tenants/acme/routes/10.9.0.1/16
GET /v1/tenants/acme/forwards/internet/tcp/0
GET /v1/tenants/acme/forwards/internet/icmp/1
GET /v1/tenants/acme/forwards/INTERNET/tcp/1
GET /v1/hosts/HOST
GET /v1/tenants/a%2Fb
DELETE /v1/tenants/acme?cascade=yes
DELETE /v1/tenants/acme?dry-run=1
`

const replayDelete = `
DELETE /v1/tenants/acme?dry-run=true
DELETE /v1/tenants/acme?dry-run=true&cascade=true
DELETE /v1/tenants/acme
DELETE /v1/tenants/nobody
DELETE /v1/tenants/nobody?dry-run=true
DELETE /v1/tenants/nobody?cascade=true
DELETE /v1/tenants/tenant9?dry-run=true
DELETE /v1/tenants/tenant9
DELETE /v1/tenants/acme/networks/web?dry-run=true
DELETE /v1/tenants/acme/networks/web?dry-run=true&cascade=true
DELETE /v1/tenants/acme/networks/web
DELETE /v1/tenants/acme/networks/nope?dry-run=true
DELETE /v1/tenants/acme/networks/nope
DELETE /v1/tenants/acme/networks/web/ports/c1?dry-run=true
DELETE /v1/tenants/acme/networks/web/ports/c1?dry-run=true&cascade=true
DELETE /v1/tenants/acme/networks/web/ports/c1
DELETE /v1/tenants/acme/networks/web/ports/c1?cascade=true
DELETE /v1/tenants/acme/networks/web/ports/c1
DELETE /v1/tenants/acme/networks/web/ports/c9?dry-run=true
DELETE /v1/tenants/acme/networks/web/peers/tor1?dry-run=true
DELETE /v1/tenants/acme/networks/web/peers/tor1?cascade=true
DELETE /v1/tenants/acme/networks/web/peers/tor1
DELETE /v1/tenants/acme/networks/web/peers/tor1?dry-run=true
DELETE /v1/tenants/acme/routes/10.9.0.0/16?dry-run=true
DELETE /v1/tenants/acme/routes/10.9.0.0/16
DELETE /v1/tenants/acme/routes/10.9.0.0/16
DELETE /v1/tenants/acme/forwards/campus/udp/53?dry-run=true
DELETE /v1/tenants/acme/forwards/campus/udp/53
DELETE /v1/tenants/acme/forwards/campus/udp/53
DELETE /v1/tenants/acme/snats/internet?dry-run=true
DELETE /v1/tenants/acme/snats/internet
DELETE /v1/tenants/acme/snats/internet
DELETE /v1/tenants/acme/networks/web/ports/c1/floatings/campus
DELETE /v1/externals/campus?dry-run=true
DELETE /v1/externals/campus
DELETE /v1/externals/campus?dry-run=true&cascade=true
DELETE /v1/externals/campus?cascade=true
DELETE /v1/externals/campus
DELETE /v1/hosts/host1?dry-run=true
DELETE /v1/hosts/host1?dry-run=true&cascade=true
DELETE /v1/hosts/host1
DELETE /v1/hosts/host1?cascade=true
DELETE /v1/hosts/host1
DELETE /v1/hosts/host9?dry-run=true
DELETE /v1/tenants/acme?cascade=true
DELETE /v1/tenants/umbrella?cascade=true
GET /v1/tenants
GET /v1/ports
GET /v1/nat
GET /v1/hosts
`
