package hostnet

// Settings of the host that the host uplink needs: checked, and set on request. Nothing
// is changed silently.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/ovloom/ovloom/intent"
)

// ExitFault is a setting of the host that keeps packets from leaving through it.
type ExitFault struct {
	What   string // in a sentence
	Do     string // how to set it by hand
	ByHand bool   // FixExit cannot fix it
	fix    func(ctx context.Context) (done string, err error)
}

const (
	forwardingFile = "/proc/sys/net/ipv4/ip_forward"
	// fixComment marks, for people, the rules that FixExit adds to foreign tables.
	fixComment = "ovloom"
)

// ExitFaults returns the host's faults. The interface must have its addresses.
func ExitFaults(ctx context.Context, e Exit) ([]ExitFault, error) {
	var faults []ExitFault
	on, err := os.ReadFile(forwardingFile)
	if err != nil {
		return nil, fmt.Errorf("see whether the host forwards packets: %w", err)
	}
	if strings.TrimSpace(string(on)) != "1" {
		faults = append(faults, ExitFault{
			What: "the host does not forward IPv4 packets",
			Do:   "sysctl -w net.ipv4.ip_forward=1",
			fix:  fixForwarding,
		})
	}
	for _, s := range e.Subnets {
		f, err := reversePathFault(e.Link, s.Prefix)
		if err != nil {
			return nil, err
		}
		faults = append(faults, f...)
	}
	chains, err := droppingChains(ctx, e.Link)
	if err != nil {
		return nil, err
	}
	for _, c := range chains {
		faults = append(faults, c.fault(e.Link))
	}
	return faults, nil
}

// FixExit fixes what it can of the faults, and says what it did.
func FixExit(ctx context.Context, faults []ExitFault) (done []string, err error) {
	for _, f := range faults {
		if f.fix == nil {
			err = errors.Join(err, intent.Conflictf("%s: ovloom cannot set that right", f.What).WithHint("%s", f.Do))
			continue
		}
		what, e := f.fix(ctx)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		done = append(done, what)
	}
	return done, err
}

func fixForwarding(context.Context) (string, error) {
	if err := os.WriteFile(forwardingFile, []byte("1"), 0); err != nil {
		return "", fmt.Errorf("set net.ipv4.ip_forward: %w", err)
	}
	return "set net.ipv4.ip_forward=1, until the next boot: for ever with a file in /etc/sysctl.d", nil
}

// reversePathFault looks up the host's route for answers to the overlay. If it leads to
// another interface, answers get lost, and a strict rp_filter drops the requests, too.
func reversePathFault(link string, p netip.Prefix) ([]ExitFault, error) {
	l, err := mustLink(link)
	if err != nil {
		return nil, err
	}
	// The first address is the host's own.
	a := p.Masked().Addr().Next().Next()
	routes, err := netlink.RouteGet(a.AsSlice())
	if err == nil && len(routes) > 0 && routes[0].LinkIndex == l.Attrs().Index {
		return nil, nil
	}
	where := "nowhere"
	if err == nil && len(routes) > 0 {
		where = "to interface " + linkName(routes[0].LinkIndex)
	}
	what := fmt.Sprintf("the host routes %s %s, not to %s", p, where, link)
	if strict(link) {
		what += ", and its rp_filter drops what comes from there"
	}
	return []ExitFault{{What: what, Do: "remove that route, or give the external another --range", ByHand: true}}, nil
}

// strict reports whether the interface drops packets whose answers would leave by
// another one (Linux ip-sysctl: rp_filter; the larger of both counts).
func strict(link string) bool {
	const rpFilter Setting = "ipv4/rp_filter"
	all, _ := Sysctl(rpFilter, "all")
	own, _ := Sysctl(rpFilter, link)
	return max(all, own) == "1"
}

// filterChain is a chain with policy drop and no rule for the overlay.
type filterChain struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Hook   string `json:"hook"`
	Policy string `json:"policy"`
}

// droppingChains returns the chains that drop forwarded packets; none without an nft
// program to list them.
func droppingChains(ctx context.Context, link string) ([]filterChain, error) {
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "ruleset").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the rules of the host's packet filter: %w", err)
	}
	return parseDroppingChains(out, link)
}

// parseDroppingChains parses the output of nft -j list ruleset (libnftables-json(5)). A
// chain with rules that accept packets from the interface and to it is not in the way,
// nor is one whose table has these rules in its chain for users.
func parseDroppingChains(ruleset []byte, link string) ([]filterChain, error) {
	var doc struct {
		Nftables []struct {
			Chain *filterChain `json:"chain"`
			Rule  *struct {
				Family string       `json:"family"`
				Table  string       `json:"table"`
				Chain  string       `json:"chain"`
				Expr   []expression `json:"expr"`
			} `json:"rule"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(ruleset, &doc); err != nil {
		return nil, fmt.Errorf("read the rules of the host's packet filter: %w", err)
	}
	var chains []filterChain
	passes := map[string]map[string]bool{} // by chain: the accepted directions
	for _, x := range doc.Nftables {
		if c := x.Chain; c != nil && c.Hook == "forward" && c.Policy == "drop" && (c.Family == "ip" || c.Family == "inet") {
			chains = append(chains, *c)
		}
		if r := x.Rule; r != nil {
			if side := acceptedSide(r.Expr, link); side != "" {
				at := filterChain{Family: r.Family, Table: r.Table, Name: r.Chain}.String()
				if passes[at] == nil {
					passes[at] = map[string]bool{}
				}
				passes[at][side] = true
			}
		}
	}
	var left []filterChain
	for _, c := range chains {
		user := c
		user.Name = dockerUser
		if len(passes[c.String()]) < 2 && len(passes[user.String()]) < 2 {
			left = append(left, c)
		}
	}
	return left, nil
}

// expression is a part of a rule.
type expression map[string]json.RawMessage

// acceptedSide returns iifname or oifname if the rule accepts packets from the
// interface or to it; else "".
func acceptedSide(rule []expression, link string) (side string) {
	accepts := false
	for _, e := range rule {
		if _, ok := e["accept"]; ok {
			accepts = true
		}
		var match struct {
			Op   string `json:"op"`
			Left struct {
				Meta struct {
					Key string `json:"key"`
				} `json:"meta"`
			} `json:"left"`
			Right any `json:"right"`
		}
		// Other expressions have other shapes, and do not matter here.
		if json.Unmarshal(e["match"], &match) == nil && match.Op == "==" && match.Right == link {
			side = match.Left.Meta.Key
		}
	}
	if !accepts || side != "iifname" && side != "oifname" {
		return ""
	}
	return side
}

// dockerUser is the chain that Docker reserves for users, and does not flush when it
// restarts.
const dockerUser = "DOCKER-USER"

func (c filterChain) String() string { return c.Family + " " + c.Table + " " + c.Name }

func (c filterChain) fault(link string) ExitFault {
	f := ExitFault{
		What: fmt.Sprintf("chain %s of the host's packet filter drops what is forwarded", c),
		Do: fmt.Sprintf("nft insert rule %s iifname %s accept; nft insert rule %s oifname %s accept",
			c, link, c, link),
	}
	f.fix = func(ctx context.Context) (string, error) { return c.open(ctx, link) }
	return f
}

// open lets packets from and to the overlay pass the chain. Chains made by iptables get
// their rules through iptables, which could not read foreign ones.
func (c filterChain) open(ctx context.Context, link string) (string, error) {
	if c.Table == "filter" && c.Name == "FORWARD" && c.Family == "ip" {
		if path, err := exec.LookPath("iptables"); err == nil {
			return c.openIPTables(ctx, path, link)
		}
	}
	script := ""
	for _, side := range []string{"iifname", "oifname"} {
		script += fmt.Sprintf("insert rule %s %s %q accept comment %q\n", c, side, link, fixComment)
	}
	if err := nft(ctx, script); err != nil {
		return "", err
	}
	return fmt.Sprintf("let packets from and to %s pass chain %s, until that is loaded anew", link, c), nil
}

func (c filterChain) openIPTables(ctx context.Context, path, link string) (string, error) {
	chain := c.Name
	if exec.CommandContext(ctx, path, "-S", dockerUser).Run() == nil {
		chain = dockerUser
	}
	for _, side := range []string{"-i", "-o"} {
		cmd := exec.CommandContext(ctx, path, "-I", chain, side, link, "-m", "comment", "--comment", fixComment, "-j", "ACCEPT")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(append([]string{filepath.Base(path)}, cmd.Args[1:]...), " "), err, bytes.TrimSpace(out))
		}
	}
	return fmt.Sprintf("let packets from and to %s pass chain %s of iptables, until that is loaded anew", link, chain), nil
}
