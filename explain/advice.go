package explain

import (
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// adviceFor says for each reason of a drop what would change it. {port}, {network}
// and {tenant} are the sender's, {to} is the destination as the user gave it.
var adviceFor = map[string]string{
	"unknown-port":         "plug the port with `ovloom port plug`, or set external_ids:iface-id of the interface to the port's name",
	"unknown-vtep":         "only hosts of the overlay and peers may send into tunnels: start ovloomd on that machine, or add it with `ovloom peer add`",
	"claimed-elsewhere":    "unplug the port on the other host; `ovloom status` shows the conflict",
	"unknown-vni":          "no port of the network is in force on that host: `ovloom port list {tenant}` shows where they are",
	"spoof-mac":            "send with the port's own MAC address, which `ovloom port show {port}` prints; or let MACs live behind the port: `ovloom network set {network} --learning` and `ovloom port set {port} --learn N`",
	"spoof-ipv4":           "send from an address of the port, or give it that one: `ovloom port set {port} --ip …` with all that it is to have",
	"spoof-ipv6":           "send from an address of the port, or give it that one: `ovloom port set {port} --ip …` with all that it is to have",
	"spoof-arp":            "a port may speak in ARP for its own addresses only; to give it one: `ovloom port set {port} --ip …` with all that it is to have",
	"spoof-nd":             "a port may speak in neighbour discovery for its own addresses only; to give it one: `ovloom port set {port} --ip …` with all that it is to have",
	"router-advertisement": "nothing: ports are no routers. Gateways are the overlay's",
	"own-address":          "nothing needs to: the address is the port's own, and nobody answers for it",
	"no-such-address":      "add a port with that address (`ovloom port add {network}/NAME --ip ADDRESS`), or let addresses live that the store does not know: `ovloom network set {network} --learning`",
	"unasked":              "nothing needs to: the switch answers for every address that it knows",
	"no-router":            "nothing needs to: hosts get their addresses and routes when they are plugged",
	"not-plugged":          "plug the destination: `ovloom port plug PORT --netns NAME` on the host where it runs",
	"learn-limit":          "let more MACs live behind the port: `ovloom port set {port} --learn N`",
	"reserved-mac":         "nothing: such frames stay on their link (spanning tree, LLDP, pause frames)",
	"unknown-destination":  "look whether the MAC address is right; or flood what nobody is known to have: `ovloom network set {network} --unknown flood`",
	"split-horizon":        "the sender's host and this one disagree about where the destination is: look whether both are up to date (`ovloom flows --diff` on each)",
}

// advice returns what would change the drops of a packet that went nowhere else.
func (j *journey) advice(p intent.TracePacket) []string {
	var all []string
	add := func(text string) {
		if text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	fill := strings.NewReplacer("{port}", j.q.From.String(), "{network}", j.network.Ref().String(), "{tenant}", j.q.From.Tenant, "{to}", j.q.To)
	for _, h := range p.Hops {
		if h.Error != "" {
			add("see whether " + h.Host + " is up: `ovloom host list`, and `ovloom status` there")
		}
		for _, e := range h.Ends {
			if p.Verdict == intent.TraceDropped && e.Kind == intent.TraceDropped {
				add(fill.Replace(adviceFor[e.Reason]))
			}
		}
		for _, s := range h.Steps {
			for _, note := range s.Notes {
				if strings.HasPrefix(note, "neighbor cache miss") {
					add("the underlay does not know yet where the other host is: the first packet may be lost. `ovloom doctor` says if more are")
				}
			}
		}
	}
	return all
}
