// ovloom trace

package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

// traceFromUsage is the usage of trace for a packet from outside.
const traceFromUsage = "--from-external EXTERNAL DESTINATION"

func (p *program) traceCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "trace", Usage: "show what would become of a packet, and why", Action: p.trace,
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "tcp", Usage: "a TCP packet to `PORT`, instead of an ICMP echo request"},
			&cli.Uint64Flag{Name: "udp", Usage: "a UDP packet to `PORT`"},
			&cli.Uint64Flag{Name: "sctp", Usage: "an SCTP packet to `PORT`"},
			&cli.Uint64Flag{Name: "sport", Usage: "from `PORT` (default: 40000)"},
			&cli.Uint64Flag{Name: "icmp", Usage: "an ICMP or ICMPv6 message of type `NUMBER`"},
			&cli.Uint64Flag{Name: "ttl", Usage: "with a TTL or hop limit of `NUMBER` (default: 64)"},
			&cli.Uint64Flag{Name: "size", Usage: "an IP packet of `BYTES` (default: a small one)"},
			&cli.StringFlag{Name: "from-external", Usage: "from outside, by external `NAME`, instead of from a port"},
			completed(&cli.StringFlag{Name: "host", Usage: "with --from-external: by the uplink of `HOST`, instead of any that answers for the destination"}, namesOf(intent.ClassHost)),
			&cli.StringFlag{Name: "src", Usage: "send from `ADDRESS`: a lie, if it is not the port's; with --from-external, instead of from the gateway"},
			&cli.StringFlag{Name: "src-mac", Usage: "lie: send from `MAC`, which need not be the port's"},
			&cli.BoolFlag{Name: "ask", Usage: "only the question for the destination's MAC address (ARP or neighbour solicitation)"},
			&cli.BoolFlag{Name: "long", Usage: "also show each flow, as ovs-ofctl writes it, and its actions"},
			completed(&cli.StringFlag{Name: "expect", Usage: "fail (exit code 1) if the verdict is not `VERDICT`: delivered, answered, left or dropped"}, oneOf(verdicts...)),
		},
		Description: `DESTINATION is an IP address, a port, a MAC address, or broadcast. Nothing is sent: the switches of the hosts concerned are asked what they would do. First comes the question for the destination's MAC address, as a machine would ask it, then the packet. The last line is the verdict. If a host does not answer, what is known is shown, and the exit code is 5.

With --from-external the packet comes from outside, and the only argument is an external address that a tenant uses.

   ovloom trace acme/web/c1 10.0.0.3
   ovloom trace acme/web/c1 acme/web/c2 --tcp 443
   ovloom trace acme/web/c1 10.0.0.3 --src 10.0.0.99 --expect dropped
   ovloom trace acme/web/c1 192.0.2.80 --tcp 443 --size 1500
   ovloom trace --from-external campus 203.0.113.10 --tcp 443 --src 198.51.100.7
   ovloom trace acme/web/c1 broadcast --long
   ovloom trace acme/web/c1 fd00:1::3 --ask -o json`,
	}, portPath, argument{usage: "DESTINATION", path: portPath.path})
}

// verdicts are the values of --expect.
var verdicts = []string{string(intent.TraceDelivered), string(intent.TraceAnswered), string(intent.TraceLeft), string(intent.TraceDropped)}

func (p *program) trace(c *cli.Context) error {
	q, err := traceQuery(c)
	if err != nil {
		return err
	}
	expect := c.String("expect")
	if expect != "" && !slices.Contains(verdicts, expect) {
		return intent.Invalidf("verdict %q does not exist", expect).WithHint("choose %s", strings.Join(verdicts, ", "))
	}
	ctx, cancel := p.call(c)
	defer cancel()
	t, err := p.client.Trace(ctx, q)
	if err != nil {
		return err
	}
	if err := p.print(t, func(out io.Writer) { printTrace(out, t, c.Bool("long")) }); err != nil {
		return err
	}
	if len(t.Silent) > 0 {
		return intent.Unavailablef("the trace is not whole: no answer from %s", strings.Join(t.Silent, ", "))
	}
	if expect != "" && expect != string(t.Verdict) {
		return fmt.Errorf("the packet is %s, not %s", t.Verdict, expect)
	}
	return nil
}

// traceQuery parses a command line.
func traceQuery(c *cli.Context) (q intent.TraceQuery, err error) {
	q.External, q.Host, q.Ask = c.String("from-external"), c.String("host"), c.Bool("ask")
	switch {
	case c.IsSet("from-external") && c.NArg() != 1:
		return q, argumentCount(c, traceFromUsage)
	case c.IsSet("from-external"):
		q.To = c.Args().Get(0)
	case c.NArg() != 2:
		return q, argumentCount(c, c.Command.ArgsUsage)
	default:
		if q.From, err = intent.ParsePortRef(c.Args().Get(0)); err != nil {
			return q, err
		}
		q.To = c.Args().Get(1)
	}
	number := func(flag string, most uint64) uint64 {
		n := c.Uint64(flag)
		if n > most && err == nil {
			err = intent.Invalidf("--%s %d is out of range", flag, n).WithHint("at most %d", most)
		}
		return n
	}
	for _, proto := range []intent.Protocol{intent.TCP, intent.UDP, intent.SCTP} {
		if !c.IsSet(string(proto)) {
			continue
		}
		if q.Protocol != "" {
			return q, intent.Invalidf("a packet is either %s or %s", q.Protocol, proto).WithHint("give one of --tcp, --udp and --sctp")
		}
		q.Protocol, q.DstPort = proto, uint16(number(string(proto), 65535))
	}
	q.SrcPort = uint16(number("sport", 65535))
	q.TTL, q.Size = uint8(number("ttl", 255)), int(number("size", 65535))
	if c.IsSet("icmp") {
		kind := uint8(number("icmp", 255))
		q.ICMPType = &kind
	}
	if err != nil {
		return q, err
	}
	if text := c.String("src"); text != "" {
		if q.SrcAddr, err = netip.ParseAddr(text); err != nil || q.SrcAddr.Zone() != "" {
			return q, intent.Invalidf("--src %q is not an IP address", text).WithHint("give one such as 10.0.0.2")
		}
	}
	if text := c.String("src-mac"); text != "" {
		if q.SrcMAC, err = intent.ParseMAC(text); err != nil {
			return q, err
		}
	}
	return q, q.Validate()
}

func printTrace(w io.Writer, t intent.Trace, long bool) {
	for _, p := range t.Packets {
		fmt.Fprintf(w, "%s\n", p.What)
		for _, h := range p.Hops {
			printHop(w, h, long)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s\n", t.Summary)
	for _, a := range t.Advice {
		fmt.Fprintf(w, "   %s\n", a)
	}
}

func printHop(w io.Writer, h intent.TraceHop, long bool) {
	fmt.Fprintf(w, "  on %s, %s\n", h.Host, cmp.Or(h.Via, "without a sender"))
	if h.Error != "" {
		fmt.Fprintf(w, "    => %s\n", h.Error)
		return
	}
	table, object := 0, 0
	for _, s := range h.Steps {
		table, object = max(table, len(s.Table)+2*s.Branch), max(object, len(stepObject(s)))
	}
	for _, s := range h.Steps {
		name := strings.Repeat("  ", s.Branch) + s.Table
		if s.Table == "" {
			name = "-"
		}
		fmt.Fprintf(w, "    %s\n", strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %s", table, name, object, stepObject(s), s.Words), " "))
		if !long {
			continue
		}
		if s.Flow != "" {
			fmt.Fprintf(w, "    %*s  %s\n", table, "", s.Flow)
		}
		for _, line := range s.Actions {
			fmt.Fprintf(w, "    %*s    %s\n", table, "", line)
		}
		for _, line := range s.Notes {
			fmt.Fprintf(w, "    %*s      -> %s\n", table, "", line)
		}
	}
	for _, e := range h.Ends {
		fmt.Fprintf(w, "    => %s\n", endText(e))
	}
}

// stepObject names the owner of a step's flow, unless that is the table itself.
func stepObject(s intent.TraceStep) string {
	if s.Object == "table "+s.Table {
		return ""
	}
	return s.Object
}

// endText says where a packet ends.
func endText(e intent.TraceEnd) string {
	switch {
	case e.Kind == intent.TraceDropped && e.Reason != "":
		return fmt.Sprintf("dropped: %s, %s", e.Reason, e.Words)
	case e.Kind == intent.TraceDropped:
		return "dropped: " + e.Words
	case e.Kind == intent.TraceHanded:
		return "to ovloomd: " + e.Words
	case e.Answer != "":
		return fmt.Sprintf("%s: it is at %s", e.Words, e.Answer)
	}
	return e.Words
}
