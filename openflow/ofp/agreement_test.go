package ofp_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
)

// These tests hold the package against ovs-ofctl and ovs-vswitchd: what we encode
// is dumped as our text, and what ovs-ofctl installs decodes to the text that it
// prints.

// flowCases are flows as ovs-ofctl prints them; together they use every field and
// action.
var flowCases = []string{
	// Matches.
	"actions=drop",
	"in_port=7 actions=drop",
	"in_port=LOCAL actions=drop",
	"pkt_mark=0x5 actions=drop",
	"pkt_mark=0x5/0xff actions=drop",
	"pkt_mark=0 actions=drop",
	"conj_id=17 actions=drop",
	"actset_output=3 actions=drop",
	"actset_output=UNSET actions=drop",
	"packet_type=(1,0x800) actions=drop",
	"metadata=0x1234567890abcdef actions=drop",
	"metadata=0x7b/0xffffff actions=drop",
	"metadata=0/0xffffff000000 actions=drop",
	"tun_id=0x7b actions=drop",
	"tun_id=0x7b/0xffffff actions=drop",
	"tun_src=192.0.2.1 actions=drop",
	"tun_dst=192.0.2.0/24 actions=drop",
	"tun_src=192.0.2.1/255.0.255.255 actions=drop",
	"tun_ipv6_src=2001:db8::1 actions=drop",
	"tun_ipv6_dst=2001:db8::/32 actions=drop",
	"tun_gbp_id=10 actions=drop",
	"tun_gbp_id=0x8/0xf8 actions=drop",
	"tun_gbp_flags=0x40 actions=drop",
	"tun_flags=+oam actions=drop",
	"tun_flags=-oam actions=drop",
	"reg0=0x1 actions=drop",
	"reg0=0,reg1=0x2/0xf,reg15=0xffffffff actions=drop",
	"reg4=0x20010db8,reg5=0,reg6=0,reg7=0x1 actions=drop",
	"reg3=0xc0000200/0xffffff00 actions=drop",
	"ct_state=+new+trk actions=drop",
	"ct_state=+new-est+trk,ip actions=drop",
	"ct_state=-trk actions=drop",
	"ct_state=est|trk actions=drop",
	"ct_state=+rel+rpl-inv+snat-dnat actions=drop",
	"ct_zone=5 actions=drop",
	"ct_mark=0x2/0x2 actions=drop",
	"ct_mark=0x2 actions=drop",
	"ct_label=0x123456789abcdef0123456789abcdef actions=drop",
	"ct_label=0x10000000000000000/0x30000000000000000 actions=drop",
	"ct_label=0/0x1 actions=drop",
	"ct_state=+est+trk,ct_nw_src=10.0.0.0/8,ct_nw_dst=10.0.0.1,ct_nw_proto=6,ct_tp_src=80,ct_tp_dst=0x1f90/0xfff0,ip actions=drop",
	"ct_state=+est+trk,ct_ipv6_src=2001:db8::/64,ct_ipv6_dst=2001:db8::1,ct_nw_proto=17,ct_tp_src=53,ipv6 actions=drop",
	"dl_src=02:00:00:00:00:01 actions=drop",
	"dl_dst=02:00:00:00:00:02 actions=drop",
	"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop",
	"dl_src=00:00:00:00:00:00/01:00:00:00:00:00 actions=drop",
	"dl_type=0x88cc actions=drop",
	"dl_type=0x05ff actions=drop",
	"dl_vlan=5 actions=drop",
	"dl_vlan=5,dl_vlan_pcp=3 actions=drop",
	"dl_vlan_pcp=3 actions=drop",
	"dl_vlan=0 actions=drop",
	"vlan_tci=0x0000/0x1fff actions=drop",
	"vlan_tci=0x1000/0x1000 actions=drop",
	"vlan_tci=0x1001/0x1001 actions=drop",
	"ip,dl_vlan=5,nw_src=10.0.0.1 actions=drop",
	"ip actions=drop",
	"ipv6 actions=drop",
	"arp actions=drop",
	"rarp actions=drop",
	"mpls actions=drop",
	"icmp actions=drop",
	"tcp actions=drop",
	"udp actions=drop",
	"sctp actions=drop",
	"icmp6 actions=drop",
	"tcp6 actions=drop",
	"udp6 actions=drop",
	"sctp6 actions=drop",
	"ip,nw_proto=47 actions=drop",
	"ipv6,nw_proto=0 actions=drop",
	"ip,nw_src=10.0.0.1,nw_dst=10.1.0.0/16 actions=drop",
	"ip,nw_dst=10.0.0.1/255.0.0.255 actions=drop",
	"ip,nw_tos=184 actions=drop",
	"ip,nw_tos=0,nw_ecn=1 actions=drop",
	"ip,nw_ttl=1 actions=drop",
	"ip,nw_frag=no actions=drop",
	"ip,nw_frag=yes actions=drop",
	"ip,nw_frag=first actions=drop",
	"ip,nw_frag=later actions=drop",
	"ip,nw_frag=not_later actions=drop",
	"ipv6,ipv6_src=2001:db8::1,ipv6_dst=2001:db8:1::/48 actions=drop",
	"ipv6,ipv6_src=::1.2.3.4 actions=drop",
	"ipv6,ipv6_src=::ffff:1.2.3.4 actions=drop",
	"ipv6,ipv6_dst=::1 actions=drop",
	"ipv6,ipv6_dst=:: actions=drop",
	"ipv6,ipv6_dst=::5:6:7 actions=drop",
	"ipv6,ipv6_dst=2001:0:0:1::1 actions=drop",
	"ipv6,ipv6_dst=fe80::1/ffff::ffff actions=drop",
	"ipv6,ipv6_label=0x00012 actions=drop",
	"ipv6,ipv6_label=0x00100/0x00f00 actions=drop",
	"tcp,tp_src=80,tp_dst=0x1f90/0xfff0 actions=drop",
	"tcp6,tp_src=80,tp_dst=443 actions=drop",
	"tcp,tcp_flags=+syn-ack actions=drop",
	"tcp,tcp_flags=syn|ack actions=drop",
	"tcp,tcp_flags=0 actions=drop",
	"tcp,tp_src=0x0/0x8000 actions=drop",
	"tcp,tp_dst=22,tcp_flags=+fin+rst-[200] actions=drop",
	"udp,tp_src=67,tp_dst=68 actions=drop",
	"udp6,tp_dst=547 actions=drop",
	"sctp,tp_src=1,tp_dst=2 actions=drop",
	"sctp6,tp_src=1,tp_dst=2 actions=drop",
	"icmp,icmp_type=8,icmp_code=0 actions=drop",
	"icmp6,icmp_type=128,icmp_code=0 actions=drop",
	"icmp6,icmp_type=135,icmp_code=0,nd_target=2001:db8::1,nd_sll=02:00:00:00:00:01 actions=drop",
	"icmp6,icmp_type=136,icmp_code=0,nd_target=2001:db8::/64,nd_tll=02:00:00:00:00:01 actions=drop",
	"icmp6,icmp_type=136,icmp_code=0,nd_reserved=5,nd_options_type=2 actions=drop",
	"arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24,arp_op=1,arp_sha=02:00:00:00:00:01,arp_tha=00:00:00:00:00:00 actions=drop",
	"rarp,arp_op=3 actions=drop",
	"pkt_mark=0x1,ct_state=+trk,ct_zone=3,tcp,reg1=0x1,tun_id=0x5,metadata=0x7,in_port=1,dl_src=02:00:00:00:00:01,nw_src=10.0.0.1 actions=drop",

	// What else a flow has.
	"table=7, actions=drop",
	"table=253, priority=0 actions=drop",
	"idle_timeout=10, hard_timeout=20, actions=drop",
	"idle_timeout=10, send_flow_rem priority=5 actions=drop",
	"send_flow_rem importance=12, ip actions=drop",

	// Actions.
	"actions=output:1",
	"actions=output:1,output:2,LOCAL,IN_PORT",
	"actions=NORMAL",
	"actions=FLOOD",
	"actions=ALL",
	"actions=CONTROLLER:65535",
	"actions=CONTROLLER:128",
	"actions=controller(id=3)",
	"actions=controller(max_len=128,id=3)",
	"actions=controller(reason=invalid_ttl,id=3)",
	"actions=controller(id=3,userdata=01.02.ff)",
	"actions=controller(reason=group,max_len=100,id=3,userdata=00,pause,meter_id=1)",
	"actions=controller(pause)",
	"actions=output:NXM_NX_REG2[]",
	"actions=output:NXM_NX_REG2[0..15]",
	"actions=output:OXM_OF_PKT_REG1[16..47]",
	"actions=group:1",
	"actions=set_field:0x5->reg0",
	"actions=set_field:0x5/0xff->reg0",
	"actions=set_field:0/0xff->reg0",
	"actions=set_field:0->reg15",
	"actions=set_field:0->in_port,set_field:7->in_port,set_field:LOCAL->in_port",
	"actions=set_field:0x100000002->xreg2",
	"actions=set_field:0x20010db8000000000000000000000001->xxreg1",
	"actions=set_field:0x7b00000000/0xffffff00000000->xreg0",
	"actions=set_field:0x7b/0xffffff->metadata",
	"actions=set_field:0x7b->tun_id",
	"actions=set_field:192.0.2.1->tun_src,set_field:192.0.2.2->tun_dst",
	"actions=set_field:2001:db8::1->tun_ipv6_src,set_field:2001:db8::2->tun_ipv6_dst",
	"actions=set_field:oam->tun_flags",
	"actions=set_field:5->tun_gbp_id,set_field:0x8->tun_gbp_flags",
	"actions=set_field:0x1->pkt_mark",
	"actions=set_field:02:00:00:00:00:01->eth_src,set_field:02:00:00:00:00:02->eth_dst",
	"actions=set_field:02:00:00:00:00:00/ff:ff:00:00:00:00->eth_dst",
	"dl_vlan=5 actions=set_field:4102->vlan_vid,set_field:3->vlan_pcp",
	"ip actions=set_field:10.0.0.1->ip_src,set_field:10.0.0.0/24->ip_dst",
	"ip actions=set_field:46->ip_dscp,set_field:1->nw_ecn,set_field:64->nw_ttl",
	"ipv6 actions=set_field:2001:db8::1->ipv6_src,set_field:2001:db8::/32->ipv6_dst,set_field:0x12->ipv6_label",
	"tcp actions=set_field:80->tcp_src,set_field:443->tcp_dst",
	"udp actions=set_field:80->udp_src,set_field:256/0xff00->udp_dst",
	"sctp actions=set_field:80->sctp_src,set_field:81->sctp_dst",
	"icmp actions=set_field:0->icmp_type,set_field:1->icmp_code",
	"icmp6 actions=set_field:136->icmpv6_type,set_field:0->icmpv6_code",
	"arp actions=set_field:2->arp_op,set_field:10.0.0.1->arp_spa,set_field:10.0.0.2->arp_tpa,set_field:02:00:00:00:00:01->arp_sha,set_field:02:00:00:00:00:02->arp_tha",
	"icmp6,icmp_type=135,icmp_code=0 actions=set_field:2001:db8::1->nd_target,set_field:02:00:00:00:00:01->nd_sll",
	"icmp6,icmp_type=136,icmp_code=0 actions=set_field:02:00:00:00:00:01->nd_tll,set_field:3758096384->nd_reserved,set_field:2->nd_options_type",
	"actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
	"actions=move:NXM_NX_REG0[0..15]->OXM_OF_METADATA[24..39]",
	"actions=move:NXM_NX_TUN_IPV4_SRC[]->NXM_NX_TUN_IPV4_DST[]",
	"actions=move:NXM_NX_TUN_ID[0..23]->OXM_OF_PKT_REG0[0..23]",
	"actions=move:NXM_NX_CT_STATE[]->NXM_NX_REG0[]",
	"actions=move:NXM_NX_CT_LABEL[96..127]->NXM_NX_REG1[]",
	"actions=move:NXM_NX_XXREG0[]->NXM_NX_XXREG1[]",
	"actions=move:OXM_OF_IN_PORT[]->NXM_NX_REG1[]",
	"arp actions=move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
	"ip actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],move:NXM_NX_IP_TTL[]->NXM_NX_REG0[0..7]",
	"ipv6 actions=move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG1[]",
	"tcp actions=move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[]",
	"dl_vlan=5 actions=move:OXM_OF_VLAN_VID[]->NXM_NX_REG0[0..11]",
	"actions=move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG0[0..11]",
	"actions=push:NXM_NX_REG0[],pop:NXM_NX_REG1[]",
	"actions=push:NXM_NX_REG0[4..7],pop:OXM_OF_METADATA[60..63]",
	"ip actions=dec_ttl,output:1",
	"dl_vlan=0 actions=pop_vlan,output:1",
	"vlan_tci=0x0000/0x1fff actions=push_vlan:0x8100,set_field:4203->vlan_vid,output:1",
	"vlan_tci=0x1000/0x1000 actions=drop",
	"actions=resubmit(,5)",
	"actions=resubmit(3,5)",
	"actions=resubmit:3",
	"actions=resubmit(LOCAL,5)",
	"ct_state=+est+trk,ip actions=resubmit(,5,ct)",
	"ip actions=ct(commit)",
	"ip actions=ct(table=5)",
	"ip actions=ct(commit,table=5,zone=7)",
	"ip actions=ct(commit,force,zone=NXM_NX_REG8[0..15])",
	"ip actions=ct(table=5,zone=NXM_NX_REG8[16..31],nat)",
	"ip actions=ct(commit,nat(src=10.0.0.1))",
	"ip actions=ct(commit,nat(src=10.0.0.1-10.0.0.9:1024-65535,random))",
	"ip actions=ct(commit,nat(dst=10.0.0.1:80,persistent,hash))",
	"ip actions=ct(commit,nat(src))",
	"ipv6 actions=ct(commit,nat(src=2001:db8::1-2001:db8::9))",
	"ipv6 actions=ct(commit,nat(dst=[2001:db8::1]:80-90))",
	"ipv6 actions=ct(commit,nat(dst=[2001:db8::1]-[2001:db8::2]:80))",
	"ip actions=ct(commit,zone=1,nat(src=10.0.0.1),exec(set_field:0x1->ct_mark,set_field:0x2/0xf->ct_label,move:NXM_NX_REG0[]->NXM_NX_CT_LABEL[96..127]))",
	"tcp actions=ct(commit,alg=ftp)",
	"udp actions=ct(commit,table=9,alg=tftp)",
	"actions=ct_clear,output:1",
	"actions=check_pkt_larger(1514)->NXM_NX_REG0[3]",
	"actions=conjunction(1,1/2)",
	"actions=conjunction(1,1/2),conjunction(4294967295,3/3)",
	"actions=learn(table=5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:OXM_OF_IN_PORT[])",
	"actions=learn(table=5,idle_timeout=300,hard_timeout=600,fin_idle_timeout=5,fin_hard_timeout=6,priority=77,send_flow_rem,delete_learned,cookie=0xabc,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])",
	"actions=learn(table=5,limit=10,result_dst=NXM_NX_REG0[4],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_TUN_IPV4_SRC[]->NXM_NX_REG3[])",
	"actions=learn(table=5,limit=10,OXM_OF_METADATA[0..23],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0x1->NXM_NX_REG0[0])",
	"actions=learn(table=5,result_dst=NXM_NX_REG0[4],NXM_NX_REG1[])",
	"tcp actions=learn(table=5,eth_type=0x800,nw_proto=6,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],load:0x20010db800000001->OXM_OF_PKT_REG1[])",
	"actions=learn(table=5,NXM_NX_REG0[0..7]=0xab,reg1=0x5,eth_dst=02:00:00:00:00:01,load:0xffff->NXM_NX_REG2[16..31])",
	"actions=learn(table=5,priority=0,tun_src=192.0.2.1,load:NXM_OF_ETH_SRC[0..31]->NXM_NX_REG5[],load:0->NXM_NX_REG6[])",
	"actions=meter:1,output:1",
	"actions=meter:1,controller(id=1,userdata=00.00.00.00.00.00.00.00.01,pause)",
	"actions=goto_table:5",
	"actions=write_metadata:0x5",
	"actions=write_metadata:0x5/0xff,goto_table:9",
	"actions=write_metadata:0/0xff",
	"actions=clear_actions",
	"actions=write_actions(output:1)",
	"ip actions=set_field:0x1->reg0,clear_actions,write_actions(set_field:10.0.0.1->ip_dst,group:1),write_metadata:0x1/0x1,goto_table:2",
	"table=3, priority=100,ip,reg1=0x3,metadata=0x64/0xffffff,nw_dst=10.0.0.5 actions=set_field:0x7->reg2,resubmit(,40)",
}

// TestText holds the cases against the parser and ovs-ofctl's own.
func TestText(t *testing.T) {
	var all strings.Builder
	for _, text := range flowCases {
		f, err := openflow.ParseFlow(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := f.String(); got != text {
			t.Errorf("parsed and printed:\n got %s\nwant %s", got, text)
		}
		all.WriteString(text + "\n")
	}
	file := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ovstest.StartBridge(t)
	if out, err := s.TryOfctl("parse-flows", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// numbered returns the cases as flows with keys and cookies of their own.
func numbered(t *testing.T, texts []string) []openflow.Flow {
	t.Helper()
	flows := make([]openflow.Flow, 0, len(texts))
	for i, text := range texts {
		f, err := openflow.ParseFlow(text)
		if err != nil {
			t.Fatal(err)
		}
		f.Priority, f.Cookie = uint16(i), uint64(i+1)
		flows = append(flows, f)
	}
	return flows
}

// prepare makes the group and the meter that cases refer to.
func prepare(w *wire) {
	w.t.Helper()
	w.mustApply(
		&openflow.GroupMod{Group: openflow.Group{ID: 1, Buckets: []openflow.Bucket{{ID: 1, Actions: []openflow.Action{openflow.Output{Port: 1}}}}}},
		&openflow.MeterMod{Meter: openflow.Meter{ID: 1, Rate: 100}},
	)
}

var cookie = regexp.MustCompile(`cookie=0x([0-9a-f]+)`)

// dumped returns the flows that ovs-ofctl dumps, by cookie.
func dumped(t *testing.T, s *ovstest.Switch) map[uint64]string {
	t.Helper()
	byCookie := map[uint64]string{}
	for line := range strings.Lines(s.Ofctl("dump-flows", "--no-stats", "--no-names", "br0")) {
		line = strings.TrimSpace(line)
		if m := cookie.FindStringSubmatch(line); m != nil {
			n, err := strconv.ParseUint(m[1], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			byCookie[n] = line
		}
	}
	return byCookie
}

// agree checks that the switch holds exactly these flows, by what ovs-ofctl prints
// and by what we decode.
func agree(t *testing.T, s *ovstest.Switch, w *wire, want []openflow.Flow) {
	t.Helper()
	texts := dumped(t, s)
	if len(texts) != len(want) {
		t.Errorf("ovs-ofctl dumps %d flows, want %d", len(texts), len(want))
	}
	decoded := map[uint64]openflow.Flow{}
	for _, f := range w.flows() {
		decoded[f.Cookie] = f.Flow
	}
	if len(decoded) != len(want) {
		t.Errorf("decoded %d flows, want %d", len(decoded), len(want))
	}
	for _, f := range want {
		if got := texts[f.Cookie]; got != f.String() {
			t.Errorf("ovs-ofctl prints\n     %s\nwant %s", got, f)
		}
		d := decoded[f.Cookie]
		if got := d.String(); got != f.String() {
			t.Errorf("decoded\n     %s\nwant %s", got, f)
		}
		if !d.Equal(f) || d.Key() != f.Key() {
			t.Errorf("decoded %s, which reads the same but is not equal:\n %#v\n %#v", d, d, f)
		}
	}
}

// TestInstall sends the cases as we encode them.
func TestInstall(t *testing.T) {
	s := ovstest.StartBridge(t)
	w := dial(t, s)
	prepare(w)
	flows := numbered(t, flowCases)
	mods := make([]openflow.Mod, len(flows))
	for i := range flows {
		mods[i] = &openflow.FlowMod{Flow: flows[i]}
	}
	w.mustApply(mods...)
	agree(t, s, w, flows)
	if got := openflow.Diff(plain(w.flows()), flows); len(got) != 0 {
		t.Errorf("the switch has what is wanted, but the difference is %v", got[0].String())
	}
}

// plain leaves out counters.
func plain(stats []openflow.FlowStats) []openflow.Flow {
	flows := make([]openflow.Flow, len(stats))
	for i := range stats {
		flows[i] = stats[i].Flow
	}
	return flows
}

// TestDecodeForeign has ovs-ofctl install the cases.
func TestDecodeForeign(t *testing.T) {
	s := ovstest.StartBridge(t)
	w := dial(t, s)
	prepare(w)
	flows := numbered(t, flowCases)
	var text strings.Builder
	for _, f := range flows {
		text.WriteString((&openflow.FlowMod{Flow: f}).String() + "\n")
	}
	if _, err := s.OfctlInput(text.String(), "bundle", "br0", "-"); err != nil {
		t.Fatal(err)
	}
	agree(t, s, w, flows)
}
