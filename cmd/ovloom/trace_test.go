package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// traced is a packet that one host hands to another, which drops it.
func traced() intent.Trace {
	step := func(table, object, words string) intent.TraceStep {
		return intent.TraceStep{Table: table, Object: object, Words: words, Flow: "priority 0", Actions: []string{"goto_table:40"}, Notes: []string{"so it is"}}
	}
	return intent.Trace{
		Verdict: intent.TraceDropped, Summary: "dropped on host2 in table tunnel_in: unknown-vni, no port here", Advice: []string{"look there"}, Silent: []string{},
		Packets: []intent.TracePacket{
			{What: "ARP request of 10.0.0.2: who has 10.0.0.3?", Verdict: intent.TraceAnswered, Hops: []intent.TraceHop{
				{Host: "host1", Via: "sent by port acme/web/c1", Steps: []intent.TraceStep{step("arp_nd", "port acme/web/c2", "answers")},
					Ends: []intent.TraceEnd{{Kind: intent.TraceAnswered, Words: "answered by the switch", Answer: "0a:00:00:00:00:13"}}}}},
			{What: "ICMP echo request from 10.0.0.2 to 10.0.0.3", Verdict: intent.TraceDropped, Hops: []intent.TraceHop{
				{Host: "host1", Via: "sent by port acme/web/c1",
					Steps: []intent.TraceStep{step("fork", "table fork", "unicast"), {Words: "connection tracking: the connection is new"}, step("fdb", "port acme/web/c2", "leads there")},
					Ends:  []intent.TraceEnd{{Kind: intent.TraceTunnelled, Words: "through the tunnel to host2", VTEP: netip.MustParseAddr("192.0.2.2"), VNI: 5}}},
				{Host: "host2", Via: "through the tunnel from host1, VNI 5", Steps: []intent.TraceStep{step("tunnel_in", "", "nobody's")},
					Ends: []intent.TraceEnd{{Kind: intent.TraceDropped, Reason: "unknown-vni", Words: "no port here"}, {Kind: intent.TraceDropped, Words: "no reason is given"}}},
				{Host: "host3", Via: "through the tunnel from host1, VNI 5", Error: "host host3 does not answer"},
			}},
		},
	}
}

func TestPrintTrace(t *testing.T) {
	const want = `ARP request of 10.0.0.2: who has 10.0.0.3?
  on host1, sent by port acme/web/c1
    arp_nd  port acme/web/c2  answers
    => answered by the switch: it is at 0a:00:00:00:00:13

ICMP echo request from 10.0.0.2 to 10.0.0.3
  on host1, sent by port acme/web/c1
    fork                    unicast
    -                       connection tracking: the connection is new
    fdb   port acme/web/c2  leads there
    => through the tunnel to host2
  on host2, through the tunnel from host1, VNI 5
    tunnel_in    nobody's
    => dropped: unknown-vni, no port here
    => dropped: no reason is given
  on host3, through the tunnel from host1, VNI 5
    => host host3 does not answer

dropped on host2 in table tunnel_in: unknown-vni, no port here
   look there
`
	var b strings.Builder
	printTrace(&b, traced(), false)
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	b.Reset()
	printTrace(&b, traced(), true)
	for _, line := range []string{"            priority 0\n", "              goto_table:40\n", "                -> so it is\n"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("--long has no line %q:\n%s", line, b.String())
		}
	}
}

func TestTraceCommand(t *testing.T) {
	s := newSession(t)
	s.host.Trace = traced()
	silent := traced()
	silent.Silent = []string{"host3"}
	for _, c := range []struct {
		line  string
		trace intent.Trace
		code  int
		said  string // on standard error
	}{
		{"trace acme/web/c1 10.0.0.3", traced(), exitOK, ""},
		{"trace acme/web/c1 10.0.0.3 --tcp 443 --expect dropped", traced(), exitOK, ""},
		{"trace acme/web/c1 10.0.0.3 --expect delivered", traced(), exitFailure, "the packet is dropped, not delivered"},
		{"trace acme/web/c1 broadcast", silent, exitUnavailable, "no answer from host3"},
		{"trace acme/web/c1", traced(), exitUsage, "takes TENANT/NETWORK/PORT DESTINATION, but is given 1 argument"},
		{"trace acme/web 10.0.0.3", traced(), exitUsage, `is no name of a port`},
		{"trace acme/web/c1 10.0.0.3 --tcp 1 --udp 2", traced(), exitUsage, "either tcp or udp"},
		{"trace acme/web/c1 10.0.0.3 --tcp 65536", traced(), exitUsage, "--tcp 65536 is out of range"},
		{"trace acme/web/c1 10.0.0.3 --tcp http", traced(), exitUsage, `--tcp cannot be "http"`},
		{"trace acme/web/c1 10.0.0.3 --icmp 256", traced(), exitUsage, "--icmp 256 is out of range"},
		{"trace acme/web/c1 10.0.0.3 --src here", traced(), exitUsage, `--src "here" is not an IP address`},
		{"trace acme/web/c1 10.0.0.3 --expect luck", traced(), exitUsage, `verdict "luck" does not exist`},
		{"trace acme/web/c1 10.0.0.3 --sport 5", traced(), exitUsage, "a port is given, but no protocol"},
	} {
		s.host.Trace = c.trace
		_, errs, code := s.exec(c.line)
		if code != c.code || !strings.Contains(errs, c.said) {
			t.Errorf("%s: exit code %d, want %d: %s", c.line, code, c.code, errs)
		}
	}
	out, _, _ := s.exec("trace acme/web/c1 10.0.0.3 -o json")
	var got intent.Trace
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.From != "acme/web/c1" || len(got.Packets) != 2 {
		t.Errorf("JSON: %v\n%s", err, out)
	}
}
