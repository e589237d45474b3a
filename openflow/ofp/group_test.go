package ofp_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// groupCases are groups as ovs-ofctl prints them, by id.
var groupCases = []string{
	"group_id=1,type=all",
	"group_id=2,type=all,bucket=bucket_id:0,actions=drop",
	"group_id=3,type=all,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:7,actions=set_field:192.0.2.1->tun_dst,output:2",
	"group_id=4,type=indirect,bucket=bucket_id:0,actions=resubmit(,9)",
	"group_id=5,type=select,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:1,weight:5,actions=output:2",
	"group_id=6,type=select,selection_method=dp_hash,bucket=bucket_id:0,actions=output:1",
	"group_id=7,type=select,selection_method=hash,fields=ip_src,bucket=bucket_id:0,weight:0,actions=output:1",
	"group_id=8,type=select,selection_method=hash,selection_method_param=9,fields(eth_src,ip_src,ip_dst,nw_proto,tcp_src),bucket=bucket_id:0,actions=ct(commit,table=5,nat(dst=10.0.0.1))",
	"group_id=9,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1,bucket=bucket_id:1,watch_group:5,actions=group:5",
}

// dumpedGroups returns the groups that ovs-ofctl dumps, in the order of their text.
func dumpedGroups(s *ovstest.Switch) []string {
	var lines []string
	for line := range strings.Lines(s.Ofctl("dump-groups", "br0")) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "group_id=") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// groupTexts returns groups as text, sorted.
func groupTexts(groups []openflow.Group) []string {
	var lines []string
	for _, g := range groups {
		lines = append(lines, g.String())
	}
	slices.Sort(lines)
	return lines
}

func parseGroups(t *testing.T) (groups []openflow.Group, mods []openflow.Mod) {
	t.Helper()
	for _, text := range groupCases {
		g, err := openflow.ParseGroup(text)
		if err != nil {
			t.Fatal(err)
		}
		if g.String() != text {
			t.Errorf("parsed and printed:\n got %s\nwant %s", g, text)
		}
		groups = append(groups, g)
		mods = append(mods, &openflow.GroupMod{Group: g})
	}
	return groups, mods
}

func TestInstallGroups(t *testing.T) {
	s := ovstest.StartBridge(t)
	w := dial(t, s)
	groups, mods := parseGroups(t)
	w.mustApply(mods...)
	if got := dumpedGroups(s); !slices.Equal(got, groupCases) {
		t.Errorf("ovs-ofctl prints\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(groupCases, "\n"))
	}
	have := w.groups()
	if got := groupTexts(have); !slices.Equal(got, groupCases) {
		t.Errorf("decoded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(groupCases, "\n"))
	}
	byID := func(a, b openflow.Group) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(have, byID)
	slices.SortFunc(groups, byID)
	if !slices.EqualFunc(have, groups, openflow.Group.Equal) {
		t.Error("the switch has what is wanted, but the groups are not equal")
	}
}

func TestDecodeForeignGroups(t *testing.T) {
	s := ovstest.StartBridge(t)
	w := dial(t, s)
	_, mods := parseGroups(t)
	var text strings.Builder
	for _, m := range mods {
		text.WriteString(m.String() + "\n")
	}
	if _, err := s.OfctlInput(text.String(), "bundle", "br0", "-"); err != nil {
		t.Fatal(err)
	}
	if got := groupTexts(w.groups()); !slices.Equal(got, groupCases) {
		t.Errorf("decoded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(groupCases, "\n"))
	}
}

// TestChanges makes the same changes in one switch with our bytes and in another
// with our text: both must end alike.
func TestChanges(t *testing.T) {
	changes := []string{
		"group add group_id=1,type=all,bucket=bucket_id:1,actions=output:1,bucket=bucket_id:2,actions=output:2",
		"group insert_bucket command_bucket_id=last,group_id=1,bucket=bucket_id:5,actions=output:5",
		"group insert_bucket command_bucket_id=first,group_id=1,bucket=bucket_id:6,actions=output:6",
		"group insert_bucket command_bucket_id=1,group_id=1,bucket=bucket_id:7,actions=output:7",
		"group remove_bucket command_bucket_id=2,group_id=1",
		"group add_or_mod group_id=2,type=all,bucket=bucket_id:0,actions=output:1",
		"group add_or_mod group_id=2,type=all,bucket=bucket_id:0,actions=output:9",
		"group add group_id=3,type=select,bucket=bucket_id:0,actions=output:1",
		"group modify group_id=3,type=indirect,bucket=bucket_id:0,actions=output:2",
		"group add group_id=4,type=all",
		"group add group_id=5,type=all,bucket=bucket_id:0,actions=output:1",
		"group remove_bucket command_bucket_id=all,group_id=5",
		"flow add cookie=0x5, table=1, priority=5,ip actions=group:4",
		"flow add cookie=0x15, table=1, priority=6,ip actions=output:1",
		"flow add cookie=0x26, table=1, priority=7,ip actions=output:1",
		"flow add cookie=0x27, table=2, actions=output:1",
		"flow add cookie=0x28, table=2, idle_timeout=60, send_flow_rem priority=9,tcp,tp_dst=80 actions=output:1",
		"flow add cookie=0x30, priority=3 actions=output:1",
		"flow add cookie=0x31, table=3, priority=3,reg0=0x1 actions=output:1",
		"flow add cookie=0x32, table=3, priority=4,reg0=0x1 actions=output:1",
		"group delete group_id=4",
		"flow delete cookie=0x10/0xf0, table=1",
		"flow modify table=2, tcp actions=output:7",
		"flow modify_strict table=2, actions=output:8",
		"flow modify cookie=0x26/0xffffffffffffffff, table=1, actions=output:3",
		"flow delete_strict table=3, priority=3,reg0=0x1",
		"flow delete cookie=0x32/0xffffffffffffffff",
	}
	byBytes, byText := ovstest.StartBridge(t), ovstest.StartBridge(t)
	var mods []openflow.Mod
	for _, text := range changes {
		m, err := openflow.ParseMod(text)
		if err != nil {
			t.Fatal(err)
		}
		if m.String() != text {
			t.Errorf("parsed and printed:\n got %s\nwant %s", m, text)
		}
		mods = append(mods, m)
	}
	dial(t, byBytes).mustApply(mods...)
	if _, err := byText.OfctlInput(strings.Join(changes, "\n"), "bundle", "br0", "-"); err != nil {
		t.Fatal(err)
	}
	got, want := byBytes.Ofctl("dump-flows", "--no-stats", "br0"), byText.Ofctl("dump-flows", "--no-stats", "br0")
	if got != want || !strings.Contains(want, "output:7") || strings.Contains(want, "0x31") {
		t.Errorf("by our bytes\n%sby our text\n%s", got, want)
	}
	gotGroups, wantGroups := dumpedGroups(byBytes), dumpedGroups(byText)
	if !slices.Equal(gotGroups, wantGroups) || len(wantGroups) != 4 {
		t.Errorf("by our bytes\n%s\nby our text\n%s", strings.Join(gotGroups, "\n"), strings.Join(wantGroups, "\n"))
	}
}

func TestMeters(t *testing.T) {
	cases := []string{
		"meter=1 pktps bands= type=drop rate=100",
		"meter=2 kbps burst bands= type=drop rate=1000 burst_size=50",
		"meter=3 kbps stats bands= type=drop rate=7",
		"meter=4 pktps burst stats bands= type=drop rate=8 burst_size=9",
	}
	s := ovstest.StartBridge(t)
	w := dial(t, s)
	decoded := func() []string {
		var texts []string
		for _, m := range w.meters() {
			texts = append(texts, m.String())
		}
		slices.Sort(texts)
		return texts
	}
	var mods []openflow.Mod
	for _, text := range cases {
		m, err := openflow.ParseMeter(text)
		if err != nil {
			t.Fatal(err)
		}
		if m.String() != text {
			t.Errorf("parsed and printed:\n got %s\nwant %s", m, text)
		}
		mods = append(mods, &openflow.MeterMod{Meter: m})
	}
	w.mustApply(mods...)
	dump := strings.ReplaceAll(s.Ofctl("dump-meters", "br0"), "\n", " ")
	for _, text := range cases {
		if !strings.Contains(dump, text) {
			t.Errorf("ovs-ofctl prints\n%s\nwant %s", dump, text)
		}
	}
	if got := decoded(); !slices.Equal(got, cases) {
		t.Errorf("decoded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(cases, "\n"))
	}

	w.mustApply(
		&openflow.MeterMod{Command: openflow.MeterModify, Meter: openflow.Meter{ID: 1, Rate: 5}},
		&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.Meter{ID: 2}},
	)
	s.Ofctl("add-meter", "br0", strings.Replace(cases[1], "meter=2", "meter=5", 1))
	want := []string{"meter=1 pktps bands= type=drop rate=5", cases[2], cases[3], strings.Replace(cases[1], "meter=2", "meter=5", 1)}
	if got := decoded(); !slices.Equal(got, want) {
		t.Errorf("decoded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestManyBuckets says how large a group may be.
func TestManyBuckets(t *testing.T) {
	buckets := make([]openflow.Bucket, 2000)
	for i := range buckets {
		addr := openflow.BitsOf(0xc0000200 + uint64(i))
		buckets[i] = openflow.Bucket{ID: uint32(i), Actions: []openflow.Action{
			openflow.SetBits(openflow.FieldTunDst, addr, openflow.FieldTunDst.Mask()), openflow.Output{Port: 1},
		}}
	}
	tooMany := &openflow.GroupMod{Group: openflow.Group{ID: 1, Buckets: buckets}}
	if out, err := ofp.AppendMod([]byte("kept"), 1, tooMany); err == nil || string(out) != "kept" {
		t.Errorf("a group of %d buckets: %d bytes, error %v", len(buckets), len(out), err)
	}
	w := dial(t, ovstest.StartBridge(t))
	group := openflow.Group{ID: 1, Buckets: buckets[:1170]}
	w.mustApply(&openflow.GroupMod{Group: group})
	if have := w.groups(); len(have) != 1 || !have[0].Equal(group) {
		t.Errorf("decoded %d groups, not the one of %d buckets", len(have), len(group.Buckets))
	}
}
