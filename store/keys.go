package store

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// The key layout that doc.go maps.
const (
	root        = "/ovloom/v1/"
	tenantsRoot = root + "t/"
	hostsRoot   = root + "hosts/"
	aliveRoot   = root + "alive/"
	appliedRoot = root + "applied/"
	// Apart, so that those who wait to be asked are not told of every report.
	examineAsked   = root + "examine/asked/"
	examineReports = root + "examine/reports/"
	indexRoot      = root + "i/"
	vrfRoot        = indexRoot + "vrf/"
	vniRoot        = indexRoot + "vni/"
	uuidRoot       = indexRoot + "port/"
	addrRoot       = indexRoot + "addr/"
	macRoot        = indexRoot + "mac/"
	vtepRoot       = indexRoot + "vtep/"
	peersVTEPs     = indexRoot + "peer/"
	boundRoot      = indexRoot + "bound/"
	counterRoot    = root + "c/"
	claimRoot      = counterRoot + "claim/"
)

func tenantRoot(tenant string) string { return tenantsRoot + tenant + "/" }
func tenantKey(tenant string) string  { return tenantRoot(tenant) + "tenant" }

func networksRoot(tenant string) string     { return tenantRoot(tenant) + "networks/" }
func networkKey(r intent.NetworkRef) string { return networksRoot(r.Tenant) + r.Network }
func portsRoot(r intent.NetworkRef) string  { return tenantRoot(r.Tenant) + "ports/" + r.Network + "/" }
func portKey(r intent.PortRef) string       { return portsRoot(r.NetworkRef()) + r.Port }
func bindingsRoot(r intent.NetworkRef) string {
	return tenantRoot(r.Tenant) + "bindings/" + r.Network + "/"
}
func peersRoot(r intent.NetworkRef) string         { return tenantRoot(r.Tenant) + "peers/" + r.Network + "/" }
func peerKey(r intent.PeerRef) string              { return peersRoot(r.NetworkRef()) + r.Peer }
func claimsRoot(r intent.PortRef) string           { return bindingsRoot(r.NetworkRef()) + r.Port + "/" }
func bindingKey(r intent.PortRef, h string) string { return claimsRoot(r) + h }

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

func addrKey(r intent.NetworkRef, a netip.Addr) string {
	return addrRoot + r.String() + "/" + sortable(a)
}

func macKey(r intent.NetworkRef, m intent.MAC) string {
	return macRoot + r.String() + "/" + m.String()
}

func boundTenant(host, tenant string) string { return boundHost(host) + tenant + "/" }

func boundKey(host string, r intent.PortRef) string { return boundHost(host) + r.String() }

// sortable writes an address so that the order of the texts is that of the
// addresses: 010.000.000.005, fd00:0001:0000:0000:0000:0000:0000:0005.
func sortable(a netip.Addr) string {
	if !a.Is4() {
		return a.StringExpanded()
	}
	b := a.As4()
	return fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3])
}

// parseSortable reads what sortable wrote.
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

// portName reads TENANT/NETWORK/PORT, the value of an index key.
func portName(s string) (intent.PortRef, bool) {
	p := strings.Split(s, "/")
	if len(p) != 3 {
		return intent.PortRef{}, false
	}
	return intent.PortRef{Tenant: p[0], Network: p[1], Port: p[2]}, true
}

// named returns the object that key names, with nothing set but its names: a
// Tenant, Network, Port, Binding, Peer or Host. It returns nil for every other key.
func named(key string) any {
	if host, ok := strings.CutPrefix(key, hostsRoot); ok {
		return intent.Host{Name: host}
	}
	rest, ok := strings.CutPrefix(key, tenantsRoot)
	if !ok {
		return nil
	}
	p := strings.Split(rest, "/")
	switch {
	case len(p) == 2 && p[1] == "tenant":
		return intent.Tenant{Name: p[0]}
	case len(p) == 3 && p[1] == "networks":
		return intent.Network{Tenant: p[0], Name: p[2]}
	case len(p) == 4 && p[1] == "ports":
		return intent.Port{Tenant: p[0], Network: p[2], Name: p[3]}
	case len(p) == 4 && p[1] == "peers":
		return intent.Peer{Tenant: p[0], Network: p[2], Name: p[3]}
	case len(p) == 5 && p[1] == "bindings":
		return intent.Binding{Tenant: p[0], Network: p[2], Port: p[3], Host: p[4]}
	}
	return nil
}
