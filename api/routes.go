// Every path of the API. docs/api.md is written from this table.

package api

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// route is one method on one path.
type route struct {
	method  string
	path    string // a pattern of http.ServeMux
	summary string
	query   []param
	body    any // an example of what it reads; nil: no body
	reply   any // an example of what it answers; for a stream, of each line
	status  int // of a success; 0: 200
	serve   func(*Server, *call) (any, error)
	stream  bool // serve writes lines itself, and may take long
	local   bool // it is about this host's switch, and waits for that at a start
}

// param is a query parameter.
type param struct {
	name, doc string
}

var (
	paramCascade  = param{"cascade", "`true`: delete what uses it, too"}
	paramDryRun   = param{"dry-run", "`true`: only list what would be deleted; with `cascade=true` that includes what uses it"}
	paramRevision = param{"revision", "the revision that the change was answered with"}
	paramTimeout  = param{"timeout", "how long to wait at most: a duration such as `30s` (the default)"}
	deleteParams  = []param{paramCascade, paramDryRun}
)

// Examples, of one story: two hosts, one tenant, one network, two ports.
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

var exampleNAT = NAT{SNATs: []SNAT{{exampleSNAT, []HostAddress{}}}, Floatings: []intent.Floating{exampleFloating}, Forwards: []intent.Forward{exampleForward}}

// examplePortView is a port that the outside reaches.
var examplePortView = leadsOf(nil, []intent.Floating{exampleFloating}, []intent.Forward{exampleForward}).to(ViewPort(examplePort, exampleClaims))

// ptr returns a pointer to v, for the examples of changes.
func ptr[T any](v T) *T { return &v }

// routes are in the order of the documentation: this host, then intent, then hosts.
var routes = []route{
	{method: "GET", path: "/v1/version", summary: "The version of ovloomd.",
		reply: Version{"v0.1.0"}, serve: (*Server).version},
	{method: "GET", path: "/v1/status", summary: "The state of this host.",
		reply: exampleStatus, serve: (*Server).status, local: true},
	{method: "POST", path: "/v1/status/fix", summary: "Set what this host lacks for tenants to leave through it: forwarding of packets, and rules by which its packet filter lets them pass. The status says what that would be.",
		reply: Fixed{Done: []string{"set net.ipv4.ip_forward=1, until the next boot: for ever with a file in /etc/sysctl.d"}}, serve: (*Server).fix, local: true},
	{method: "GET", path: "/v1/flows", summary: "Flows of this host's switch, with the objects they belong to.",
		query: []param{{"object", "only those of a tenant, network or port, such as `acme/web/c1`"}, {"table", "only those of one table"}},
		reply: []Flow{{Table: "fdb", Object: "port acme/web/c1", Text: "table=fdb,priority=100,metadata=0x3001001/0xffffffffffff,dl_dst=0a:00:00:00:00:13 actions=set_field:5->reg2,goto_table:output"}},
		serve: (*Server).flows, local: true},
	{method: "GET", path: "/v1/flows/diff", summary: "What would lead from what the switch holds to what a new ovloomd would want it to hold, as ovs-ofctl's bundle commands: nothing, if all is right.",
		reply: []string{"flow add table=40,priority=50,metadata=0x2710/0xffffff,dl_dst=0a:00:00:00:00:13,actions=set_field:0x5->reg2,goto_table:100"},
		serve: (*Server).flowsDiff, local: true},

	{method: "GET", path: "/v1/tenants/{tenant}/connections", summary: "A tenant's connections with the outside that this host translates, or that come in by another host for a port here.",
		reply: []intent.Connection{{Port: "acme/web/c1", Protocol: "tcp", Source: "10.0.0.2:40112", Destination: "198.51.100.7:443", TranslatedSource: "203.0.113.10:40112", State: "ESTABLISHED"}},
		serve: (*Server).connections, local: true},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/learned", summary: "The MAC addresses that this host's switch has learned in a network: behind ports with a learning limit, and behind peers.",
		reply: []intent.LearnedMAC{{MAC: intent.MAC{2, 0, 0, 0, 0, 7}, Behind: "peer acme/web/tor1", Idle: 3.2, Age: 61, VTEP: netip.MustParseAddr("198.51.100.40")}},
		serve: (*Server).learned, local: true},

	{method: "GET", path: "/v1/health", summary: "Have every live host examine its paths to the others, with packets of full size through the tunnels. " +
		"It takes less than a second when all is right, up to 20 seconds when not.",
		reply: exampleExamined, serve: (*Server).health, local: true},

	{method: "GET", path: "/v1/trace", summary: "What would become of a packet that a port might send: its way through the switches of all hosts concerned, step by step. Nothing is sent. Hosts that do not answer are in `silent`.",
		query: traceParams, reply: exampleTrace, serve: (*Server).trace, local: true},

	{method: "GET", path: "/v1/tenants", summary: "All tenants, by name.",
		reply: []intent.Tenant{exampleTenant}, serve: (*Server).tenants},
	{method: "POST", path: "/v1/tenants", summary: "Add a tenant.", status: http.StatusCreated,
		body: &TenantSpec{"acme"}, reply: Written{Revision: 51, Object: exampleTenant}, serve: (*Server).addTenant},
	{method: "GET", path: "/v1/tenants/{tenant}", summary: "One tenant and what it has.",
		reply: Tenant{Tenant: exampleTenant, Networks: []string{"web"}, Ports: 2, Hosts: []string{"host1", "host2"}, Routes: 1,
			SNATs: []intent.SNAT{exampleSNAT}, Floatings: 1, Forwards: 1}, serve: (*Server).tenant},
	{method: "DELETE", path: "/v1/tenants/{tenant}", summary: "Delete a tenant.", query: deleteParams,
		reply: Written{Revision: 60, Deleted: []string{"tenant acme"}}, serve: (*Server).deleteTenant},
	{method: "GET", path: "/v1/tenants/{tenant}/applied", summary: "Wait until every live host that has the tenant has applied a revision. " +
		"The answer is a stream of lines, each a JSON object: who has not, whenever that changes; the last has `done` or `error`. The tenant may have been deleted at that revision.",
		query: []param{paramRevision, paramTimeout}, stream: true,
		reply: WaitLine{Pending: []string{"host2"}}, serve: (*Server).applied},

	{method: "GET", path: "/v1/networks", summary: "The networks of all tenants, by name.",
		reply: []intent.Network{exampleNetwork}, serve: (*Server).networks},
	{method: "GET", path: "/v1/tenants/{tenant}/networks", summary: "The networks of one tenant, by name.",
		reply: []intent.Network{exampleNetwork}, serve: (*Server).networks},
	{method: "POST", path: "/v1/tenants/{tenant}/networks", summary: "Add a network. What is left out is chosen: a VNI, and each subnet's first address as its gateway.",
		status: http.StatusCreated,
		body:   &NetworkSpec{Name: "web", Subnets: exampleNetwork.Subnets}, reply: Written{Revision: 52, Object: exampleNetwork}, serve: (*Server).addNetwork},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}", summary: "One network and what it has.",
		reply: Network{Network: exampleNetwork, Ports: 2, Hosts: []string{"host1", "host2"}, Routes: []netip.Prefix{exampleRoute.Prefix}}, serve: (*Server).network},
	{method: "PATCH", path: "/v1/tenants/{tenant}/networks/{network}", summary: "Change a network. What is left out or null stays; what is given replaces all that was there.",
		body: &NetworkChange{MTU: ptr(1400)}, reply: Written{Revision: 53, Object: exampleNetwork}, serve: (*Server).setNetwork},
	{method: "DELETE", path: "/v1/tenants/{tenant}/networks/{network}", summary: "Delete a network.", query: deleteParams,
		reply: Written{Revision: 59, Deleted: []string{"port acme/web/c1", "network acme/web"}}, serve: (*Server).deleteNetwork},

	{method: "GET", path: "/v1/ports", summary: "The ports of all tenants, by name.",
		reply: []Port{ViewPort(examplePort, exampleClaims)}, serve: (*Server).ports},
	{method: "GET", path: "/v1/tenants/{tenant}/ports", summary: "The ports of one tenant, by name.",
		reply: []Port{ViewPort(examplePort, exampleClaims)}, serve: (*Server).ports},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/ports", summary: "The ports of one network, by name.",
		reply: []Port{ViewPort(examplePort, exampleClaims)}, serve: (*Server).ports},
	{method: "POST", path: "/v1/tenants/{tenant}/networks/{network}/ports", summary: "Add a port. What is left out is chosen: an address of each subnet, and a MAC.",
		status: http.StatusCreated,
		body:   &PortSpec{Name: "c1", Addrs: examplePort.Addrs}, reply: Written{Revision: 54, Object: examplePort}, serve: (*Server).addPort},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}", summary: "One port, where it is plugged, and what leads to it.",
		reply: examplePortView, serve: (*Server).port},
	{method: "PATCH", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}", summary: "Change a port. What is left out or null stays; what is given replaces all that was there.",
		body: &PortChange{Learn: ptr(4)}, reply: Written{Revision: 55, Object: examplePort}, serve: (*Server).setPort},
	{method: "DELETE", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}", summary: "Delete a port.", query: deleteParams,
		reply: Written{Revision: 58, Deleted: []string{"port acme/web/c1"}}, serve: (*Server).deletePort},
	{method: "PUT", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/plug", summary: "Plug a port into a workload on this host: exactly one of `netns`, `pid` and `tap`.",
		body: &PlugRequest{Netns: "c1", Ifname: "eth0"}, serve: (*Server).plug, local: true,
		reply: PlugResult{Interface: "ovl13", Ifname: "eth0", MAC: examplePort.MAC, Addrs: examplePort.Addrs, MTU: 1450}},
	{method: "DELETE", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/plug", summary: "Unplug a port from this host.",
		reply: struct{}{}, serve: (*Server).unplug, local: true},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/up", summary: "Wait until a port that is plugged on this host has its flows installed. The answer is a stream, as of `applied`.",
		query: []param{paramTimeout}, stream: true,
		reply: WaitLine{Done: true}, serve: (*Server).up, local: true},

	{method: "GET", path: "/v1/peers", summary: "The peers of all tenants, by name.",
		reply: []intent.Peer{examplePeer}, serve: (*Server).peers},
	{method: "GET", path: "/v1/tenants/{tenant}/peers", summary: "The peers of one tenant, by name.",
		reply: []intent.Peer{examplePeer}, serve: (*Server).peers},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/peers", summary: "The peers of one network, by name.",
		reply: []intent.Peer{examplePeer}, serve: (*Server).peers},
	{method: "POST", path: "/v1/tenants/{tenant}/networks/{network}/peers", summary: "Add a peer: a VTEP that is not ovloom, with machines of the network behind it.",
		status: http.StatusCreated,
		body:   &PeerSpec{Name: "tor1", VTEP: examplePeer.VTEP}, reply: Written{Revision: 56, Object: examplePeer}, serve: (*Server).addPeer},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/peers/{peer}", summary: "One peer.",
		reply: examplePeer, serve: (*Server).peer},
	{method: "DELETE", path: "/v1/tenants/{tenant}/networks/{network}/peers/{peer}", summary: "Delete a peer.", query: deleteParams,
		reply: Written{Revision: 57, Deleted: []string{"peer acme/web/tor1"}}, serve: (*Server).deletePeer},

	{method: "GET", path: "/v1/routes", summary: "The static routes of all tenants, by prefix.",
		reply: []intent.Route{exampleRoute}, serve: (*Server).routes},
	{method: "GET", path: "/v1/tenants/{tenant}/routes", summary: "The static routes of one tenant, by prefix.",
		reply: []intent.Route{exampleRoute}, serve: (*Server).routes},
	{method: "POST", path: "/v1/tenants/{tenant}/routes", summary: "Add a static route: what goes to the prefix, and to no subnet of the tenant's own, is handed to a next hop. Several next hops share the connections.",
		status: http.StatusCreated,
		body:   &RouteSpec{Prefix: exampleRoute.Prefix, Via: exampleRoute.Via}, reply: Written{Revision: 62, Object: exampleRoute}, serve: (*Server).addRoute},
	{method: "GET", path: "/v1/tenants/{tenant}/routes/{address}/{length}", summary: "One static route, named by its prefix: `/v1/tenants/acme/routes/10.9.0.0/16`.",
		reply: exampleRoute, serve: (*Server).route},
	{method: "PATCH", path: "/v1/tenants/{tenant}/routes/{address}/{length}", summary: "Change a static route: `via` replaces all its next hops.",
		body: &RouteChange{Via: &exampleRoute.Via}, reply: Written{Revision: 63, Object: exampleRoute}, serve: (*Server).setRoute},
	{method: "DELETE", path: "/v1/tenants/{tenant}/routes/{address}/{length}", summary: "Delete a static route.", query: deleteParams,
		reply: Written{Revision: 64, Deleted: []string{"route acme 10.9.0.0/16"}}, serve: (*Server).deleteRoute},

	{method: "GET", path: "/v1/externals", summary: "All externals, by name.",
		reply: []intent.External{exampleCampus, exampleInternet}, serve: (*Server).externals},
	{method: "POST", path: "/v1/externals", summary: "Add an external: of kind `host`, through the hosts' own routing, or of kind `bridge`, through a bridge that leads to a segment outside. What is left out is chosen: the range of one of kind `host`, the gateway, the MTU.",
		status: http.StatusCreated,
		body:   &ExternalSpec{Name: "internet", Kind: intent.ExternalHost}, reply: Written{Revision: 65, Object: exampleInternet}, serve: (*Server).addExternal},
	{method: "GET", path: "/v1/externals/{external}", summary: "One external, and which of its addresses are used for what.",
		reply: External{exampleInternet, []UsedAddress{{exampleSNAT.Address, []string{"snat acme through internet", "forward acme internet tcp/8080"}}}, 65532}, serve: (*Server).external},
	{method: "PATCH", path: "/v1/externals/{external}", summary: "Change an external: what tenants may reach besides (`allow`) and no longer (`no_allow`); of kind `bridge` also its VLAN, pool and MTU. What is left out or null stays.",
		body: &ExternalChange{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/32")}}, reply: Written{Revision: 66, Object: exampleInternet}, serve: (*Server).setExternal},
	{method: "DELETE", path: "/v1/externals/{external}", summary: "Delete an external.", query: deleteParams,
		reply: Written{Revision: 67, Deleted: []string{"snat acme through internet", "external internet"}}, serve: (*Server).deleteExternal},

	{method: "GET", path: "/v1/nat", summary: "The NAT of all tenants, by name.",
		reply: exampleNAT, serve: (*Server).nat},
	{method: "GET", path: "/v1/tenants/{tenant}/nat", summary: "The NAT of one tenant, by name.",
		reply: exampleNAT, serve: (*Server).nat},
	{method: "POST", path: "/v1/tenants/{tenant}/snats", summary: "Let the ports of a tenant reach what is beyond an external. A tenant has at most one SNAT.",
		status: http.StatusCreated,
		body:   &SNATSpec{External: "internet"}, reply: Written{Revision: 68, Object: exampleSNAT}, serve: (*Server).addSNAT},
	{method: "GET", path: "/v1/tenants/{tenant}/snats/{external}", summary: "The SNAT of a tenant, and what each host translates to where that differs.",
		reply: exampleNAT.SNATs[0], serve: (*Server).snat},
	{method: "PATCH", path: "/v1/tenants/{tenant}/snats/{external}", summary: "Change a SNAT.",
		body: &SNATChange{MaxConnections: ptr[uint32](10000)}, reply: Written{Revision: 69, Object: exampleSNAT}, serve: (*Server).setSNAT},
	{method: "DELETE", path: "/v1/tenants/{tenant}/snats/{external}", summary: "Delete a SNAT; its connections end.", query: deleteParams,
		reply: Written{Revision: 70, Deleted: []string{"snat acme through internet"}}, serve: (*Server).deleteSNAT},
	{method: "POST", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/floatings", summary: "Give a port an address of its own of an external of kind `bridge`. An address that is left out is chosen.",
		status: http.StatusCreated,
		body:   &FloatingSpec{External: "campus"}, reply: Written{Revision: 71, Object: exampleFloating}, serve: (*Server).addFloating},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/floatings/{external}", summary: "The floating address that a port has of an external.",
		reply: Floating{exampleFloating, examplePort.Addrs, "host1"}, serve: (*Server).floating},
	{method: "DELETE", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/floatings/{external}", summary: "Take a floating address from its port; its connections end.", query: deleteParams,
		reply: Written{Revision: 72, Deleted: []string{"floating acme/web/c1 on campus"}}, serve: (*Server).deleteFloating},
	{method: "POST", path: "/v1/tenants/{tenant}/forwards", summary: "Lead what is sent to one port of an external address to a port of a port. All forwards that a tenant has of an external share an address.",
		status: http.StatusCreated,
		body:   &ForwardSpec{External: "internet", Protocol: intent.TCP, Port: 8080, To: examplePort.Ref(), ToPort: 80}, reply: Written{Revision: 73, Object: exampleForward}, serve: (*Server).addForward},
	{method: "GET", path: "/v1/tenants/{tenant}/forwards/{external}/{protocol}/{number}", summary: "One forward, such as `/v1/tenants/acme/forwards/internet/tcp/8080`.",
		reply: Forward{exampleForward, examplePort.Addrs, "host1"}, serve: (*Server).forward},
	{method: "DELETE", path: "/v1/tenants/{tenant}/forwards/{external}/{protocol}/{number}", summary: "Delete a forward; its connections end.", query: deleteParams,
		reply: Written{Revision: 74, Deleted: []string{"forward acme internet tcp/8080"}}, serve: (*Server).deleteForward},

	{method: "GET", path: "/v1/hosts", summary: "All registered hosts, by name.",
		reply: []intent.HostState{exampleHost}, serve: (*Server).hosts},
	{method: "GET", path: "/v1/hosts/{host}", summary: "One host and what has to go before it can be removed.",
		reply: Host{exampleHost, []string{"binding acme/web/c1 on host1"}}, serve: (*Server).host},
	{method: "DELETE", path: "/v1/hosts/{host}", summary: "Remove a host that is gone for good; with `cascade=true` the bindings of its ports go, too.", query: deleteParams,
		reply: Written{Revision: 61, Deleted: []string{"host host1"}}, serve: (*Server).removeHost},
	{method: "GET", path: "/v1/store", summary: "The state of the store.",
		reply: exampleHealth, serve: (*Server).storeHealth},
	{method: "GET", path: "/v1/store/check", summary: "What is wrong in the store: objects that are not valid, that lack what they refer to, or that have what is another's, and index keys that are missing or belong to nothing.",
		reply: StoreCheck{[]string{"network umbrella/web has id 7, which is that of \"network acme/web\""}}, serve: (*Server).checkStore},
	{method: "GET", path: "/v1/store/backup", summary: "The whole store as it is at one moment, for `ovloom store restore`. The answer is a file, not JSON; one that is cut off is no backup.",
		stream: true, serve: (*Server).backup},
	{method: "POST", path: "/v1/store/members", summary: "Have the store expect a new member. The answer is what its ovloomd is to be told.", status: http.StatusCreated,
		body: &StoreMemberSpec{Name: "host2"}, serve: (*Server).addMember,
		reply: StoreJoining{Name: "host2", Peer: "https://192.0.2.2:2380", Listen: "https://192.0.2.2:2379", Join: exampleMember.URLs}},
	{method: "DELETE", path: "/v1/store/members", summary: "Take a member out of the store for good. It is refused if too few would be left that answer.",
		query: []param{{"member", "its name, or its peer URL"}}, reply: exampleMember, serve: (*Server).removeMember},
	{method: "POST", path: "/v1/store/compact", summary: "Drop the store's history and give back its disk space; a store that was full takes changes again.",
		reply: Compacted{57}, serve: (*Server).compact},
	{method: "DELETE", path: "/v1/local", summary: "Take this host out of the overlay: release its bindings, give its network card back, delete its bridge, unregister it.", query: deleteParams,
		reply: Written{Deleted: []string{"bridge br-int", "host host1"}}, serve: (*Server).leave, local: true},
}
