package pipeline

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

var update = flag.Bool("update", false, "rewrite golden files and the generated part of doc.go")

var (
	sw       = Switch{VXLANPort: 1}
	kernelSw = Switch{VXLANPort: 1, KernelDatapath: true, NoMeters: true}
)

func addrs(s ...string) []netip.Addr {
	var a []netip.Addr
	for _, x := range s {
		a = append(a, netip.MustParseAddr(x))
	}
	return a
}

func subnet(prefix string) intent.Subnet {
	p := netip.MustParsePrefix(prefix)
	return intent.Subnet{Prefix: p, Gateway: p.Addr().Next()}
}

func web() intent.Network {
	return intent.Network{
		Tenant: "acme", Name: "web", ID: 0x20, VNI: 5001, Unknown: intent.UnknownDrop,
		Subnets: []intent.Subnet{subnet("10.0.0.0/24"), subnet("fd00:1::/64")},
	}
}

func c1() intent.Port {
	return intent.Port{
		Tenant: "acme", Network: "web", Name: "c1", ID: 0x30,
		MAC: intent.MAC{2, 0, 0, 0, 0, 5}, Addrs: addrs("10.0.0.5", "fd00:1::5"),
	}
}

// A portCase is a port on one kind of network at one location.
type portCase struct {
	name string
	view PortView
}

func portCases() []portCase {
	dual, learning, bare, v4only := web(), web(), web(), web()
	learning.Learning, learning.Unknown = true, intent.UnknownFlood
	bare.Subnets = nil
	v4only.Subnets = v4only.Subnets[:1]

	port, behind, noAddr, port4 := c1(), c1(), c1(), c1()
	behind.Learn = 2
	noAddr.Addrs = nil
	port4.Addrs = port4.Addrs[:1]

	trunk, trunkLearning := web(), learning
	trunk.VLANTransparent, trunkLearning.VLANTransparent = true, true

	vtep := netip.MustParseAddr("192.0.2.2")
	return []portCase{
		{"trunk-here", PortView{Port: port, Network: &trunk, VRF: 7, OFPort: 3, InForce: true}},
		{"trunk-learning-here", PortView{Port: behind, Network: &trunkLearning, VRF: 7, OFPort: 3, InForce: true}},
		{"here", PortView{Port: port, Network: &dual, VRF: 7, OFPort: 3, InForce: true}},
		{"reached-here", PortView{Port: port, Network: &dual, VRF: 7, OFPort: 3, InForce: true, Reached: true}},
		{"elsewhere", PortView{Port: port, Network: &dual, VRF: 7, VTEP: vtep}},
		{"nowhere", PortView{Port: port, Network: &dual, VRF: 7}},
		{"claimed-elsewhere", PortView{Port: port, Network: &dual, VRF: 7, OFPort: 3, Elsewhere: true, VTEP: vtep}},
		{"unclaimed", PortView{Port: port, Network: &dual, VRF: 7, OFPort: 3}},
		{"learning-here", PortView{Port: behind, Network: &learning, VRF: 7, OFPort: 3, InForce: true}},
		{"learning-elsewhere", PortView{Port: port, Network: &learning, VRF: 7, VTEP: vtep}},
		{"learning-nowhere", PortView{Port: port, Network: &learning, VRF: 7}},
		{"no-subnet-here", PortView{Port: noAddr, Network: &bare, VRF: 7, OFPort: 3, InForce: true}},
		{"peers-here", PortView{Port: port, Network: &dual, VRF: 7, OFPort: 3, InForce: true, Peers: true}},
		{"peers-elsewhere", PortView{Port: port, Network: &dual, VRF: 7, VTEP: vtep, Peers: true}},
		{"peers-nowhere", PortView{Port: port, Network: &dual, VRF: 7, Peers: true}},
		{"peers-learning-here", PortView{Port: behind, Network: &learning, VRF: 7, OFPort: 3, InForce: true, Peers: true}},
		{"router-here", PortView{Port: port, Network: &dual, VRF: 7, OFPort: 3, InForce: true, Hops: port.Addrs, Routed: behindC1()}},
		{"router-elsewhere", PortView{Port: port, Network: &dual, VRF: 7, VTEP: vtep, Hops: port.Addrs, Routed: behindC1()}},
		{"router-nowhere", PortView{Port: port, Network: &dual, VRF: 7, Hops: port.Addrs, Routed: behindC1()}},
		{"ipv4-here", PortView{Port: port4, Network: &v4only, VRF: 7, OFPort: 3, InForce: true}},
	}
}

func networkCases() map[string]NetworkView {
	plain, learning, bare := web(), web(), web()
	learning.Learning, learning.Unknown = true, intent.UnknownFlood
	bare.Subnets = nil
	trunk, router := web(), learning
	trunk.VLANTransparent, trunk.EtherTypes = true, []intent.EtherType{0x8863, 0x8864}
	router.VLANTransparent = true
	local := []of.PortNo{3, 4}
	vteps := addrs("192.0.2.2", "192.0.2.3")
	peers := addrs("192.0.2.40", "192.0.2.41")
	return map[string]NetworkView{
		"plain":          {Network: plain, VRF: 7, Local: local, VTEPs: vteps},
		"learning":       {Network: learning, VRF: 7, Local: local, VTEPs: vteps},
		"peers":          {Network: plain, VRF: 7, Local: local, VTEPs: vteps, Peers: peers},
		"peers-learning": {Network: learning, VRF: 7, Local: local, VTEPs: vteps, Peers: peers},
		"elected":        {Network: plain, VRF: 7, Local: local, VTEPs: vteps, Peers: peers, Elected: true, MTU: 1300},
		"trunk":          {Network: trunk, VRF: 7, Local: local, VTEPs: vteps},
		"routers-behind": {Network: router, VRF: 7, Local: local, VTEPs: vteps, Peers: peers, Elected: true, Routed: behindC1()},
		"no-subnet":      {Network: bare, VRF: 7, Local: local},
		"lonely":         {Network: plain, VRF: 7},
	}
}

// peerCases are two peers of one network.
func peerCases() []PeerView {
	peer := func(name string, id intent.ID, vtep string) PeerView {
		return PeerView{Peer: intent.Peer{Tenant: "acme", Network: "web", Name: name, ID: id, VTEP: netip.MustParseAddr(vtep)}, VNI: 5001, VRF: 7}
	}
	return []PeerView{peer("tor1", 0x40, "192.0.2.40"), peer("tor2", 0x41, "192.0.2.41")}
}

// everything emits the flows of all cases.
func everything(emit Emit) {
	Base(sw, emit)
	for _, p := range peerCases() {
		Peer(sw, &p, emit)
	}
	Host(sw, intent.Host{Name: "host2", ID: 0x10, VTEP: netip.MustParseAddr("192.0.2.2")}, emit)
	for _, n := range networkCases() {
		Network(sw, &n, emit)
	}
	for _, c := range portCases() {
		Port(sw, &c.view, emit)
		Port(kernelSw, &c.view, emit)
	}
	for _, c := range natCases() {
		c.emit(emit)
	}
	Self(sw, intent.Host{Name: "host1", ID: 0x0f, VTEP: netip.MustParseAddr("192.0.2.1")}, emit)
	for _, r := range routeCases() {
		Route(sw, &r, emit)
	}
}

func TestGolden(t *testing.T) {
	golden(t, "base", text(func(e Emit) { Base(sw, e) }))
	golden(t, "host", text(func(e Emit) {
		Host(sw, intent.Host{Name: "host2", ID: 0x10, VTEP: netip.MustParseAddr("192.0.2.2")}, e)
	}))
	golden(t, "peer", text(func(e Emit) { Peer(sw, &peerCases()[0], e) }))
	for name, n := range networkCases() {
		var b strings.Builder
		b.WriteString(text(func(e Emit) { Network(sw, &n, e) }))
		for _, g := range Groups(sw, &n) {
			fmt.Fprintf(&b, "# group: %s\n", g)
		}
		golden(t, "network-"+name, b.String())
	}
	for _, c := range portCases() {
		golden(t, "port-"+c.name, text(func(e Emit) { Port(sw, &c.view, e) }))
		if c.name == "here" || c.name == "elsewhere" {
			golden(t, "port-kernel-"+c.name, text(func(e Emit) { Port(kernelSw, &c.view, e) }))
		}
	}
}

// text prints flows table by table, with the notes as comments.
func text(compile func(Emit)) string {
	type line struct {
		of.Flow
		note string
	}
	var lines []line
	compile(func(f of.Flow, note string) { lines = append(lines, line{f, note}) })
	slices.SortStableFunc(lines, func(a, b line) int {
		if a.Table != b.Table {
			return int(a.Table) - int(b.Table)
		}
		return int(b.Priority) - int(a.Priority)
	})
	var b strings.Builder
	table := -1
	for _, l := range lines {
		if int(l.Table) != table {
			table = int(l.Table)
			fmt.Fprintf(&b, "# %s\n", TableByID(l.Table).Name)
		}
		fmt.Fprintf(&b, "#   %s\n%s\n", l.note, l.Flow)
	}
	return b.String()
}

// golden compares with testdata/NAME.flows, which ovs-ofctl must also accept.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".flows")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (make it with -update and read it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (after reading the difference, accept it with -update):\n%s", file, lineDiff(string(want), got))
	}
	out, err := exec.Command("ovs-ofctl", "-O", "OpenFlow15", "parse-flows", file).CombinedOutput()
	if err != nil {
		t.Errorf("ovs-ofctl (package openvswitch-switch) refuses %s: %v\n%s", file, err, out)
	}
}

func lineDiff(want, got string) string {
	var b strings.Builder
	old := strings.Split(want, "\n")
	now := strings.Split(got, "\n")
	for _, l := range old {
		if !slices.Contains(now, l) {
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			fmt.Fprintf(&b, "+ %s\n", l)
		}
	}
	return b.String()
}

func TestFlowsKeepToWhatTheirTableDeclares(t *testing.T) {
	everything(func(f of.Flow, note string) {
		if err := declared(f); err != nil {
			t.Errorf("%s: %v\n  %s", note, err, f)
		}
	})
}

func TestDeclarationsCatchStrayFlows(t *testing.T) {
	stray := map[string]of.Flow{
		"reads what fork does not declare": {Table: fork.ID, Match: of.MatchOf(of.Exact(of.FieldTunID, 5))},
		"goes where fork does not lead":    {Table: fork.ID, Actions: []of.Action{to(output)}},
		"goes back":                        {Table: output.ID, Actions: []of.Action{of.Goto{Table: fdb.ID}}},
		"writes what fork does not":        {Table: fork.ID, Actions: []of.Action{of.SetMAC(of.FieldEthDst, intent.MAC{2})}},
		"is in no table":                   {Table: 99},
	}
	for name, f := range stray {
		if declared(f) == nil {
			t.Errorf("a flow that %s passed: %s", name, f)
		}
	}
}

// declared checks a flow against its table's declaration.
func declared(f of.Flow) error {
	t := TableByID(f.Table)
	if t == nil {
		return fmt.Errorf("table %d does not exist", f.Table)
	}
	for _, term := range f.Match.Terms {
		if !slices.Contains(t.Reads, term.Field) {
			return fmt.Errorf("%s matches on %s", t.Name, term.Field)
		}
	}
	leads := func(id uint8) error {
		if next := TableByID(id); next == nil || !slices.Contains(t.Next, next) || id <= t.ID {
			return fmt.Errorf("%s leads to table %d", t.Name, id)
		}
		return nil
	}
	writes := func(field of.Field) error {
		if field != regShare.Sub.Field && !slices.Contains(t.Writes, field) {
			return fmt.Errorf("%s changes %s", t.Name, field)
		}
		return nil
	}
	for _, a := range f.Actions {
		var err error
		switch a := a.(type) {
		case of.Goto:
			err = leads(a.Table)
		case of.Resubmit:
			turned := t == externalNeighbour && a.Table == externalIn.ID
			again := t == answerOut && a.Table == route.ID // without the flag that led here
			if !turned && !again && a.Table != shares.ID { // any table may look up a share
				err = leads(a.Table)
			}
		case of.CT:
			err = leads(a.Table)
		case of.SetField:
			err = writes(a.Field)
		case of.CopyField:
			err = writes(a.Dst.Field)
		case of.Learn:
			err = learns(t, a)
		case of.CheckPktLarger:
			err = writes(a.Dst.Field)
		case of.DecTTL:
			err = writes(of.FieldIPTTL)
		case of.Pop:
			err = writes(a.Dst.Field)
		case of.PushVLAN:
			err = writes(of.FieldVLANVID)
		case of.Push, of.PopVLAN, of.Output, of.OutputReg, of.ToGroup, of.ToController, of.CTClear:
		case of.ApplyMeter:
			if !IsShare(a.ID) && !slices.ContainsFunc(Meters(sw), func(m of.Meter) bool { return m.ID == a.ID }) {
				err = fmt.Errorf("%s refers to meter %d, which Meters lacks", t.Name, a.ID)
			}
		default:
			err = fmt.Errorf("%s uses %T, which this check does not know", t.Name, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// learns checks a learn action: its own fields, and the flow that it makes against the
// declaration of the table it makes it in.
func learns(t *Table, a of.Learn) error {
	if a.LimitResult.Field != of.FieldNone && !slices.Contains(t.Writes, a.LimitResult.Field) {
		return fmt.Errorf("%s changes %s", t.Name, a.LimitResult.Field)
	}
	into := TableByID(a.Table)
	if into == nil {
		return fmt.Errorf("%s learns into table %d", t.Name, a.Table)
	}
	for _, s := range a.Specs {
		list, verb := into.Reads, "matches on"
		if s.Kind == of.LearnLoad {
			list, verb = into.Writes, "changes"
		}
		if !slices.Contains(list, s.Dst.Field) {
			return fmt.Errorf("a flow that %s learns in %s %s %s", t.Name, into.Name, verb, s.Dst.Field)
		}
	}
	return nil
}

// Linux's own datapath refuses a flow that writes a field without a key or needs a missing
// meter, and with it every other flow of the bundle.
func TestKernelDatapathGetsNoFlowThatItRefuses(t *testing.T) {
	refuses := func(f of.Flow) bool {
		return slices.ContainsFunc(f.Actions, func(a of.Action) bool {
			if _, ok := a.(of.ApplyMeter); ok {
				return true // some kernels do
			}
			set, ok := a.(of.SetField)
			return ok && (set.Field == of.FieldNDReserved || set.Field == of.FieldNDOptionsType)
		})
	}
	all := func(sw Switch) (refused []string) {
		see := func(f of.Flow, note string) {
			if refuses(f) {
				refused = append(refused, note)
			}
		}
		Base(sw, see)
		for _, n := range networkCases() {
			Network(sw, &n, see)
		}
		for _, p := range peerCases() {
			Peer(sw, &p, see)
		}
		for _, r := range routeCases() {
			Route(sw, &r, see)
		}
		for _, c := range portCases() {
			Port(sw, &c.view, see)
		}
		for i, e := range []intent.External{internet(), campus()} {
			External(sw, &ExternalView{External: e, OFPort: of.PortNo(8 + i), Router: intent.RouterMAC(0x11), Segment: segmentOf(&e), Lead: true, First: true, MTU: 1400}, see)
		}
		return refused
	}
	if len(all(sw)) == 0 {
		t.Error("no flow for the userspace datapath does such a thing: this test looks for the wrong thing")
	}
	if refused := all(kernelSw); len(refused) > 0 {
		t.Errorf("the kernel's datapath would refuse: %q", refused)
	}
}

func TestTablesAreInPacketOrder(t *testing.T) {
	reached := map[*Table]bool{classify: true}
	last := -1
	names := map[string]bool{}
	for _, table := range Tables() {
		if int(table.ID) <= last {
			t.Errorf("%s has number %d, the one before it %d", table.Name, table.ID, last)
		}
		last = int(table.ID)
		if names[table.Name] || table.Purpose == "" {
			t.Errorf("table %d: its name %q is taken or it has no purpose", table.ID, table.Name)
		}
		names[table.Name] = true
		for _, n := range table.Next {
			reached[n] = true
		}
	}
	for _, table := range Tables() {
		if !reached[table] && table != shares {
			t.Errorf("no table leads to %s", table.Name)
		}
	}
}

func TestNoFlowIsEmittedTwice(t *testing.T) {
	seen := map[of.FlowKey]string{}
	check := func(f of.Flow, note string) {
		if was, ok := seen[f.Key()]; ok {
			t.Errorf("%q and %q are the same flow to a switch: %s", was, note, f)
		}
		seen[f.Key()] = note
	}
	Base(sw, check)
	for _, n := range networkCases() {
		clear(seen)
		Network(sw, &n, check)
	}
	for _, c := range portCases() {
		clear(seen)
		Port(sw, &c.view, check)
	}
}

// If two flows of one priority match the same packet, the switch may use either.
func TestNoTwoFlowsOfOnePriorityCoverTheSamePacket(t *testing.T) {
	for name, n := range networkCases() {
		for _, c := range portCases() {
			if !reflect.DeepEqual(*c.view.Network, n.Network) || c.view.Peers != (len(n.Peers) > 0) {
				continue
			}
			other := c.view
			other.Port.ID, other.Port.MAC, other.Port.Addrs = 0x31, intent.MAC{2, 0, 0, 0, 0, 6}, addrs("10.0.0.6", "fd00:1::6")
			if other.OFPort != 0 {
				other.OFPort++
			}
			if other.Hops != nil {
				other.Hops = other.Port.Addrs
			}
			var all []of.Flow
			emit := func(f of.Flow, _ string) { all = append(all, f) }
			Base(sw, emit)
			Host(sw, intent.Host{ID: 0x10, VTEP: netip.MustParseAddr("192.0.2.2")}, emit)
			Network(sw, &n, emit)
			if c.view.Peers {
				for _, p := range peerCases() {
					Peer(sw, &p, emit)
				}
			}
			Port(sw, &c.view, emit)
			Port(sw, &other, emit)
			for i, f := range all {
				for _, g := range all[:i] {
					if f.Table == g.Table && f.Priority == g.Priority && meet(f.Match, g.Match) {
						t.Errorf("%s, port %s: both cover some packets:\n  %s\n  %s", name, c.name, f, g)
					}
				}
			}
		}
	}
}

// meet reports whether a packet can match both.
func meet(a, b of.Match) bool {
	for _, x := range a.Terms {
		for _, y := range b.Terms {
			if x.Field != y.Field {
				continue
			}
			both := x.Mask.And(y.Mask)
			if x.Value.And(both) != y.Value.And(both) {
				return false
			}
		}
	}
	return true
}

// A host's router ignores sources: packets from a port or a peer must not reach it, by whatever
// MAC, except for replies.
func TestPortsAndPeersDoNotReachHostsRouters(t *testing.T) {
	own, other := intent.RouterMAC(0x0f), intent.RouterMAC(0x10)
	for name, n := range networkCases() {
		var all []of.Flow
		emit := func(f of.Flow, _ string) { all = append(all, f) }
		Base(sw, emit)
		Self(sw, intent.Host{ID: 0x0f, VTEP: netip.MustParseAddr("192.0.2.1")}, emit)
		Host(sw, intent.Host{ID: 0x10, VTEP: netip.MustParseAddr("192.0.2.2")}, emit)
		Network(sw, &n, emit)
		port, peer, host := flagFromTunnel.is(0), with(on(flagFromTunnel.is(1)), flagFromPeer.is(1)), with(on(flagFromTunnel.is(1)), flagFromPeer.is(0))
		src4, src6 := of.Addr(of.FieldIPSrc, netip.MustParseAddr("203.0.113.9")), of.Addr(of.FieldIPv6Src, netip.MustParseAddr("2001:db8::9"))
		answer := with(icmpv6(icmpv6NeighborAd), src6, of.Addr(of.FieldIPv6Dst, linkLocal(own)))
		far := with(icmpv6(icmpv6NeighborAd), src6, of.Addr(of.FieldIPv6Dst, netip.MustParseAddr("fd00:2::1")))
		for _, c := range []struct {
			what string
			from []of.Term
			mac  intent.MAC
			is   []of.Term
			want *Table
		}{
			{"IPv4 of a port", on(port), own, on(of.IPv4, src4), drop},
			{"IPv6 of a port", on(port), own, on(of.IPv6, src6, of.IPProto(protoUDP)), drop},
			{"IPv4 of a MAC behind a port", with(on(port), flagLearnOK.is(1), flagLearned.is(1)), own, on(of.IPv4, src4), drop},
			{"IPv4 of a port, to another host's", on(port), other, on(of.IPv4, src4), drop},
			{"IPv4 of a peer", peer, own, on(of.IPv4, src4), drop},
			{"IPv6 of a peer, to another host's", peer, other, on(of.IPv6, src6, of.IPProto(protoUDP)), drop},
			{"an advertisement that goes on", on(port), own, far, drop},
			{"an advertisement", on(port), own, answer, l3In},
			{"an advertisement of a peer", peer, own, answer, l3In},
			{"an advertisement to another host's", on(port), other, answer, fdb},
			{"an ARP reply", on(port), own, on(of.ARP), l3In},
			{"IPv4 of a host", host, own, on(of.IPv4, src4), l3In},
		} {
			packet := with(with(with(c.from, regNetwork.is(uint64(n.Network.VNI))), of.EthDst(c.mac), of.NoVLAN()), c.is...)
			if got := leads(t, all, fork, packet); got != c.want.ID {
				t.Errorf("network %s: %s goes to table %d, want %s", name, c.what, got, c.want.Name)
			}
		}
	}
}

// leads returns the table to which the best matching flow of a table leads a packet. Fields
// that the packet does not set are zero.
func leads(t *testing.T, flows []of.Flow, in *Table, packet []of.Term) uint8 {
	t.Helper()
	has := func(f of.Flow) bool {
		return !slices.ContainsFunc(f.Match.Terms, func(x of.Term) bool {
			var value of.Bits
			for _, p := range packet {
				if p.Field == x.Field {
					value = p.Value
				}
			}
			return value.And(x.Mask) != x.Value
		})
	}
	best := -1
	for i, f := range flows {
		if f.Table == in.ID && has(f) && (best < 0 || f.Priority > flows[best].Priority) {
			best = i
		}
	}
	if best < 0 {
		t.Fatalf("table %s has nothing for %v", in.Name, packet)
	}
	for _, a := range flows[best].Actions {
		if g, ok := a.(of.Goto); ok {
			return g.Table
		}
	}
	return 0
}

func TestRegistersDoNotOverlap(t *testing.T) {
	if err := overlap(registers); err != nil {
		t.Error(err)
	}
	if overlap(append(slices.Clone(registers), register{"thief", of.Reg(0).Bits(2, 3)})) == nil {
		t.Error("an overlap was not found")
	}
}

func overlap(list []register) error {
	type bit struct {
		field of.Field
		n     int
	}
	owner := map[bit]string{}
	for _, r := range list {
		for i := range int(r.Sub.Width) {
			b := bit{r.Sub.Field, int(r.Sub.Offset) + i}
			if b.field == regHop6.Sub.Field { // it consists of four registers, the last one lowest
				b = bit{of.Reg(7 - i/32), i % 32}
			}
			if was, ok := owner[b]; ok && (was != regHop4.Name || r.Name != regHop6.Name) {
				return fmt.Errorf("%s and %s share bit %d of %s", was, r.Name, b.n, b.field)
			}
			owner[b] = r.Name
		}
	}
	return nil
}

func TestReasonsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if seen[r.String()] || r.Meaning() == "" || r == 0 {
			t.Errorf("reason %d: name %q is taken, or it has no meaning", r, r)
		}
		seen[r.String()] = true
	}
}

func TestCookieNamesItsObject(t *testing.T) {
	c := MakeCookie(KindPort, intent.IDMax)
	if !c.Ours() || c.Kind() != KindPort || c.ID() != intent.IDMax || c.Learned() {
		t.Errorf("cookie %#x does not decode to its parts", uint64(c))
	}
	if !MakeCookie(KindLearnedPort, 1).Learned() || Cookie(0).Ours() {
		t.Error("learned or foreign cookies are misread")
	}
}

// The list of tables in the package's documentation is generated.
func TestPackageDocListsTheTables(t *testing.T) {
	const file = "doc.go"
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	for _, table := range Tables() {
		fmt.Fprintf(&list, "//\t%-13s  %s\n", table.Name, table.Purpose)
	}
	begin := bytes.Index(have, []byte("//\t"))
	end := begin + bytes.LastIndex(have[begin:], []byte("//\t"))
	end += bytes.IndexByte(have[end:], '\n') + 1
	want := slices.Concat(have[:begin], list.Bytes(), have[end:])
	if bytes.Equal(have, want) {
		return
	}
	if !*update {
		t.Fatalf("the list of tables in %s is out of date; rewrite it with -update", file)
	}
	if err := os.WriteFile(file, want, 0o644); err != nil {
		t.Fatal(err)
	}
}
