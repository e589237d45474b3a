// The client's calls about objects of one class each.

package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

// TenantSpec is what a user says about a new tenant.
type TenantSpec struct {
	Name string `json:"name"`
}

// NetworkSpec is what a user says about a new network. What is left out is
// chosen by the store: a VNI, and each subnet's first address as its gateway.
type NetworkSpec struct {
	Name     string          `json:"name"`
	Subnets  []intent.Subnet `json:"subnets,omitempty"`
	VNI      uint32          `json:"vni,omitempty"`
	MTU      int             `json:"mtu,omitempty"` // bytes of IP packet
	Unknown  intent.Unknown  `json:"unknown,omitempty"`
	Learning bool            `json:"learning,omitempty"`

	EtherTypes      []intent.EtherType `json:"ethertypes,omitempty"`
	VLANTransparent bool               `json:"vlan_transparent,omitempty"`
	StormLimit      uint32             `json:"storm_limit,omitempty"` // broadcasts a second of each port; 0: 1000; 4294967295: no bound
}

// NetworkChange is what a user wants different about a network; what is nil
// stays as it is, and what is given replaces all that was there.
type NetworkChange struct {
	Subnets  *[]intent.Subnet `json:"subnets,omitempty"`
	MTU      *int             `json:"mtu,omitempty"`
	Unknown  *intent.Unknown  `json:"unknown,omitempty"`
	Learning *bool            `json:"learning,omitempty"`

	EtherTypes      *[]intent.EtherType `json:"ethertypes,omitempty"`
	VLANTransparent *bool               `json:"vlan_transparent,omitempty"`
	StormLimit      *uint32             `json:"storm_limit,omitempty"`
}

// PortSpec is what a user says about a new port. What is left out is chosen by
// the store: an address of each subnet, and a MAC.
type PortSpec struct {
	Name  string       `json:"name"`
	MAC   intent.MAC   `json:"mac,omitempty"`
	Addrs []netip.Addr `json:"addresses,omitempty"`
	Learn int          `json:"learn,omitempty"` // how many unknown MACs may live behind it
}

// PortChange is what a user wants different about a port, like NetworkChange.
type PortChange struct {
	MAC   *intent.MAC   `json:"mac,omitempty"`
	Addrs *[]netip.Addr `json:"addresses,omitempty"`
	Learn *int          `json:"learn,omitempty"`
}

// PeerSpec is what a user says about a new peer.
type PeerSpec struct {
	Name string     `json:"name"`
	VTEP netip.Addr `json:"vtep"`
}

// RouteSpec is what a user says about a new route.
type RouteSpec struct {
	Prefix netip.Prefix `json:"prefix"`
	Via    []netip.Addr `json:"via"`
}

// RouteChange is what a user wants different about a route: next hops that
// replace all that it had.
type RouteChange struct {
	Via *[]netip.Addr `json:"via,omitempty"`
}

// ExternalSpec is what a user says about a new external. What is left out is
// chosen: the range of one of kind host, the gateway, the MTU.
type ExternalSpec struct {
	Name    string              `json:"name"`
	Kind    intent.ExternalKind `json:"kind"`
	Subnet  netip.Prefix        `json:"subnet,omitzero"`
	Gateway netip.Addr          `json:"gateway,omitzero"`
	Bridge  string              `json:"bridge,omitempty"`
	VLAN    uint16              `json:"vlan,omitempty"`
	Pool    intent.AddrRange    `json:"pool,omitzero"`
	MTU     int                 `json:"mtu,omitempty"` // bytes of IP packet
	Allow   []netip.Prefix      `json:"allow,omitempty"`

	Underlay intent.UnderlayAccess `json:"underlay,omitempty"` // kind host; "": deny
}

// ExternalChange is what a user wants different about an external: what tenants
// may reach besides, and no longer; and what replaces what there is, unless it is
// nil.
type ExternalChange struct {
	Allow   []netip.Prefix    `json:"allow,omitempty"`
	NoAllow []netip.Prefix    `json:"no_allow,omitempty"`
	Pool    *intent.AddrRange `json:"pool,omitempty"`
	MTU     *int              `json:"mtu,omitempty"` // bytes of IP packet

	Underlay *intent.UnderlayAccess `json:"underlay,omitempty"`
	VLAN     *uint16                `json:"vlan,omitempty"`
}

// IsZero says whether the change changes nothing.
func (ch ExternalChange) IsZero() bool {
	return len(ch.Allow)+len(ch.NoAllow) == 0 && ch.Pool == nil && ch.MTU == nil && ch.VLAN == nil && ch.Underlay == nil
}

// SNATSpec is what a user says about a new SNAT.
type SNATSpec struct {
	External       string     `json:"external"`
	Address        netip.Addr `json:"address,omitzero"`          // of an external of kind host; chosen, if left out
	MaxConnections uint32     `json:"max_connections,omitempty"` // on one host; 0: 16000; 4294967295: no bound
}

// SNATChange is what a user wants different about a SNAT, like NetworkChange.
type SNATChange struct {
	MaxConnections *uint32 `json:"max_connections,omitempty"`
}

// FloatingSpec is what a user says about a port's new floating address. An
// address that is left out is chosen.
type FloatingSpec struct {
	External string     `json:"external"`
	Address  netip.Addr `json:"address,omitzero"`
}

// ForwardSpec is what a user says about a new forward. An address that is left out
// is the one that the tenant has there, or chosen.
type ForwardSpec struct {
	External string          `json:"external"`
	Address  netip.Addr      `json:"address,omitzero"`
	Protocol intent.Protocol `json:"protocol"`
	Port     uint16          `json:"port"` // outside
	To       intent.PortRef  `json:"to"`
	ToPort   uint16          `json:"to_port"`
}

// Tenants returns all tenants, by name.
func (c *Client) Tenants(ctx context.Context) ([]intent.Tenant, error) {
	var v []intent.Tenant
	err := c.do(ctx, http.MethodGet, "/v1/tenants", nil, nil, &v)
	return v, err
}

// Tenant returns a tenant and what it has.
func (c *Client) Tenant(ctx context.Context, name string) (Tenant, error) {
	var v Tenant
	err := c.do(ctx, http.MethodGet, tenantPath(name), nil, nil, &v)
	return v, err
}

// AddTenant adds a tenant; the answer holds it and the revision.
func (c *Client) AddTenant(ctx context.Context, spec TenantSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, "/v1/tenants", nil, spec)
}

// DeleteTenant deletes a tenant. What was deleted is answered even with an error.
func (c *Client) DeleteTenant(ctx context.Context, name string, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, tenantPath(name), m.query(), nil)
}

// Networks returns the networks of one tenant, or of all if it is "", by name.
func (c *Client) Networks(ctx context.Context, tenant string) ([]intent.Network, error) {
	path := "/v1/networks"
	if tenant != "" {
		path = tenantPath(tenant) + "/networks"
	}
	var v []intent.Network
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
}

// Network returns a network and what it has.
func (c *Client) Network(ctx context.Context, ref intent.NetworkRef) (Network, error) {
	var v Network
	err := c.do(ctx, http.MethodGet, networkPath(ref), nil, nil, &v)
	return v, err
}

// AddNetwork adds a network to a tenant; the answer holds it and the revision.
func (c *Client) AddNetwork(ctx context.Context, tenant string, spec NetworkSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, tenantPath(tenant)+"/networks", nil, spec)
}

// SetNetwork changes a network; the answer holds it and the revision.
func (c *Client) SetNetwork(ctx context.Context, ref intent.NetworkRef, change NetworkChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, networkPath(ref), nil, change)
}

// DeleteNetwork deletes a network. What was deleted is answered even with an error.
func (c *Client) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, networkPath(ref), m.query(), nil)
}

// Ports returns the ports of one network, of one tenant if network is "", or of
// all tenants if that is "", too; by name.
func (c *Client) Ports(ctx context.Context, tenant, network string) ([]Port, error) {
	path := "/v1/ports"
	switch {
	case network != "":
		path = networkPath(intent.NetworkRef{Tenant: tenant, Network: network}) + "/ports"
	case tenant != "":
		path = tenantPath(tenant) + "/ports"
	}
	var v []Port
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
}

// Port returns a port and where it is plugged.
func (c *Client) Port(ctx context.Context, ref intent.PortRef) (Port, error) {
	var v Port
	err := c.do(ctx, http.MethodGet, portPath(ref), nil, nil, &v)
	return v, err
}

// AddPort adds a port to a network; the answer holds it and the revision.
func (c *Client) AddPort(ctx context.Context, network intent.NetworkRef, spec PortSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, networkPath(network)+"/ports", nil, spec)
}

// SetPort changes a port; the answer holds it and the revision.
func (c *Client) SetPort(ctx context.Context, ref intent.PortRef, change PortChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, portPath(ref), nil, change)
}

// DeletePort deletes a port. What was deleted is answered even with an error.
func (c *Client) DeletePort(ctx context.Context, ref intent.PortRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, portPath(ref), m.query(), nil)
}

// Peers returns the peers of one network, of one tenant if network is "", or of
// all tenants if that is "", too; by name.
func (c *Client) Peers(ctx context.Context, tenant, network string) ([]intent.Peer, error) {
	path := "/v1/peers"
	switch {
	case network != "":
		path = networkPath(intent.NetworkRef{Tenant: tenant, Network: network}) + "/peers"
	case tenant != "":
		path = tenantPath(tenant) + "/peers"
	}
	var v []intent.Peer
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
}

// Peer returns a peer.
func (c *Client) Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error) {
	var v intent.Peer
	err := c.do(ctx, http.MethodGet, peerPath(ref), nil, nil, &v)
	return v, err
}

// AddPeer adds a peer to a network; the answer holds it and the revision.
func (c *Client) AddPeer(ctx context.Context, network intent.NetworkRef, spec PeerSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, networkPath(network)+"/peers", nil, spec)
}

// DeletePeer deletes a peer.
func (c *Client) DeletePeer(ctx context.Context, ref intent.PeerRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, peerPath(ref), m.query(), nil)
}

// Hosts returns all registered hosts, by name.
func (c *Client) Hosts(ctx context.Context) ([]intent.HostState, error) {
	var v []intent.HostState
	err := c.do(ctx, http.MethodGet, "/v1/hosts", nil, nil, &v)
	return v, err
}

// Host returns a host and what has to go before it can be removed.
func (c *Client) Host(ctx context.Context, name string) (Host, error) {
	var v Host
	err := c.do(ctx, http.MethodGet, "/v1/hosts/"+url.PathEscape(name), nil, nil, &v)
	return v, err
}

// RemoveHost removes a host that is gone for good.
func (c *Client) RemoveHost(ctx context.Context, name string, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, "/v1/hosts/"+url.PathEscape(name), m.query(), nil)
}

func tenantPath(name string) string { return "/v1/tenants/" + url.PathEscape(name) }

func networkPath(r intent.NetworkRef) string {
	return tenantPath(r.Tenant) + "/networks/" + url.PathEscape(r.Network)
}

func portPath(r intent.PortRef) string {
	return networkPath(r.NetworkRef()) + "/ports/" + url.PathEscape(r.Port)
}

func peerPath(r intent.PeerRef) string {
	return networkPath(r.NetworkRef()) + "/peers/" + url.PathEscape(r.Peer)
}

// SNAT returns a tenant's SNAT and the addresses that hosts have taken for it.
func (c *Client) SNAT(ctx context.Context, ref intent.SNATRef) (SNAT, error) {
	var v SNAT
	err := c.do(ctx, http.MethodGet, snatPath(ref), nil, nil, &v)
	return v, err
}

// AddSNAT lets a tenant's ports out; the answer holds the SNAT and the revision.
func (c *Client) AddSNAT(ctx context.Context, tenant string, spec SNATSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, tenantPath(tenant)+"/snats", nil, spec)
}

// SetSNAT changes a SNAT; the answer holds it and the revision.
func (c *Client) SetSNAT(ctx context.Context, ref intent.SNATRef, change SNATChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, snatPath(ref), nil, change)
}

// DeleteSNAT deletes a SNAT.
func (c *Client) DeleteSNAT(ctx context.Context, ref intent.SNATRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, snatPath(ref), m.query(), nil)
}

// Floating returns a floating address and the port that has it.
func (c *Client) Floating(ctx context.Context, ref intent.FloatingRef) (Floating, error) {
	var v Floating
	err := c.do(ctx, http.MethodGet, floatingPath(ref), nil, nil, &v)
	return v, err
}

// AddFloating gives a port a floating address; the answer holds it and the revision.
func (c *Client) AddFloating(ctx context.Context, port intent.PortRef, spec FloatingSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, portPath(port)+"/floatings", nil, spec)
}

// DeleteFloating takes a floating address from its port.
func (c *Client) DeleteFloating(ctx context.Context, ref intent.FloatingRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, floatingPath(ref), m.query(), nil)
}

// Forward returns a forward and the port that it leads to.
func (c *Client) Forward(ctx context.Context, ref intent.ForwardRef) (Forward, error) {
	var v Forward
	err := c.do(ctx, http.MethodGet, forwardPath(ref), nil, nil, &v)
	return v, err
}

// AddForward adds a forward to a tenant; the answer holds it and the revision.
func (c *Client) AddForward(ctx context.Context, tenant string, spec ForwardSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, tenantPath(tenant)+"/forwards", nil, spec)
}

// DeleteForward deletes a forward.
func (c *Client) DeleteForward(ctx context.Context, ref intent.ForwardRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, forwardPath(ref), m.query(), nil)
}

func snatPath(r intent.SNATRef) string {
	return tenantPath(r.Tenant) + "/snats/" + url.PathEscape(r.External)
}

func floatingPath(r intent.FloatingRef) string {
	return portPath(r.PortRef) + "/floatings/" + url.PathEscape(r.External)
}

func forwardPath(r intent.ForwardRef) string {
	return tenantPath(r.Tenant) + "/forwards/" + url.PathEscape(r.External) + "/" + url.PathEscape(string(r.Protocol)) + "/" + strconv.Itoa(int(r.Port))
}

// Routes returns the static routes of one tenant, or of all if it is "", by
// prefix.
func (c *Client) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	path := "/v1/routes"
	if tenant != "" {
		path = tenantPath(tenant) + "/routes"
	}
	var v []intent.Route
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
}

// Route returns a static route.
func (c *Client) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	var v intent.Route
	err := c.do(ctx, http.MethodGet, routePath(ref), nil, nil, &v)
	return v, err
}

// AddRoute adds a static route to a tenant; the answer holds it and the revision.
func (c *Client) AddRoute(ctx context.Context, tenant string, spec RouteSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, tenantPath(tenant)+"/routes", nil, spec)
}

// SetRoute changes a static route; the answer holds it and the revision.
func (c *Client) SetRoute(ctx context.Context, ref intent.RouteRef, change RouteChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, routePath(ref), nil, change)
}

// DeleteRoute deletes a static route.
func (c *Client) DeleteRoute(ctx context.Context, ref intent.RouteRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, routePath(ref), m.query(), nil)
}

// Externals returns all externals, by name.
func (c *Client) Externals(ctx context.Context) ([]intent.External, error) {
	var v []intent.External
	err := c.do(ctx, http.MethodGet, "/v1/externals", nil, nil, &v)
	return v, err
}

// External returns an external and the addresses of it that are in use.
func (c *Client) External(ctx context.Context, name string) (External, error) {
	var v External
	err := c.do(ctx, http.MethodGet, externalPath(name), nil, nil, &v)
	return v, err
}

// AddExternal adds an external; the answer holds it and the revision.
func (c *Client) AddExternal(ctx context.Context, spec ExternalSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, "/v1/externals", nil, spec)
}

// SetExternal changes an external; the answer holds it and the revision.
func (c *Client) SetExternal(ctx context.Context, name string, change ExternalChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, externalPath(name), nil, change)
}

// DeleteExternal deletes an external. What was deleted is answered even with an error.
func (c *Client) DeleteExternal(ctx context.Context, name string, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, externalPath(name), m.query(), nil)
}

func routePath(r intent.RouteRef) string { return routeClass.path(r) }

func externalPath(name string) string { return externalClass.path(intent.ExternalRef{External: name}) }
