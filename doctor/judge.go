package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// clockLimit is how far two clocks may be apart. TLS itself checks only the dates of
// certificates, but a certificate made a moment ago on one host is not valid yet on a host
// whose clock is behind.
const clockLimit = 5 * time.Second

// Wanted returns the size that a path between two hosts must carry, in bytes of the
// underlay's IP packet: the smaller of their underlays' MTUs.
func Wanted(a, b intent.Host) int {
	known := func(mtu int) int { return cmp.Or(mtu, intent.MTUDefault+intent.VXLANOverhead) }
	return min(known(a.UnderlayMTU), known(b.UnderlayMTU))
}

// Judge returns the diagnosis from the reports of all hosts, by name. hosts are all registered
// hosts, networks all networks.
func Judge(hosts []intent.HostState, networks []intent.Network, reports map[string]intent.HealthReport) intent.Health {
	j := judge{reports: reports}
	for _, h := range hosts {
		j.health.Hosts = append(j.health.Hosts, h.Name)
		r, reported := reports[h.Name]
		switch {
		case reported:
			j.hosts = append(j.hosts, h.Host)
			j.health.Findings = append(j.health.Findings, r.Findings...)
		case h.Alive:
			j.find([]string{h.Name}, "see whether ovs-vswitchd runs there, the log of its ovloomd, and whether that has the version of the others (ovloom host list)",
				"host %s is alive, but did not report in time", h.Name)
		default:
			j.find([]string{h.Name}, fmt.Sprintf("start its ovloomd (systemctl start ovloomd) and see whether it reaches the store; if the host is gone for good: ovloom host remove %s", h.Name),
				"host %s is down: its ovloomd gives no sign of life", h.Name)
		}
	}
	j.ports()
	j.paths()
	j.clocks()
	j.mtus(networks)
	return j.health
}

// JudgeAlone returns the diagnosis from the report of one host, while the store, and so the
// other hosts' reports, are out of reach for the reason why. hosts are the hosts in its cached
// copy.
func JudgeAlone(hosts []intent.Host, report intent.HealthReport, why error) intent.Health {
	j := judge{reports: map[string]intent.HealthReport{report.Host: report}}
	j.find([]string{report.Host}, "see whether the host with the store is up and its ovloomd runs (ovloom status), then ask again: what the other hosts see needs the store",
		"only %s was examined, by itself: %v", report.Host, why)
	j.health.Findings = append(j.health.Findings, report.Findings...)
	for _, h := range hosts {
		j.health.Hosts = append(j.health.Hosts, h.Name)
		p, ok := j.state(report.Host, h.Name)
		if !ok {
			continue
		}
		j.health.Paths = append(j.health.Paths, p)
		both := []string{report.Host, h.Name}
		r, _ := j.report(report.Host, h.Name)
		switch {
		case p.State == intent.PathMTU:
			j.tooSmall(both, fmt.Sprintf("from %s to %s", report.Host, h.Name), p)
		case p.State != intent.PathOK && r.SendFail != "":
			j.find(both, "see whether Open vSwitch runs there: systemctl status openvswitch-switch", "%s cannot send to %s through its tunnel: %s", report.Host, h.Name, r.SendFail)
		case p.State != intent.PathOK:
			j.find(both, fmt.Sprintf("see whether %s answers ping, whether its ovloomd runs, and whether UDP port %d is filtered between", h.VTEP, report.VXLANPort),
				"%s (%s) answers no tunnel packet of %s", h.Name, h.VTEP, report.Host)
		case r.Skew.Abs() > clockLimit:
			j.clock(h.Name, report.Host, r.Skew)
		}
	}
	return j.health
}

// judge is one diagnosis in progress.
type judge struct {
	hosts   []intent.Host // that reported
	reports map[string]intent.HealthReport
	health  intent.Health
}

func (j *judge) find(hosts []string, do, what string, args ...any) {
	j.health.Findings = append(j.health.Findings, intent.Finding{Hosts: hosts, What: fmt.Sprintf(what, args...), Do: do})
}

// report returns one host's report on the path to another.
func (j *judge) report(from, to string) (intent.PathReport, bool) {
	paths := j.reports[from].Paths
	i := slices.IndexFunc(paths, func(p intent.PathReport) bool { return p.To == to })
	if i < 0 {
		return intent.PathReport{}, false
	}
	return paths[i], true
}

// ports compares the UDP ports of the tunnels.
func (j *judge) ports() {
	hosts := map[int][]string{}
	for _, h := range j.hosts {
		p := j.reports[h.Name].VXLANPort
		hosts[p] = append(hosts[p], h.Name)
	}
	if len(hosts) < 2 {
		return
	}
	var all, words []string
	for p, names := range hosts {
		all = append(all, names...)
		words = append(words, fmt.Sprintf("%s %d", strings.Join(names, ", "), p))
	}
	slices.Sort(all)
	slices.Sort(words)
	j.find(all, "give every ovloomd the same --vxlan-port", "the hosts' tunnels use different UDP ports: %s", strings.Join(words, "; "))
}

// state judges one path from the reports of both its ends.
func (j *judge) state(from, to string) (intent.Path, bool) {
	r, ok := j.report(from, to)
	if !ok {
		return intent.Path{}, false
	}
	p := intent.Path{From: from, To: to, Passes: r.Passes, Wanted: r.Wanted, RTT: r.RTT.Microseconds(), Skew: r.Skew.Milliseconds()}
	back, _ := j.report(to, from)
	switch {
	case r.Passes >= r.Wanted:
		p.State = intent.PathOK
	case r.Passes > 0:
		p.State = intent.PathMTU
	case back.HeardOf:
		p.State, p.Passes = intent.PathUnknown, sizeMin // the way back is broken
	default:
		p.State = intent.PathDead
	}
	return p, true
}

// paths judges all paths and reports what is wrong with each pair of hosts.
func (j *judge) paths() {
	at := map[[2]string]intent.Path{}
	dead := map[string]int{} // pairs with no working direction
	for _, a := range j.hosts {
		for _, b := range j.hosts {
			if p, ok := j.state(a.Name, b.Name); ok {
				j.health.Paths = append(j.health.Paths, p)
				at[[2]string{a.Name, b.Name}] = p
			}
		}
	}
	bothDead := func(a, b string) bool {
		return at[[2]string{a, b}].State == intent.PathDead && at[[2]string{b, a}].State == intent.PathDead
	}
	for _, a := range j.hosts {
		for _, b := range j.hosts {
			if a.Name != b.Name && bothDead(a.Name, b.Name) {
				dead[a.Name]++
			}
		}
	}
	cut := map[string]bool{}
	for _, h := range j.hosts {
		if others := len(j.hosts) - 1; others > 1 && dead[h.Name] == others && !j.allDead(dead) {
			cut[h.Name] = true
			j.cutOff(h)
		}
	}
	for i, a := range j.hosts {
		for _, b := range j.hosts[i+1:] {
			if cut[a.Name] || cut[b.Name] {
				continue
			}
			j.pair(a, b, at[[2]string{a.Name, b.Name}], at[[2]string{b.Name, a.Name}])
		}
	}
}

// allDead reports whether no path works between any two hosts.
func (j *judge) allDead(dead map[string]int) bool {
	for _, h := range j.hosts {
		if dead[h.Name] < len(j.hosts)-1 {
			return false
		}
	}
	return true
}

func (j *judge) cutOff(h intent.Host) {
	r := j.reports[h.Name]
	if len(r.Paths) > 0 && r.Paths[0].SendFail != "" {
		j.find([]string{h.Name}, "see whether Open vSwitch runs there: systemctl status openvswitch-switch",
			"host %s cannot send anything through its tunnels: %s", h.Name, r.Paths[0].SendFail)
		return
	}
	j.find([]string{h.Name}, j.filterHint(h),
		"host %s (%s) is cut off: no tunnel packet passes between it and any other host", h.Name, h.VTEP)
}

// filterHint says what may block tunnel packets to a host.
func (j *judge) filterHint(h intent.Host) string {
	port := j.reports[h.Name].VXLANPort
	return fmt.Sprintf("see whether %s answers ping from the others; if it does, UDP port %d is filtered: let it in on the host "+
		"(nft insert rule inet filter input udp dport %d accept) and in every firewall or security group between", h.VTEP, port, port)
}

// pair reports what is wrong between two hosts.
func (j *judge) pair(a, b intent.Host, there, back intent.Path) {
	both := []string{a.Name, b.Name}
	switch {
	case there.State == intent.PathDead && back.State == intent.PathDead:
		j.find(both, j.filterHint(b), "no tunnel packet passes between %s (%s) and %s (%s), in either direction", a.Name, a.VTEP, b.Name, b.VTEP)
	case there.State == intent.PathDead:
		j.find(both, j.filterHint(b), "no tunnel packet passes from %s (%s) to %s (%s); the other direction works", a.Name, a.VTEP, b.Name, b.VTEP)
	case back.State == intent.PathDead:
		j.find(both, j.filterHint(a), "no tunnel packet passes from %s (%s) to %s (%s); the other direction works", b.Name, b.VTEP, a.Name, a.VTEP)
	case there.State == intent.PathUnknown || back.State == intent.PathUnknown:
		j.find(both, "look for loss on the underlay between them: ping -i 0.01 -c 1000", "tunnel packets between %s and %s pass only now and then", a.Name, b.Name)
	case there.State == intent.PathMTU && back.State == intent.PathMTU:
		there.Passes = min(there.Passes, back.Passes)
		j.tooSmall(both, fmt.Sprintf("between %s and %s", a.Name, b.Name), there)
	case there.State == intent.PathMTU:
		j.tooSmall(both, fmt.Sprintf("from %s to %s", a.Name, b.Name), there)
	case back.State == intent.PathMTU:
		j.tooSmall(both, fmt.Sprintf("from %s to %s", b.Name, a.Name), back)
	}
}

func (j *judge) tooSmall(hosts []string, where string, p intent.Path) {
	j.find(hosts, fmt.Sprintf("raise the MTU of every link and switch between them to %d (ip link set dev NIC mtu %d); "+
		"or lower that of the networks on both: ovloom network set TENANT/NETWORK --mtu %d", p.Wanted, p.Wanted, p.Passes-intent.VXLANOverhead),
		"the underlay %s is too small: packets of %d bytes are lost, those of %d pass", where, p.Wanted, p.Passes)
}

// clocks reports the hosts whose clocks are off, compared with the host that agrees with
// the most others.
func (j *judge) clocks() {
	skew := func(from, to string) (time.Duration, bool) {
		p, ok := j.report(from, to)
		return p.Skew, ok && p.Passes > 0
	}
	ref, least := "", len(j.hosts)
	for _, a := range j.hosts {
		off := 0
		for _, b := range j.hosts {
			if d, ok := skew(a.Name, b.Name); ok && d.Abs() > clockLimit {
				off++
			}
		}
		if off < least {
			ref, least = a.Name, off
		}
	}
	for _, h := range j.hosts {
		d, ok := skew(ref, h.Name)
		if !ok || d.Abs() <= clockLimit {
			continue
		}
		j.clock(h.Name, ref, d)
	}
}

// clock reports by how much a host's clock is ahead of another's.
func (j *judge) clock(host, ref string, d time.Duration) {
	side := "ahead of"
	if d < 0 {
		side = "behind"
	}
	j.find([]string{host, ref}, "set both by NTP (systemctl enable --now systemd-timesyncd, or chrony): a clock that is off makes TLS refuse certificates",
		"the clock of %s is %s %s that of %s", host, d.Abs().Round(time.Second), side, ref)
}

// mtus reports networks whose packets do not fit some host's underlay.
func (j *judge) mtus(networks []intent.Network) {
	if len(j.hosts) == 0 {
		return
	}
	size := func(h intent.Host) int { return Wanted(h, h) }
	small := slices.MinFunc(j.hosts, func(a, b intent.Host) int { return cmp.Compare(size(a), size(b)) })
	large := slices.MaxFunc(j.hosts, func(a, b intent.Host) int { return cmp.Compare(size(a), size(b)) })
	room := size(small) - intent.VXLANOverhead
	var follow []string // networks whose ports have each host's own MTU
	for _, n := range networks {
		switch {
		case n.MTU > room:
			j.find([]string{small.Name}, fmt.Sprintf("ovloom network set %s --mtu %d, or raise the MTU of that underlay to %d", n.Ref(), room, n.MTU+intent.VXLANOverhead),
				"network %s has MTU %d, but the underlay of %s (%d) leaves %d", n.Ref(), n.MTU, small.Name, size(small), room)
		case n.MTU == 0:
			follow = append(follow, n.Ref().String())
		}
	}
	if len(follow) > 0 && size(small) != size(large) {
		slices.Sort(follow)
		j.find([]string{small.Name, large.Name}, fmt.Sprintf("give all underlays the same MTU, or each of the networks one that fits all: ovloom network set %s --mtu %d", follow[0], room),
			"the underlays' MTU differs (%s %d, %s %d), so ports of %s on the one send what the other cannot take",
			small.Name, size(small), large.Name, size(large), few(follow))
	}
}

// few lists some of many names.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more networks", strings.Join(names[:most], ", "), len(names)-most)
}
