// ovloom nat forward

package main

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// protocols can be forwarded; each has a flag.
var protocols = []intent.Protocol{intent.TCP, intent.UDP, intent.SCTP}

// The flags that, with the tenant, name an existing forward and a new one.
var (
	forwardExternal = externalFlag(func(f *intent.Forward) *string { return &f.External })
	forwardName     = append([]field[intent.Forward]{forwardExternal}, portsOutside(forwardedPorts)...)
	forwardNewName  = append([]field[intent.Forward]{forwardExternal}, portsOutside(nil)...)
)

var forwards = noun[intent.Forward, intent.Forward, api.Forward]{
	class: intent.ClassForward,
	usage: "forward a TCP, UDP or SCTP port of an external address to a port",
	examples: []string{
		"ovloom nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80",
		"ovloom nat forward list acme",
	},
	name: []argument{path(intent.ClassTenant)},
	parse: func(args []string) (intent.Forward, error) {
		name, err := intent.ParseTenant(args[0])
		return intent.Forward{Tenant: name}, err
	},
	add: &verb[intent.Forward]{
		usage: "add a forward",
		about: "All forwards that a tenant has of an external are of one address. By an external with --host, the same port of each host's own addresses leads there, too.",
		examples: []string{
			"ovloom nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80",
			"ovloom nat forward add acme --external campus --udp 53 --to acme/web/c1:53",
		},
		flags: append(forwardNewName[:4:4],
			field[intent.Forward]{name: "to", read: readTarget, flag: func() cli.Flag {
				return &cli.StringFlag{Name: "to", Usage: "`TENANT/NETWORK/PORT:NUMBER` that it leads to"}
			}}.completed(targets),
			stringFlag("address", "`ADDRESS` of the external, for the tenant's first forward; chosen, unless given", func(f *intent.Forward) *netip.Addr { return &f.Address }, intent.ParseAddr)),
		check: checkForward,
		says:  func(f intent.Forward) string { return outside(f) + " to " + target(f) },
	},
	list: &listing[intent.Forward]{
		usage:    "list the forwards of all tenants or of one",
		examples: []string{"ovloom nat forward list", "ovloom nat forward list acme -o json"},
		within:   []intent.Class{intent.ClassTenant},
		columns: []column[intent.Forward]{
			{"TENANT", func(f intent.Forward) string { return f.Tenant }},
			{"EXTERNAL", func(f intent.Forward) string { return f.External }},
			{"OUTSIDE", outside},
			{"TO", target},
		},
	},
	show: &showing[intent.Forward, api.Forward]{
		verb: verb[intent.Forward]{
			usage: "show a forward", examples: []string{"ovloom nat forward show acme --external internet --tcp 8080"},
			flags: forwardName, check: findForward,
		},
		facts: func(f api.Forward) []fact {
			return []fact{
				{"tenant", f.Tenant},
				{"external", f.External},
				{"id", decimal(f.ID)},
				{"outside", outside(f.Forward)},
				{"to", target(f.Forward)},
				{"inside", addrs(f.Inside)},
				{"host", f.Host},
			}
		},
	},
	delete: &verb[intent.Forward]{
		usage: "delete a forward", about: "Its connections end.",
		examples: []string{"ovloom nat forward delete acme --external internet --tcp 8080"},
		flags:    forwardName, check: findForward,
	},
}

// portsOutside returns the flags of the protocols; exactly one of them must be given.
func portsOutside(words func(intent.Protocol) completer) []field[intent.Forward] {
	var fs []field[intent.Forward]
	for _, proto := range protocols {
		f := field[intent.Forward]{name: string(proto), flag: func() cli.Flag {
			return &cli.Uint64Flag{Name: string(proto), Usage: strings.ToUpper(string(proto)) + " `PORT` outside"}
		}, read: readOutside}
		if words != nil {
			f = f.completed(words(proto))
		}
		fs = append(fs, f)
	}
	return fs
}

// readOutside parses --tcp, --udp and --sctp.
func readOutside(in *input[intent.Forward]) error {
	var given []intent.Protocol
	for _, proto := range protocols {
		if in.line.IsSet(string(proto)) {
			given = append(given, proto)
		}
	}
	if len(given) != 1 {
		return intent.Invalidf("%d ports outside are given", len(given)).WithHint("give exactly one of --tcp, --udp and --sctp, such as --tcp 8080")
	}
	n := in.line.Uint64(string(given[0]))
	if n == 0 || n > math.MaxUint16 {
		return intent.Invalidf("%s port %d is out of range", given[0], n).WithHint("choose between 1 and 65535")
	}
	in.object.Protocol, in.object.Port = given[0], uint16(n)
	return nil
}

// readTarget parses --to.
func readTarget(in *input[intent.Forward]) (err error) {
	in.object.To, in.object.ToPort, err = intent.ParseTarget(in.line.String("to"))
	return err
}

// checkForward refuses an incomplete new forward, and chooses its external.
func checkForward(in *input[intent.Forward]) error {
	f := &in.object
	if f.Protocol == "" {
		return readOutside(in) // the error for no port
	}
	if f.To == (intent.PortRef{}) {
		return intent.Invalidf("it is not said where %s port %d leads", f.Protocol, f.Port).WithHint("say it with --to, such as --to %s/web/c1:80", f.Tenant)
	}
	if f.To.Tenant != f.Tenant {
		return intent.Invalidf("port %s is not of tenant %s", f.To, f.Tenant).WithHint("a tenant forwards to its own ports only")
	}
	return in.choose(&f.External, "")
}

// findForward finds the only forward of the tenant for the port, unless the line names its
// external.
func findForward(in *input[intent.Forward]) error {
	f := &in.object
	if f.Protocol == "" {
		return readOutside(in) // the error for no port
	}
	if f.External != "" {
		return nil
	}
	by, err := externalsOf(in.ctx, in.client, intent.ClassForward, f.Tenant, func(other intent.Forward) string {
		if other.Protocol != f.Protocol || other.Port != f.Port {
			return ""
		}
		return other.External
	})
	switch {
	case err != nil:
		return err
	case len(by) == 0:
		return intent.NotFoundf("tenant %s forwards no %s port %d", f.Tenant, f.Protocol, f.Port).WithHint("`ovloom nat forward list %s` shows which it does", f.Tenant)
	case len(by) > 1:
		return intent.Invalidf("tenant %s forwards %s port %d of several externals: %s", f.Tenant, f.Protocol, f.Port, strings.Join(by, ", ")).
			WithHint("name one: --external %s", by[0])
	}
	f.External = by[0]
	return nil
}

// outside returns the forwarded address and port: 203.0.113.10:8080/tcp.
func outside(f intent.Forward) string {
	return fmt.Sprintf("%s:%d/%s", f.Address, f.Port, f.Protocol)
}

// target returns the target of a forward: acme/web/c1:80.
func target(f intent.Forward) string { return fmt.Sprintf("%s:%d", f.To, f.ToPort) }

// forwardedPorts completes a port of a protocol that the line's tenant forwards.
func forwardedPorts(proto intent.Protocol) completer {
	return func(p *program, l line, _ string) []string {
		if len(l.args) == 0 {
			return nil
		}
		client, ctx, done := p.completionClient(l)
		defer done()
		fs, err := api.List[intent.Forward](ctx, client, intent.ClassForward, intent.TenantRef{Tenant: l.args[0]})
		if err != nil {
			return nil
		}
		var ports []string
		for _, f := range fs {
			if f.Protocol == proto {
				ports = append(ports, strconv.Itoa(int(f.Port)))
			}
		}
		return ports
	}
}
