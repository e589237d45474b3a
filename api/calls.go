// The client's methods, one per route.

package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// DeleteMode says how a delete treats what uses the object.
type DeleteMode struct {
	Cascade bool // delete that, too
	DryRun  bool // only list what would be deleted
}

func (m DeleteMode) query() url.Values {
	q := url.Values{}
	if m.Cascade {
		q.Set("cascade", "true")
	}
	if m.DryRun {
		q.Set("dry-run", "true")
	}
	return q
}

// Version returns ovloomd's version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, http.MethodGet, "/v1/version", nil, nil, &v)
	return v, err
}

// Status returns the state of this host.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var v Status
	err := c.do(ctx, http.MethodGet, "/v1/status", nil, nil, &v)
	return v, err
}

// Flows returns the flows of this host's switch that q chooses.
func (c *Client) Flows(ctx context.Context, q FlowQuery) ([]Flow, error) {
	query := url.Values{}
	if q.Object != "" {
		query.Set("object", q.Object)
	}
	if q.Table != "" {
		query.Set("table", q.Table)
	}
	var v []Flow
	err := c.do(ctx, http.MethodGet, "/v1/flows", query, nil, &v)
	return v, err
}

// FlowsDiff returns what this host's switch lacks or has too much, as changes in
// ovs-ofctl's bundle syntax; none if all is right.
func (c *Client) FlowsDiff(ctx context.Context) ([]string, error) {
	var mods []string
	err := c.do(ctx, http.MethodGet, "/v1/flows/diff", nil, nil, &mods)
	return mods, err
}

// Fix sets what the host lacks for tenants to leave through it, such as forwarding
// of packets, and says what it did.
func (c *Client) Fix(ctx context.Context) (Fixed, error) {
	var v Fixed
	err := c.do(ctx, http.MethodPost, "/v1/status/fix", nil, nil, &v)
	return v, err
}

// Health has every live host examine its paths to the others, and returns what they
// found. It takes up to 20 s when something is wrong.
func (c *Client) Health(ctx context.Context) (intent.Health, error) {
	var h intent.Health
	err := c.do(ctx, http.MethodGet, "/v1/health", nil, nil, &h)
	return h, err
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

// WaitApplied waits until every live host that has the tenant has applied the
// revision, and tells progress, if it is not nil, who has not.
func (c *Client) WaitApplied(ctx context.Context, tenant string, revision int64, timeout time.Duration, progress func(pending []string)) error {
	q := url.Values{"revision": {strconv.FormatInt(revision, 10)}}
	return c.waitFor(ctx, tenantPath(tenant)+"/applied", q, timeout, progress)
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

// Plug plugs r.Ref into a workload on this host.
func (c *Client) Plug(ctx context.Context, r PlugRequest) (PlugResult, error) {
	var v PlugResult
	err := c.do(ctx, http.MethodPut, portPath(r.Ref)+"/plug", nil, r, &v)
	return v, err
}

// WaitUp waits until a port plugged on this host has its flows installed.
func (c *Client) WaitUp(ctx context.Context, ref intent.PortRef, timeout time.Duration) error {
	return c.waitFor(ctx, portPath(ref)+"/up", url.Values{}, timeout, nil)
}

// Unplug takes a port away from its workload on this host.
func (c *Client) Unplug(ctx context.Context, ref intent.PortRef) error {
	return c.do(ctx, http.MethodDelete, portPath(ref)+"/plug", nil, nil, &struct{}{})
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

// Leave takes this host out of the overlay; the answer lists the steps.
func (c *Client) Leave(ctx context.Context, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, "/v1/local", m.query(), nil)
}

func (c *Client) write(ctx context.Context, method, path string, query url.Values, body any) (Written, error) {
	var w Written
	err := c.do(ctx, method, path, query, body, &w)
	return w, err
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
