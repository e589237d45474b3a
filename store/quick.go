package store

import (
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// A tenant may have very many ports and bindings, and a host that starts reads all of them
// first. This file parses encode's output for those two types, character for character,
// without reflection. It leaves everything that looks different to encoding/json: a value
// that another build or program wrote, an escape in a string, a MAC in capitals.

// quick reads ports and bindings. Its results share memory: thousands of small strings
// would cost more than their contents.
type quick struct {
	text  kv.Strings
	addrs []netip.Addr      // backing array of ports' addresses
	names map[string]string // of tenants, networks and hosts
}

const quickAddrs = 1 << 10

// port reads the value of a port whose names are in the key. It returns false if objectAt
// has to read the value, or to refuse it.
func (q *quick) port(key string, value []byte) (p intent.Port, ok bool) {
	s := scan{rest: value, ok: true}
	s.literal(`{"v":1,"tenant":`)
	tenant := s.str()
	s.literal(`,"network":`)
	network := s.str()
	s.literal(`,"name":`)
	name := s.str()
	s.literal(`,"id":`)
	p.ID = intent.ID(s.number())
	s.literal(`,"uuid":`)
	uuid := s.str()
	s.literal(`,"mac":`)
	p.MAC = s.mac()
	var addrs []netip.Addr
	var few [4]netip.Addr
	if s.option(`,"addresses":[`) {
		addrs = append(few[:0], s.addr())
		for s.option(`,`) {
			addrs = append(addrs, s.addr())
		}
		s.literal(`]`)
	}
	if s.option(`,"learn":`) {
		learn := s.number()
		if learn > intent.LearnMax {
			return p, false
		}
		p.Learn = int(learn)
	}
	s.literal(`}`)
	if !s.ended() || !keyIs(key, "ports", tenant, network, name, nil) {
		return p, false
	}
	p.Tenant, p.Network, p.Name, p.UUID = q.often(tenant), q.often(network), q.text.Add(name), q.text.Add(uuid)
	p.Addrs = q.addresses(addrs)
	return p, p.Stored() == nil
}

// binding is port for bindings.
func (q *quick) binding(key string, value []byte) (b intent.Binding, ok bool) {
	s := scan{rest: value, ok: true}
	s.literal(`{"v":1,"tenant":`)
	tenant := s.str()
	s.literal(`,"network":`)
	network := s.str()
	s.literal(`,"port":`)
	name := s.str()
	s.literal(`,"host":`)
	host := s.str()
	s.literal(`,"generation":`)
	b.Generation = s.number()
	b.Up = s.option(`,"up":true`)
	if s.option(`,"fault":`) {
		b.Fault = string(s.str())
	}
	s.literal(`}`)
	if !s.ended() || !keyIs(key, "bindings", tenant, network, name, host) {
		return b, false
	}
	b.Tenant, b.Network, b.Port, b.Host = q.often(tenant), q.often(network), q.text.Add(name), q.often(host)
	return b, b.Stored() == nil
}

// keyIs reports whether key is the key of the port, or of the binding if host is not nil,
// with these names. No name contains a slash: they are checked later.
func keyIs(key, kind string, tenant, network, name, host []byte) bool {
	rest, ok := strings.CutPrefix(key, tenantsRoot)
	part := func(b []byte) {
		var got string
		got, rest, _ = strings.Cut(rest, "/")
		ok = ok && got == string(b)
	}
	part(tenant)
	got, rest1, _ := strings.Cut(rest, "/")
	rest, ok = rest1, ok && got == kind
	part(network)
	if host == nil {
		return ok && rest == string(name)
	}
	part(name)
	return ok && rest == string(host)
}

// often returns the string of a name that occurs many times.
func (q *quick) often(b []byte) string {
	name, ok := q.names[string(b)]
	if !ok {
		if q.names == nil {
			q.names = map[string]string{}
		}
		name = string(b)
		q.names[name] = name
	}
	return name
}

// addresses returns a list with some addresses; nil: there are none.
func (q *quick) addresses(list []netip.Addr) []netip.Addr {
	if len(list) == 0 {
		return nil
	}
	if cap(q.addrs)-len(q.addrs) < len(list) {
		q.addrs = make([]netip.Addr, 0, max(quickAddrs, len(list)))
	}
	at := len(q.addrs)
	q.addrs = append(q.addrs, list...)
	return q.addrs[at:len(q.addrs):len(q.addrs)]
}

// scan reads JSON of a known form from its start.
type scan struct {
	rest []byte
	ok   bool // as expected so far
}

// ended reports whether all input was as expected, and is used up.
func (s *scan) ended() bool { return s.ok && len(s.rest) == 0 }

// option reads text if it comes next.
func (s *scan) option(text string) bool {
	if !s.ok || len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		return false
	}
	s.rest = s.rest[len(text):]
	return true
}

func (s *scan) literal(text string) { s.ok = s.option(text) }

// str reads a string of plain ASCII without escapes.
func (s *scan) str() []byte {
	s.literal(`"`)
	for i, c := range s.rest {
		switch {
		case !s.ok || c < ' ' || c == '\\' || c >= 0x7f:
			s.ok = false
			return nil
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		}
	}
	s.ok = false
	return nil
}

// number reads a number that fits in 63 bits.
func (s *scan) number() uint64 {
	var n uint64
	digits := 0
	for digits < len(s.rest) && s.rest[digits] >= '0' && s.rest[digits] <= '9' {
		n = 10*n + uint64(s.rest[digits]-'0')
		digits++
	}
	if digits == 0 || digits > 18 || digits > 1 && s.rest[0] == '0' {
		s.ok = false
		return 0
	}
	s.rest = s.rest[digits:]
	return n
}

// mac reads a MAC in intent.MAC's format.
func (s *scan) mac() (m intent.MAC) {
	text := s.str()
	if len(text) != 3*len(m)-1 {
		s.ok = false
		return m
	}
	for i := range m {
		high, low := hexDigit(text[3*i]), hexDigit(text[3*i+1])
		if high < 0 || low < 0 || i > 0 && text[3*i-1] != ':' {
			s.ok = false
			return m
		}
		m[i] = byte(high<<4 | low)
	}
	return m
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// addr reads an IP address.
func (s *scan) addr() netip.Addr {
	text := s.str()
	if a, ok := dotted(text); ok {
		return a
	}
	a, err := netip.ParseAddr(string(text))
	if err != nil {
		s.ok = false
	}
	return a
}

// dotted reads an IPv4 address.
func dotted(text []byte) (netip.Addr, bool) {
	var a [4]byte
	part, digits, n := 0, 0, 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9' && !(digits > 0 && n == 0):
			n = 10*n + int(c-'0')
			digits++
			if n > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && part < 3:
			a[part] = byte(n)
			part, digits, n = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	a[3] = byte(n)
	return netip.AddrFrom4(a), true
}
