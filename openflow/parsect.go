// Parsing of ct and nat.

package openflow

import (
	"fmt"
	"net/netip"
	"strings"
)

func parseCT(args string) (Action, error) {
	words, err := splitWords(args)
	if err != nil {
		return nil, err
	}
	a := CT{Table: TableAll}
	var nat, exec []Action
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var n uint64
		switch {
		case w == "commit":
			a.Commit = true
		case w == "force":
			a.Force = true
		case w == "nat" || strings.HasPrefix(w, "nat("):
			var x NAT
			x, err = parseNAT(w)
			nat = []Action{x}
		case strings.HasPrefix(w, "exec(") && strings.HasSuffix(w, ")"):
			exec, err = parseActions(w[len("exec(") : len(w)-1])
		case key == "table":
			n, err = parseUint(value, 8)
			a.Table = uint8(n)
		case key == "zone" && strings.HasSuffix(value, "]"):
			a.ZoneSrc, err = parseSubfield(value)
		case key == "zone":
			n, err = parseUint(value, 16)
			a.Zone = uint16(n)
		case w == "alg=ftp":
			a.ALG = 21
		case w == "alg=tftp":
			a.ALG = 69
		case key == "alg":
			n, err = parseUint(value, 16)
			a.ALG = uint16(n)
		default:
			err = fmt.Errorf("no argument of ct")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	if a.ZoneSrc.Field != FieldNone {
		a.Zone = 0
	}
	a.Actions = append(nat, exec...)
	return a, nil
}

// parseNAT reads nat or nat(…).
func parseNAT(word string) (NAT, error) {
	if word == "nat" {
		return NAT{}, nil
	}
	args, ok := strings.CutSuffix(strings.TrimPrefix(word, "nat("), ")")
	if !ok {
		return NAT{}, fmt.Errorf("text behind the closing parenthesis")
	}
	var a NAT
	for _, w := range strings.Split(args, ",") {
		key, value, hasValue := strings.Cut(w, "=")
		switch key {
		case "src", "dst":
			a.Src, a.Dst = key == "src", key == "dst"
			if hasValue {
				if err := a.parseRange(value); err != nil {
					return a, err
				}
			}
		case "persistent":
			a.Persistent = true
		case "hash":
			a.Hash = true
		case "random":
			a.Random = true
		default:
			return a, fmt.Errorf("%q: nat(src=…), nat(dst=…), persistent, hash and random are known", w)
		}
	}
	return a, nil
}

// parseRange reads addr[-addr][:port[-port]], IPv6 addresses in brackets if ports
// follow.
func (a *NAT) parseRange(text string) error {
	addrs, ports := text, ""
	if i := strings.LastIndex(text, "]:"); i >= 0 {
		addrs, ports = text[:i+1], text[i+2:]
	} else if strings.Count(text, ":") == 1 {
		addrs, ports, _ = strings.Cut(text, ":")
	}
	first, last, isRange := strings.Cut(addrs, "-")
	parse := func(s string) (netip.Addr, error) {
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		if err != nil || addr.Zone() != "" {
			return netip.Addr{}, fmt.Errorf("%q is not an address", s)
		}
		return addr, nil
	}
	var err error
	if a.AddrMin, err = parse(first); err != nil {
		return err
	}
	if isRange {
		if a.AddrMax, err = parse(last); err != nil {
			return err
		}
		if a.AddrMax == a.AddrMin {
			a.AddrMax = netip.Addr{}
		}
	}
	if ports == "" {
		return nil
	}
	first, last, isRange = strings.Cut(ports, "-")
	n, err := parseUint(first, 16)
	if err != nil {
		return err
	}
	if a.PortMin = uint16(n); n == 0 {
		return fmt.Errorf("%q: ports begin at 1", ports)
	}
	if isRange {
		if n, err = parseUint(last, 16); err != nil {
			return err
		}
		if a.PortMax = uint16(n); a.PortMax == a.PortMin {
			a.PortMax = 0
		}
	}
	return nil
}
