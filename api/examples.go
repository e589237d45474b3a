// Examples of the documentation.

package api

import (
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// The examples tell one story: two hosts, one tenant, one network, two ports.
var (
	exampleTenant  = intent.Tenant{Name: "acme", ID: 17, VRF: 3}
	exampleNetwork = intent.Network{Tenant: "acme", Name: "web", ID: 18, VNI: 4097, Unknown: intent.UnknownDrop,
		Subnets: []intent.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}}}
	examplePort = intent.Port{Tenant: "acme", Network: "web", Name: "c1", ID: 19, UUID: "6c8e2fd5-2c5a-4d0e-9d1c-0f1f1c9e7a11",
		MAC: intent.MAC{0x0a, 0, 0, 0, 0, 0x13}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}
	examplePeer     = intent.Peer{Tenant: "acme", Network: "web", Name: "tor1", ID: 20, VTEP: netip.MustParseAddr("192.0.2.40")}
	exampleRoute    = intent.Route{Tenant: "acme", Prefix: netip.MustParsePrefix("10.9.0.0/16"), ID: 21, Via: []netip.Addr{netip.MustParseAddr("10.0.0.7")}}
	exampleInternet = intent.External{Name: "internet", ID: 22, Number: 1, Kind: intent.ExternalHost, Subnet: intent.DefaultHostRange,
		Gateway: netip.MustParseAddr("100.64.0.1")}
	exampleCampus = intent.External{Name: "campus", ID: 23, Number: 2, Kind: intent.ExternalBridge, Subnet: netip.MustParsePrefix("203.0.113.0/24"),
		Gateway: netip.MustParseAddr("203.0.113.1"), Bridge: "br-ex", MTU: intent.ExternalMTUDefault,
		Pool: intent.AddrRange{First: netip.MustParseAddr("203.0.113.10"), Last: netip.MustParseAddr("203.0.113.200")}}
	exampleSNAT     = intent.SNAT{Tenant: "acme", External: "internet", ID: 24, Address: netip.MustParseAddr("100.64.0.2")}
	exampleFloating = intent.Floating{Tenant: "acme", Network: "web", Port: "c1", ID: 25, External: "campus", Address: netip.MustParseAddr("203.0.113.10")}
	exampleForward  = intent.Forward{Tenant: "acme", External: "internet", Protocol: intent.TCP, Port: 8080, ID: 26, Address: exampleSNAT.Address,
		To: examplePort.Ref(), ToPort: 80}
	exampleClaims = []intent.Binding{{Host: "host1", Generation: 41, Up: true}}
	exampleHost   = intent.HostState{Host: intent.Host{Name: "host1", ID: 1, VTEP: netip.MustParseAddr("192.0.2.1"),
		UnderlayMTU: 1500, Datapath: "system", Version: "v0.1.0"}, Alive: true, Applied: 57}
	exampleTime   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	exampleHealth = StoreHealth{URLs: []string{"https://host1:2379"}, Revision: 57, Etcd: "3.7.3", Size: 81920, InUse: 40960,
		Members: []StoreMember{exampleMember}, Faults: []string{}}
	exampleMember = StoreMember{Name: "host1", URLs: []string{"https://192.0.2.1:2379"}, Peer: "https://192.0.2.1:2380", Leader: true, State: "up"}
	exampleStatus = Status{Version: "v0.1.0", Host: "host1", VTEP: exampleHost.VTEP, Datapath: "system", Bridge: "br-int", Underlay: Underlay{Interface: "eth1", MTU: 1600}, OVSVersion: "3.1.0",
		Started: exampleTime, Uptime: 3600, Revision: 57, Resync: Resync{At: exampleTime, Messages: 0},
		Connections: []Connection{{Name: "store", Target: "https://host1:2379", Connected: true, Since: exampleTime}},
		Tenants:     []string{"acme"}, Ports: []BoundPort{{"acme/web/c1", "ovl13", 5, true, ""}}, Flows: 61, Groups: 1, Cache: &Cache{Hits: 5012, Misses: 23, Flows: 7, Masks: 1, MaskHits: 5550},
		Uplinks:   []Uplink{{External: "internet", Via: "host", Interface: "ovl0", OFPort: 2}},
		Conflicts: []Conflict{}, Drops: []Drop{{"spoof", "the source MAC is not the port's", 3, 294}}, Warnings: []Warning{},
		LeftOut: []LeftOut{{Key: "/ovloom/v1/hosts/host2", Object: "host host2", Reason: "the VTEP address is missing"}},
		Repairs: []Repair{{At: exampleTime, First: exampleTime, Times: 1, What: "flows changed by another program", Count: 17, Detail: "17 deleted"}}}
)

var exampleExamined = intent.Health{
	Hosts: []string{"host1", "host2"},
	Paths: []intent.Path{
		{From: "host1", To: "host2", State: intent.PathMTU, Passes: 1404, Wanted: 1500, RTT: 412, Skew: -3},
		{From: "host2", To: "host1", State: intent.PathOK, Passes: 1500, Wanted: 1500, RTT: 398, Skew: 3},
	},
	Findings: []intent.Finding{{Hosts: []string{"host1", "host2"},
		What: "the underlay from host1 to host2 is too small: packets of 1500 bytes are lost, those of 1404 pass",
		Do:   "raise the MTU of every link and switch between them to 1500"}},
}

// examplePortView is a port that is reachable from outside.
var examplePortView = leadsOf(nil, []intent.Floating{exampleFloating}, []intent.Forward{exampleForward}).to(ViewPort(examplePort, exampleClaims))
