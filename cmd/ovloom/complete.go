// What a word can become. Whatever goes wrong here is silent: there is no place
// to show it, and a shell that hangs on a TAB is worse than no completion.

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// completeTimeout bounds the wait for names after a TAB.
const completeTimeout = 500 * time.Millisecond

// complete prints what the last of words, which may be empty, can become.
func (p *program) complete(words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	words, split := joinEquals(words)
	last := words[len(words)-1]
	for _, c := range p.candidates(words[:len(words)-1], last) {
		if !strings.HasPrefix(c, last) {
			continue
		}
		if split {
			_, c, _ = strings.Cut(c, "=")
		}
		fmt.Fprintln(p.stdout, c)
	}
}

// joinEquals puts --flag = value, which bash takes for three words, together.
// split says that the last word was one of those.
func joinEquals(words []string) (joined []string, split bool) {
	for i, w := range words {
		n := len(joined)
		switch {
		case w == "=" && n > 0 && strings.HasPrefix(joined[n-1], "--") && !strings.Contains(joined[n-1], "="):
			joined[n-1] += "="
			split = i == len(words)-1
			if split {
				return joined, true
			}
		case n > 0 && strings.HasPrefix(joined[n-1], "--") && strings.HasSuffix(joined[n-1], "=") && words[i-1] == "=":
			joined[n-1] += w
			split = i == len(words)-1
		default:
			joined = append(joined, w)
			split = false
		}
	}
	return joined, split
}

// candidates returns what may stand after the words before, whether or not it
// begins with last.
func (p *program) candidates(before []string, last string) []string {
	root := p.commands()
	l, err := parseLine(root, before)
	if err != nil && l.valueOf == nil {
		return nil
	}
	c := l.command()
	if l.valueOf != nil {
		return p.values(l, l.valueOf, last)
	}
	if name, begun, ok := strings.Cut(last, "="); ok && strings.HasPrefix(last, "--") {
		f := findFlag(slices.Concat(c.Flags, root.Flags), strings.TrimPrefix(name, "--"))
		if f == nil {
			return nil
		}
		var out []string
		for _, v := range p.values(l, f, begun) {
			out = append(out, name+"="+v)
		}
		return out
	}
	if strings.HasPrefix(last, "-") && !slices.Contains(before, "--") {
		var out []string
		for _, name := range flagNames(l.path) {
			out = append(out, "--"+name)
		}
		return out
	}
	if len(c.Subcommands) > 0 {
		var out []string
		for _, sub := range c.Subcommands {
			out = append(out, sub.Name)
		}
		return out
	}
	return p.arguments(l, last)
}

// values returns what a flag's value may be, of which last is the beginning.
func (p *program) values(l line, f cli.Flag, last string) []string {
	switch f.Names()[0] {
	case "output":
		return []string{"json", "table"}
	case "unknown":
		return []string{string(intent.UnknownDrop), string(intent.UnknownFlood)}
	case "expect":
		return verdicts
	case "netns":
		return dirNames("/run/netns")
	case "tap", "bridge":
		return dirNames("/sys/class/net")
	case "external":
		return p.externalNames(l)
	case "host":
		return p.hostNames(l)
	case "to":
		return p.targets(l, last)
	case "tcp", "udp", "sctp":
		return p.forwarded(l, f.Names()[0])
	}
	return nil
}

func dirNames(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// newNames are the nouns whose add names, with its argument, what does not exist yet.
var newNames = []string{"tenant", "network", "port", "peer", "external"}

// arguments returns what a command's next argument may be, by what its usage calls
// it.
func (p *program) arguments(l line, last string) []string {
	depths := map[string]int{
		"TENANT": 1, "[TENANT]": 1, "TENANT/NETWORK": 2, "[TENANT[/NETWORK]]": 2,
		"TENANT/NETWORK/PORT": 3, "TENANT/NETWORK/PEER": 3, "[TENANT[/NETWORK[/PORT]]]": 3,
		"DESTINATION": 3, // a port, or what is no name
	}
	arguments := strings.Fields(l.command().ArgsUsage)
	at := len(l.args)
	if n := len(arguments); n > 0 && arguments[n-1] == "..." {
		arguments = arguments[:n-1]
		at = min(at, n-2)
	}
	if at >= len(arguments) {
		return nil
	}
	usage := arguments[at]
	isNew := l.command().Name == "add" && slices.Contains(newNames, l.path[1].Name)
	switch usage {
	case "SHELL":
		return shells()
	case "HOST":
		return p.hostNames(l)
	case "MEMBER":
		return p.memberNames(l)
	case "EXTERNAL":
		if isNew {
			return nil
		}
		return p.externalNames(l)
	case "PREFIX":
		if l.command().Name == "add" {
			return nil
		}
		return p.prefixesOf(l, l.args[0])
	}
	depth := depths[usage]
	if depth == 0 {
		return nil
	}
	if isNew {
		// The last part is new: only those above it exist.
		if strings.Count(last, "/") >= depth-1 {
			return nil
		}
		return p.objects(l, last, depth, false)
	}
	return p.objects(l, last, depth, strings.HasPrefix(usage, "["))
}

// targets returns where a forward may lead, as far as a port's name goes.
func (p *program) targets(l line, last string) []string {
	names := p.objects(l, last, 3, false)
	for i, n := range names {
		if !strings.HasSuffix(n, "/") {
			names[i] = n + ":"
		}
	}
	return names
}

// objects returns the names at the level that last has reached, of at most
// depth levels: acme/, then acme/web/, then acme/web/c1. One that can go on
// ends in a slash; whole says that it may also end there.
func (p *program) objects(l line, last string, depth int, whole bool) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	var names []string
	level := strings.Count(last, "/") + 1
	parts := strings.Split(last, "/")
	switch level {
	case 1:
		ts, err := client.Tenants(ctx)
		if err != nil {
			return nil
		}
		for _, t := range ts {
			names = append(names, t.Name)
		}
	case 2:
		ns, err := client.Networks(ctx, parts[0])
		if err != nil {
			return nil
		}
		for _, n := range ns {
			names = append(names, n.Ref().String())
		}
	case 3:
		if strings.HasSuffix(strings.TrimSuffix(l.command().ArgsUsage, " ..."), "/PEER") {
			peers, err := client.Peers(ctx, parts[0], parts[1])
			if err != nil {
				return nil
			}
			for _, v := range peers {
				names = append(names, v.Ref().String())
			}
			break
		}
		ps, err := client.Ports(ctx, parts[0], parts[1])
		if err != nil {
			return nil
		}
		for _, v := range ps {
			names = append(names, v.Ref().String())
		}
	}
	if level >= depth {
		return names
	}
	var out []string
	for _, n := range names {
		if whole {
			out = append(out, n)
		}
		out = append(out, n+"/")
	}
	return out
}

func (p *program) hostNames(l line) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	hs, err := client.Hosts(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, h := range hs {
		names = append(names, h.Name)
	}
	return names
}

// memberNames returns the members of the store; the URLs of those that have no name yet.
func (p *program) memberNames(l line) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	h, err := client.StoreHealth(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range h.Members {
		names = append(names, cmp.Or(m.Name, m.Peer))
	}
	return names
}

func (p *program) externalNames(l line) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	es, err := client.Externals(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name)
	}
	return names
}

// prefixesOf returns where a tenant's routes lead.
func (p *program) prefixesOf(l line, tenant string) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	rs, err := client.Routes(ctx, tenant)
	if err != nil {
		return nil
	}
	var prefixes []string
	for _, r := range rs {
		prefixes = append(prefixes, r.Prefix.String())
	}
	return prefixes
}

// forwarded returns which ports of a protocol the tenant of the line forwards.
func (p *program) forwarded(l line, protocol string) []string {
	if l.command().Name == "add" || len(l.path) < 3 || l.path[2].Name != "forward" || len(l.args) == 0 {
		return nil
	}
	client, ctx, done := p.completionClient(l)
	defer done()
	nat, err := client.NAT(ctx, l.args[0])
	if err != nil {
		return nil
	}
	var ports []string
	for _, f := range nat.Forwards {
		if string(f.Protocol) == protocol {
			ports = append(ports, strconv.Itoa(int(f.Port)))
		}
	}
	return ports
}

// completionClient returns a client of the ovloomd that the line names.
func (p *program) completionClient(l line) (*api.Client, context.Context, func()) {
	socket, given := api.DefaultSocket, false
	for i, word := range l.global {
		if v, ok := strings.CutPrefix(word, "--socket="); ok {
			socket, given = v, true
		}
		if word == "--socket" && i+1 < len(l.global) {
			socket, given = l.global[i+1], true
		}
	}
	client := api.NewClient(p.socket(socket, given))
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	return client, ctx, func() { cancel(); client.Close() }
}
