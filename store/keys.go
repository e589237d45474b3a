package store

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// The key layout documented in doc.go.
const (
	tenantsRoot   = kv.Root + "t/"
	hostsRoot     = kv.Root + "hosts/"
	externalsRoot = kv.Root + "externals/"
	aliveRoot     = kv.Root + "alive/"
	appliedRoot   = kv.Root + "applied/"
	// Separate, so that a watch for requests is not woken by every report.
	examineAsked   = kv.Root + "examine/asked/"
	examineReports = kv.Root + "examine/reports/"
	questionsRoot  = kv.Root + "ask/questions/"
	answersRoot    = kv.Root + "ask/answers/"
	indexRoot      = kv.Root + "i/"
	vrfRoot        = indexRoot + "vrf/"
	vniRoot        = indexRoot + "vni/"
	uuidRoot       = indexRoot + "port/"
	addrRoot       = indexRoot + "addr/"
	macRoot        = indexRoot + "mac/"
	vtepRoot       = indexRoot + "vtep/"
	peersVTEPs     = indexRoot + "peer/"
	boundRoot      = indexRoot + "bound/"
	numbersRoot    = indexRoot + "number/"
	outsideRoot    = indexRoot + "outside/"
	usersRoot      = indexRoot + "uses/"
	targetRoot     = indexRoot + "target/"
	hostForwards   = indexRoot + "forward/"
	natHosts       = indexRoot + "nat/"
	counterRoot    = kv.Root + "c/"
	claimRoot      = counterRoot + "claim/"
	idCounter      = counterRoot + "id"
	vniCounter     = counterRoot + "vni"
	vrfCounter     = counterRoot + "vrf"
	numberCounter  = counterRoot + "number"
	outsideCounter = counterRoot + "outside/"
)

func tenantRoot(tenant string) string { return tenantsRoot + tenant + "/" }
func tenantKey(tenant string) string  { return tenantRoot(tenant) + "tenant" }

func networksRoot(tenant string) string     { return tenantRoot(tenant) + "networks/" }
func networkKey(r intent.NetworkRef) string { return networksRoot(r.Tenant) + r.Network }
func portsRoot(r intent.NetworkRef) string  { return tenantRoot(r.Tenant) + "ports/" + r.Network + "/" }
func portKey(r intent.PortRef) string       { return portsRoot(r.NetworkRef()) + r.Port }

// partsRoot is the root of the parts of one network, or of all networks of a tenant.
func partsRoot(what string, within intent.Reference) string {
	if n, ok := within.(intent.NetworkRef); ok {
		return tenantRoot(n.Tenant) + what + "/" + n.Network + "/"
	}
	return tenantRoot(within.(intent.TenantRef).Tenant) + what + "/"
}

func bindingsRoot(r intent.NetworkRef) string {
	return tenantRoot(r.Tenant) + "bindings/" + r.Network + "/"
}
func peersRoot(r intent.NetworkRef) string         { return tenantRoot(r.Tenant) + "peers/" + r.Network + "/" }
func peerKey(r intent.PeerRef) string              { return peersRoot(r.NetworkRef()) + r.Peer }
func claimsRoot(r intent.PortRef) string           { return bindingsRoot(r.NetworkRef()) + r.Port + "/" }
func bindingKey(r intent.PortRef, h string) string { return claimsRoot(r) + h }

func routesRoot(tenant string) string   { return tenantRoot(tenant) + "routes/" }
func routeKey(r intent.RouteRef) string { return routesRoot(r.Tenant) + prefixName(r.Prefix) }

func natRoot(tenant string) string       { return tenantRoot(tenant) + "nat/" }
func snatRoot(tenant string) string      { return natRoot(tenant) + "snat/" }
func snatKey(r intent.SNATRef) string    { return snatRoot(r.Tenant) + r.External }
func floatingsRoot(tenant string) string { return natRoot(tenant) + "floating/" }
func floatingsOf(r intent.PortRef) string {
	return floatingsRoot(r.Tenant) + r.Network + "/" + r.Port + "/"
}
func floatingKey(r intent.FloatingRef) string   { return floatingsOf(r.PortRef) + r.External }
func forwardsRoot(tenant string) string         { return natRoot(tenant) + "forward/" }
func forwardsOn(tenant, external string) string { return forwardsRoot(tenant) + external + "/" }
func forwardKey(r intent.ForwardRef) string {
	return forwardsOn(r.Tenant, r.External) + protocolPort(r.Protocol, r.Port)
}
func natAddressesRoot(tenant string) string { return natRoot(tenant) + "addresses/" }
func natAddressesOn(r intent.SNATRef) string {
	return natRoot(r.Tenant) + "addresses/" + r.External + "/"
}
func natAddressKey(r intent.SNATRef, host string) string { return natAddressesOn(r) + host }

func externalKey(name string) string { return externalsRoot + name }

func hostKey(host string) string    { return hostsRoot + host }
func aliveKey(host string) string   { return aliveRoot + host }
func appliedKey(host string) string { return appliedRoot + host }

func vrfKey(vrf uint32) string         { return fmt.Sprintf("%s%08d", vrfRoot, vrf) }
func vniKey(vni uint32) string         { return fmt.Sprintf("%s%08d", vniRoot, vni) }
func uuidKey(uuid string) string       { return uuidRoot + uuid }
func vtepKey(a netip.Addr) string      { return vtepRoot + sortable(a) }
func boundHost(host string) string     { return boundRoot + host + "/" }
func claimKey(r intent.PortRef) string { return claimRoot + r.String() }

func peerVTEPRoot(a netip.Addr) string { return peersVTEPs + sortable(a) + "/" }

func peerVTEPKey(a netip.Addr, r intent.NetworkRef) string { return peerVTEPRoot(a) + r.String() }

func addrsOf(r intent.NetworkRef) string { return addrRoot + r.String() + "/" }

func addrKey(r intent.NetworkRef, a netip.Addr) string { return addrsOf(r) + sortable(a) }

func macKey(r intent.NetworkRef, m intent.MAC) string {
	return macRoot + r.String() + "/" + m.String()
}

func numberKey(n uint8) string { return fmt.Sprintf("%s%03d", numbersRoot, n) }

func outsideOf(external string) string { return outsideRoot + external + "/" }

func outsideKey(external string, a netip.Addr) string { return outsideOf(external) + sortable(a) }

func lastOutsideKey(external string) string { return outsideCounter + external }

func usersOf(external string) string { return usersRoot + external + "/" }

// userKey is the key that records that the object at key, below a tenant, is on an
// external.
func userKey(external, key string) string { return usersOf(external) + key[len(tenantsRoot):] }

func targetsIn(r intent.NetworkRef) string { return targetRoot + r.String() + "/" }

func targetsOf(r intent.PortRef) string { return targetRoot + r.String() + "/" }

func targetKey(f intent.Forward) string {
	return targetsOf(f.To) + f.External + "/" + protocolPort(f.Protocol, f.Port)
}

// forwardOfTarget returns the forward that a target key belongs to.
func forwardOfTarget(key string) (intent.ForwardRef, bool) {
	p := strings.Split(strings.TrimPrefix(key, targetRoot), "/")
	if len(p) != 6 {
		return intent.ForwardRef{}, false
	}
	f, ok := forwards.parse(p[0], p[3:])
	return f.Ref(), ok
}

func hostForwardKey(p intent.Protocol, port uint16) string {
	return hostForwards + protocolPort(p, port)
}

func natOfHost(host string) string { return natHosts + host + "/" }

func natHostKey(host string, r intent.SNATRef) string {
	return natOfHost(host) + r.Tenant + "/" + r.External
}

func boundTenant(host, tenant string) string { return boundHost(host) + tenant + "/" }

func boundKey(host string, r intent.PortRef) string { return boundHost(host) + r.String() }

// sortable formats an address so that texts sort as the addresses do: 010.000.000.005,
// fd00:0001:0000:0000:0000:0000:0000:0005.
func sortable(a netip.Addr) string {
	if !a.Is4() {
		return a.StringExpanded()
	}
	b := a.As4()
	return fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3])
}

// parseSortable is the inverse of sortable.
func parseSortable(s string) (netip.Addr, error) {
	if strings.Contains(s, ":") {
		return netip.ParseAddr(s)
	}
	var b [4]byte
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return netip.Addr{}, fmt.Errorf("address %q is malformed", s)
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("address %q is malformed", s)
		}
		b[i] = byte(v)
	}
	return netip.AddrFrom4(b), nil
}

// prefixName formats a prefix as a part of a key: 10.9.0.0_16.
func prefixName(p netip.Prefix) string { return strings.ReplaceAll(p.String(), "/", "_") }

func parsePrefixName(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(strings.ReplaceAll(s, "_", "/"))
	return p, err == nil
}

// protocolPort formats a protocol and port as parts of a key, ordered by number:
// tcp/08080.
func protocolPort(p intent.Protocol, port uint16) string { return fmt.Sprintf("%s/%05d", p, port) }

// portName parses TENANT/NETWORK/PORT, the value of an index key.
func portName(s string) (intent.PortRef, bool) {
	p := strings.Split(s, "/")
	if len(p) != 3 {
		return intent.PortRef{}, false
	}
	return intent.PortRef{Tenant: p[0], Network: p[1], Port: p[2]}, true
}

// classAt returns the class of the object at a key, its tenant, and the parts of the key
// that name it; nil if the key is not an object's.
func classAt(key string) (c class, tenant string, parts []string) {
	rest, ok := strings.CutPrefix(key, tenantsRoot)
	if !ok {
		for prefix, c := range otherRoots {
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				return c, "", strings.Split(rest, "/")
			}
		}
		return nil, "", nil
	}
	p := strings.Split(rest, "/")
	if len(p) < 2 {
		return nil, "", nil
	}
	dir, parts := p[1], p[2:]
	if dir == "nat" && len(parts) > 0 {
		dir, parts = "nat/"+parts[0], parts[1:]
	}
	return tenantDirs[dir], p[0], parts
}

// named returns the object that key names, with only its names set, if a Change can carry
// it. It returns nil for every other key.
func named(key string) intent.Object {
	c, tenant, parts := classAt(key)
	if c == nil {
		return nil
	}
	if o, ok := c.named(tenant, parts); ok {
		return o
	}
	return nil
}

// references returns the references of the objects at keys.
func references(its []kv.Item) []intent.Reference {
	var refs []intent.Reference
	for _, it := range its {
		if o := named(it.Key); o != nil {
			refs = append(refs, o.Reference())
		}
	}
	return refs
}
