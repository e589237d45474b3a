package openflow

import (
	"strings"
	"testing"
)

// TestParseOther checks texts that ovs-ofctl does not print that way, but means the
// same by.
func TestParseOther(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{" cookie=0x0, duration=3.1s, table=0, n_packets=7, n_bytes=98, idle_age=1, priority=5,in_port=1 actions=output:2", "priority=5,in_port=1 actions=output:2"},
		{"table=1,priority=32768,ip,nw_src=10.0.0.1/255.255.255.0,actions=2", "table=1, ip,nw_src=10.0.0.0/24 actions=output:2"},
		{"dl_type=0x800,nw_proto=6,tcp_dst=80 actions=local,in_port", "tcp,tp_dst=80 actions=LOCAL,IN_PORT"},
		{"tp_dst=80,tcp actions=drop", "tcp,tp_dst=80 actions=drop"},
		{"ip,ip_dscp=46 actions=drop", "ip,nw_tos=184 actions=drop"},
		{"eth,eth_src=2:0:0:0:0:1 actions=drop", "dl_src=02:00:00:00:00:01 actions=drop"},
		{"xreg0=0x100000002 actions=drop", "reg0=0x1,reg1=0x2 actions=drop"},
		{"dl_vlan=0xffff actions=drop", "vlan_tci=0x0000/0x1fff actions=drop"},
		{"ct_state=0x20/0x21 actions=drop", "ct_state=-new+trk actions=drop"},
		{"tcp,tcp_flags=0x2/0x12 actions=drop", "tcp,tcp_flags=+syn-ack actions=drop"},
		{"actions=load:0x7->NXM_NX_REG0[4..7]", "actions=set_field:0x70/0xf0->reg0"},
		{"actions=load:7->reg0[]", "actions=set_field:0x7->reg0"},
		{"actions=ct(nat(src=10.0.0.1-10.0.0.1:5-5),zone=3,commit)", "actions=ct(commit,zone=3,nat(src=10.0.0.1:5))"},
		{"actions=ct(commit,exec(load:1->NXM_NX_CT_MARK[]),alg=ftp)", "actions=ct(commit,exec(set_field:0x1->ct_mark),alg=ftp)"},
		{"actions=controller", "actions=CONTROLLER:65535"},
		{"actions=controller()", "actions=CONTROLLER:65535"},
		{"actions=controller(reason=action,max_len=65535,id=2)", "actions=controller(id=2)"},
		{"actions=learn(eth_type=0x800,load:5->reg1[],NXM_OF_ETH_DST[]=eth_src[])", "actions=learn(table=1,eth_type=0x800,load:0x5->NXM_NX_REG1[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"},
		{"actions=resubmit(,3),resubmit(IN_PORT,3)", "actions=resubmit(,3),resubmit(,3)"},
		{"actions=write_metadata:0xffff/0xff", "actions=write_metadata:0xff/0xff"},
	} {
		f, err := ParseFlow(test.text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := f.String(); got != test.want {
			t.Errorf("%s\nprinted %s\nwant    %s", test.text, got, test.want)
		}
	}
}

// TestParseErrors checks that errors name the part that is wrong and what would be
// right.
func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"priority=5,ip", "actions= is missing"},
		{"actions=", "drop is the word"},
		{"priority=70000 actions=drop", `priority=70000: "70000" is not a number of 16 bits`},
		{"cookie=1/1 actions=drop", "no mask"},
		{"foo=1 actions=drop", "foo=1: no field or keyword foo"},
		{"foo actions=drop", "foo: neither a protocol nor field=value"},
		{"reg0=0x100000000 actions=drop", "reg0=0x100000000: 0x100000000 is too large for the 32 bits of reg0"},
		{"reg0=x actions=drop", "not a number"},
		{"reg0=1,reg0=2 actions=drop", "two terms for reg0"},
		{"tp_src=5 actions=drop", "tp_src=5: needs tcp"},
		{"ip,nw_src=fd00::1 actions=drop", `"fd00::1" is not an address for ip_src`},
		{"ip,nw_src=10.0.0.0/33 actions=drop", `"33" is not a prefix length`},
		{"dl_src=02:00 actions=drop", `"02:00" is not an Ethernet address like 02:00:00:00:00:01`},
		{"dl_vlan=5000 actions=drop", "between 0 and 4095"},
		{"ip,nw_tos=3 actions=drop", "nw_ecn"},
		{"ct_state=+bad actions=drop", "new est rel rpl inv trk snat dnat"},
		{"ct_state=+new-new actions=drop", "at most once"},
		{"actions=frobnicate", "frobnicate: no action"},
		{"actions=frobnicate(1)", "no action frobnicate(…)"},
		{"actions=set_field:1", "set_field:value->field"},
		{"actions=set_field:1->nothing", "no field nothing"},
		{"actions=load:0x100->NXM_NX_REG0[0..7]", "0x100 does not fit in NXM_NX_REG0[0..7]"},
		{"actions=move:NXM_NX_REG0[]->NXM_NX_REG1[0..3]", "NXM_NX_REG0[] has 32 bits, NXM_NX_REG1[0..3] has 4"},
		{"actions=move:NXM_NX_REG0[30..40]->NXM_NX_REG1[]", "bits 0 to 31 are possible"},
		{"actions=push:NXM_NX_REG0", "not a range of bits like"},
		{"actions=push:NXM_NX_REG99[]", "no field NXM_NX_REG99"},
		{"actions=resubmit(1)", "resubmit([port],[table][,ct])"},
		{"actions=resubmit(,1,x)", "only ct"},
		{"actions=ct(commit", "not closed"},
		{"actions=ct)", "closed before it is opened"},
		{"actions=ct(bad)", "bad: no argument of ct"},
		{"actions=ct(nat(both=1))", "nat(src=…)"},
		{"actions=ct(commit,nat(src=10.0.0.1:0-10))", "ports begin at 1"},
		{"actions=ct(commit)x", "behind the closing parenthesis"},
		{"actions=controller(reason=no_match)", "no_match"},
		{"actions=controller(reason=0)", "cannot be asked for"},
		{"actions=controller(userdata=xx)", "hexadecimal"},
		{"actions=conjunction(1)", "conjunction(id,clause/clauses)"},
		{"actions=conjunction(1,3/2)", "counted from 1"},
		{"actions=check_pkt_larger(1)->NXM_NX_REG0[]", "not one bit"},
		{"actions=learn(reg0=0x1/0x1)", "mask is not possible"},
		{"actions=learn(NXM_NX_REG0[0..3]=0x10)", "0x10 does not fit"},
	} {
		_, err := ParseFlow(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "openflow: flow ") {
			t.Errorf("%s\nerror %v\nwant one that says %q", test.text, err, test.want)
		}
	}
	for text, want := range map[string]string{
		"group_id=1,type=some":                            "all, select, indirect, ff",
		"type=all":                                        "group_id= is missing",
		"group_id=1,bucket=weight:1":                      "actions= is missing",
		"group_id=1,bucket=foo:1,actions=drop":            "foo:1: no part of a bucket",
		"group_id=1,fields=nothing":                       "no field nothing",
		"group_id=1,type=all,bucket=actions=output:1,bad": "bad: no action",
	} {
		if _, err := ParseGroup(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nerror %v\nwant one that says %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"meter=1 kbps":                              "is missing",
		"meter=1 bands=type=dscp_remark rate=1":     "only one band",
		"meter=1 bands=type=drop rate=1 type=drop":  "only one band",
		"meter=1 pktps bands=type=drop rate=1 what": "what: no part of a meter",
	} {
		if _, err := ParseMeter(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nerror %v\nwant one that says %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"add ip actions=drop":                        "flow, group or meter",
		"flow remove ip":                             "add, modify, modify_strict, delete, delete_strict",
		"flow delete ip actions=drop":                "belongs to add and modify",
		"flow add ip":                                "belongs to add and modify",
		"flow add cookie=1/1,ip actions=drop":        "no mask",
		"group what group_id=1":                      "insert_bucket",
		"meter add meter=1":                          "is missing",
		"meter delete meter=x":                       "not a number",
		"group insert_bucket command_bucket_id=some": "not a number",
	} {
		if _, err := ParseMod(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nerror %v\nwant one that says %q", text, err, want)
		}
	}
}

// fuzzSeeds use most of the grammar.
var fuzzSeeds = []string{
	"cookie=0x5, table=3, idle_timeout=10, send_flow_rem priority=5,ct_state=+new-est,tcp,reg0=0x1/0xff,metadata=0x7,in_port=LOCAL,dl_vlan=5,dl_vlan_pcp=3,dl_src=02:00:00:00:00:01,nw_src=10.0.0.0/8,nw_tos=4,nw_frag=no,tp_dst=80,tcp_flags=+syn-ack actions=drop",
	"icmp6,ipv6_src=::1.2.3.4,ipv6_label=0x00005,icmp_type=135,nd_target=fd00::/64,nd_sll=02:00:00:00:00:01/ff:ff:ff:00:00:00 actions=output:1,LOCAL,CONTROLLER:128",
	"packet_type=(1,0x800),ct_label=0x10000000000000000/0x30000000000000000 actions=controller(reason=group,max_len=3,id=3,userdata=01.02,pause,meter_id=1)",
	"ip actions=ct(commit,force,table=5,zone=NXM_NX_REG8[0..15],nat(src=10.0.0.1-10.0.0.9:1-2,random),exec(set_field:0x1->ct_mark),alg=ftp)",
	"actions=learn(table=5,priority=7,limit=10,result_dst=NXM_NX_REG0[4],eth_type=0x800,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],NXM_NX_REG1[0..3]=0x5,load:0x1->NXM_NX_REG2[],output:OXM_OF_IN_PORT[])",
	"actions=move:NXM_NX_REG0[]->NXM_NX_REG1[],push:NXM_NX_REG0[4],pop:NXM_NX_REG1[1..2],check_pkt_larger(1514)->NXM_NX_REG0[3],conjunction(1,1/2),resubmit(3,5,ct),resubmit:3,group:1,meter:1,dec_ttl,ct_clear,output:NXM_NX_REG2[]",
	"actions=set_field:192.0.2.0/24->tun_dst,set_field:oam->tun_flags,opaque:ffff0010000023200011000000000000,clear_actions,write_actions(output:1),write_metadata:0x1/0xff,goto_table:5",
}

func FuzzParseFlow(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := ParseFlow(text)
		if err != nil {
			return
		}
		second, err := ParseFlow(first.String())
		if err != nil {
			t.Fatalf("printed %s\n%v", first, err)
		}
		if second.String() != first.String() || !second.Equal(first) {
			t.Fatalf("first  %s\nsecond %s", first, second)
		}
	})
}

func FuzzParseMod(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add("flow add " + seed)
	}
	for _, seed := range []string{
		"flow delete cookie=0x1/0xff, table=3, ip",
		"flow modify_strict table=3, priority=5,ip actions=drop",
		"group add group_id=8,type=select,selection_method=hash,selection_method_param=9,fields(eth_src,ip_src),bucket=bucket_id:0,weight:5,actions=output:1,bucket=bucket_id:7,watch_port:3,actions=drop",
		"group insert_bucket command_bucket_id=first,group_id=1,bucket=bucket_id:5,actions=output:5",
		"group delete group_id=all",
		"meter add meter=1 kbps burst stats bands= type=drop rate=10 burst_size=5",
		"meter delete meter=5",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := ParseMod(text)
		if err != nil {
			return
		}
		second, err := ParseMod(first.String())
		if err != nil {
			t.Fatalf("printed %s\n%v", first, err)
		}
		if second.String() != first.String() {
			t.Fatalf("first  %s\nsecond %s", first, second)
		}
	})
}
