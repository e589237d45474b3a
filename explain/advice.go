package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// adviceFor says for each reason of a drop what would change it. {port}, {network} and
// {tenant} are the sender's, {to} is the destination as the user gave it, {address} the
// same if it is an address; {external} is the external by which the packet comes in, or to
// which it goes.
var adviceFor = map[string]string{
	"unknown-port":         "plug the port with `ovloom port plug`, or set external_ids:iface-id of the interface to the port's name",
	"unknown-vtep":         "only hosts of the overlay and peers may send into tunnels: start ovloomd on that machine, or add it with `ovloom peer add`",
	"claimed-elsewhere":    "unplug the port on the other host; `ovloom status` shows the conflict",
	"unknown-vni":          "no port of the network is in force on that host: `ovloom port list {tenant}` shows where they are",
	"spoof-mac":            "send with the port's own MAC address, which `ovloom port show {port}` prints; or let MACs live behind the port: `ovloom network set {network} --learning` and `ovloom port set {port} --learn N`",
	"spoof-ipv4":           "send from an address of the port, or give it that one: `ovloom port set {port} --ip …` with all that it is to have",
	"spoof-ipv6":           "send from an address of the port, or give it that one: `ovloom port set {port} --ip …` with all that it is to have",
	"no-ipv6":              "nothing needs to: machines say such things by themselves. For IPv6, give the network a subnet: `ovloom network set {network} --subnet PREFIX` with all that it is to have",
	"unclaimed":            "wait a moment: packets pass when the host's claim is stored and its flows are in. If that takes long, see `ovloom status`",
	"spoof-arp":            "a port may speak in ARP for its own addresses only; to give it one: `ovloom port set {port} --ip …` with all that it is to have",
	"spoof-nd":             "a port may speak in neighbour discovery for its own addresses only; to give it one: `ovloom port set {port} --ip …` with all that it is to have",
	"router-advertisement": "nothing: ports are no routers. Gateways are the overlay's",
	"own-address":          "nothing: the address is the port's own, and the switch does not answer for it",
	"no-such-address":      "add a port with that address (`ovloom port add {network}/NAME --ip ADDRESS`), or let addresses live that the store does not know: `ovloom network set {network} --learning`",
	"unasked":              "nothing needs to: the switch answers for every address that it knows",
	"no-router":            "nothing needs to: hosts get their addresses and routes when they are plugged",
	"not-plugged":          "plug the destination: `ovloom port plug PORT --netns NAME` on the host where it runs",
	"learn-limit":          "let more MACs live behind the port: `ovloom port set {port} --learn N`",
	"reserved-mac":         "nothing: such frames stay on their link (spanning tree, LLDP, pause frames)",
	"unknown-destination":  "look whether the MAC address is right; or flood unknown destinations: `ovloom network set {network} --unknown flood`",
	"not-elected":          "nothing needs to: of all hosts one is the gateway for the network's peers",
	"on-link":              "nothing: link-local and multicast addresses are never routed",
	"not-routed":           "nothing: gateways route IPv4 and IPv6 only",
	"expired":              "send with a higher TTL; if it was high, routes lead in a circle: `ovloom route list {tenant}`",
	"gateway":              "nothing: gateways answer ARP, neighbour solicitations and pings only",
	"no-route":             "look whether the address is right; else add a network that has it, a route (`ovloom route add {tenant} PREFIX --via ADDRESS`), or SNAT (`ovloom nat snat add {tenant} --external NAME`)",
	"oversize":             "send smaller packets, or without \"don't fragment\"; or raise the MTU of the network that it goes to: `ovloom network set {tenant}/NETWORK --mtu N`",
	"not-ours":             "give a port the address (`ovloom nat floating add PORT --external {external} --address {address}`), or forward to one",
	"invalid":              "nothing: it is part of no connection. One that was cut has to be opened anew",
	"martian":              "nothing: no machine outside has such an address; the sender is misconfigured or spoofs",
	"no-forward":           "forward it: `ovloom nat forward add {tenant} --external {external} {proto} --to TENANT/NETWORK/PORT:PORT`",
	"host-address":         "allow it, if tenants may reach the host there: `ovloom external set {external} --allow {address}/32`",
	"vtep":                 "nothing should: who can send to tunnels can speak for every tenant",
	"other-host":           "allow it, if tenants may reach that host: `ovloom external set {external} --allow {address}/32`",
	"underlay":             "allow that address (`ovloom external set {external} --allow {address}/32`), or all of the network but the tunnels' ends: `ovloom external set {external} --underlay allow`",
	"no-claim":             "nothing should: a host may send for tenants that it has ports of. If it has: look whether both hosts are up to date (`ovloom flows --diff` on each)",
	"store":                "nothing should: who reaches the store may reach every tenant",
	"foreign-nat-address":  "allow it, if the tenants are to meet there: `ovloom external set {external} --allow {address}/32`",
	"no-nat":               "give the tenant SNAT: `ovloom nat snat add {tenant} --external NAME`; or the port an address: `ovloom nat floating add {port} --external NAME`",
	"nat-full":             "raise the tenant's limit, or look who opens so many connections: `ovloom nat list {tenant}`",
	"no-uplink":            "see on that host what is missing: `ovloom status`; `ovloom status --fix` sets what it can",
	"storm-limit":          "find out what sends so many broadcasts; the port's other traffic is not held up",
	"punt-limit":           "find out what sends packets that end at a gateway, are too large, or look for unknown addresses; the port's other traffic is not held up",
	"fragment-limit":       "send packets that fit the MTU: a tenant may send 100 fragments a second through NAT",
	"penalty":              "find out why the port sends to or from so many addresses; the limit ends by itself, `ovloom status` names the port",
	"next-hop":             "try again: once the next hop has answered, packets go on. If it never does, look whether it is up",
	"tagged":               "send untagged; or let the network carry tags: `ovloom network set {network} --vlan-transparent`. An external has the tag of its own VLAN only: `ovloom external set {external} --vlan N`",
	"ethertype":            "let the network carry frames of that type: `ovloom network set {network} --ethertype 0xNNNN` with all types besides IPv4, IPv6 and ARP",
	"malformed":            "nothing: what cannot be read cannot be checked, and no host needs to send it",
	"header-chain":         "send all headers in the first fragment, as RFC 7112 demands",
	"fragmented-nd":        "send neighbour discovery whole, as RFC 6980 demands: receivers ignore fragments of it",
	"foreign-source":       "send from an address of the network's subnets; or say what is behind that machine: `ovloom route add {tenant} PREFIX --via ADDRESS`",
	"split-horizon":        "the sender's host and this one disagree about where the destination is: look whether both are up to date (`ovloom flows --diff` on each)",
}

// advice returns what would change the drops of a packet that was only dropped, and notes
// on its path.
func (j *journey) advice(p intent.TracePacket) []string {
	var all []string
	add := func(text string) {
		if text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, h := range p.Hops {
		if h.Error != "" {
			add("see whether " + h.Host + " is up: `ovloom host list`, and `ovloom status` there")
		}
		for _, e := range h.Ends {
			if (p.Verdict == intent.TraceDropped || p.Verdict == intent.TraceUnknown) && e.Kind == intent.TraceDropped {
				add(j.placeholders(e).Replace(j.adviceFor(e.Reason)))
			}
		}
		for _, s := range h.Steps {
			for _, note := range s.Notes {
				if strings.HasPrefix(note, "using bucket ") {
					add("this is one of several ways, over which connections are spread by a hash that only real packets have")
				}
				if strings.HasPrefix(note, "neighbor cache miss") {
					add("the underlay does not know yet where the other host is: the first packet may be lost. `ovloom doctor` says if more are")
				}
			}
		}
	}
	return all
}

// behind are the reasons for which a port may not use a source address that may belong to
// a machine behind it.
var behind = []string{"spoof-ipv4", "spoof-ipv6", "spoof-arp", "spoof-nd", "foreign-source"}

// adviceFor returns what would change a drop. A port cannot be given an address outside
// its network's subnets, so the machine with such an address is behind the port.
func (j *journey) adviceFor(reason string) string {
	a := j.q.SrcAddr
	if !a.IsValid() || !slices.Contains(behind, reason) ||
		slices.ContainsFunc(j.network.Subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(a) }) {
		return adviceFor[reason]
	}
	via := "ADDRESS"
	for _, own := range j.port.Addrs {
		if own.Is4() == a.Is4() {
			via = own.String()
			break
		}
	}
	return fmt.Sprintf("no subnet of the network has %s. If a machine behind the port has it, say so: `ovloom route add {tenant} %s --via %s`, or with the prefix that is there",
		a, netip.PrefixFrom(a, a.BitLen()), via)
}

// placeholders fill in the advice about an end.
func (j *journey) placeholders(e intent.TraceEnd) *strings.Replacer {
	port, network, tenant := j.q.From.String(), j.network.Ref().String(), j.q.From.Tenant
	if j.q.External != "" {
		port, network, tenant = "TENANT/NETWORK/PORT", "TENANT/NETWORK", "TENANT"
	}
	address := "ADDRESS"
	if _, err := netip.ParseAddr(j.q.To); err == nil {
		address = j.q.To
	}
	proto := "--tcp PORT"
	if j.q.Protocol != "" {
		proto = fmt.Sprintf("--%s %d", j.q.Protocol, j.q.DstPort)
	}
	return strings.NewReplacer("{port}", port, "{network}", network, "{tenant}", tenant, "{to}", j.q.To,
		"{address}", address, "{external}", cmp.Or(j.q.External, e.External, "NAME"), "{proto}", proto)
}
