// Every path of the API. docs/api.md is written from this table.

package api

import (
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/ovloom/ovloom/intent"
)

// route is one method on one path.
type route struct {
	method  string
	path    string // a pattern of http.ServeMux
	summary string
	query   []param
	body    any // an example of the request's body; nil: no body
	reply   any // an example of the answer; for a stream, of each line
	status  int // of a success; 0: 200
	serve   func(*Server, *call) (any, error)
	stream  bool // serve writes lines itself, and may take long
	local   bool // it needs this host's switch, and waits at startup until the switch is ready
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

// routes are in the order of the documentation: this host, then intent, then hosts and the
// store. They are made when they are first needed: a client needs none.
var routes func() []route

// objects are the classes of objects, in the same order, each with the routes that follow
// its own.
var objects = []struct {
	class
	more []route
}{
	{&tenantClass, appliedRoutes},
	{&networkClass, nil},
	{&portClass, plugRoutes},
	{&peerClass, nil},
	{&routeClass, nil},
	{&externalClass, natRoutes},
	{&snatClass, nil},
	{&floatingClass, nil},
	{&forwardClass, nil},
	{&hostClass, upkeepRoutes},
}

func init() { // declarations refer to functions that refer to routes and objects
	for _, o := range objects {
		classes[o.of()] = o.class
	}
	routes = sync.OnceValue(func() []route {
		all := observedRoutes
		for _, o := range objects {
			all = slices.Concat(all, o.routes(), o.more)
		}
		return all
	})
}

var observedRoutes = []route{
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
}

var appliedRoutes = []route{
	{method: "GET", path: "/v1/tenants/{tenant}/applied", summary: "Wait until every live host that has the tenant has applied a revision. " +
		"The answer is a stream of lines, each a JSON object: who has not, whenever that changes; the last has `done` or `error`. The tenant may have been deleted at that revision.",
		query: []param{paramRevision, paramTimeout}, stream: true,
		reply: WaitLine{Pending: []string{"host2"}}, serve: (*Server).applied},
}

var plugRoutes = []route{
	{method: "PUT", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/plug", summary: "Plug a port into a workload on this host: exactly one of `netns`, `pid` and `tap`.",
		body: &PlugRequest{Netns: "c1", Ifname: "eth0"}, serve: (*Server).plug, local: true,
		reply: PlugResult{Interface: "ovl13", Ifname: "eth0", MAC: examplePort.MAC, Addrs: examplePort.Addrs, MTU: 1450}},
	{method: "DELETE", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/plug", summary: "Unplug a port from this host.",
		reply: struct{}{}, serve: (*Server).unplug, local: true},
	{method: "GET", path: "/v1/tenants/{tenant}/networks/{network}/ports/{port}/up", summary: "Wait until a port that is plugged on this host has its flows installed. The answer is a stream, as of `applied`.",
		query: []param{paramTimeout}, stream: true,
		reply: WaitLine{Done: true}, serve: (*Server).up, local: true},
}

var upkeepRoutes = []route{
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
