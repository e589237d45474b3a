// The client's calls about this host; objects.go has those about objects.

package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// DeleteMode says how a delete treats the users of the object.
type DeleteMode struct {
	Cascade bool // delete the users, too
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

// FlowsDiff returns the difference between the flows that this host's switch should have
// and those that it has, as changes in ovs-ofctl's bundle syntax; none if they are equal.
func (c *Client) FlowsDiff(ctx context.Context) ([]string, error) {
	var mods []string
	err := c.do(ctx, http.MethodGet, "/v1/flows/diff", nil, nil, &mods)
	return mods, err
}

// Fix corrects what keeps tenants from leaving through this host, such as disabled
// forwarding of packets, and lists what it did.
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

// WaitApplied waits until every live host that has the tenant has applied the revision. It
// calls progress, unless nil, with the hosts that have not.
func (c *Client) WaitApplied(ctx context.Context, tenant string, revision int64, timeout time.Duration, progress func(pending []string)) error {
	q := url.Values{"revision": {strconv.FormatInt(revision, 10)}}
	return c.waitFor(ctx, tenantClass.path(intent.TenantRef{Tenant: tenant})+"/applied", q, timeout, progress)
}

// Plug plugs port r.Ref into a workload on this host.
func (c *Client) Plug(ctx context.Context, r PlugRequest) (PlugResult, error) {
	var v PlugResult
	err := c.do(ctx, http.MethodPut, portClass.path(r.Ref)+"/plug", nil, r, &v)
	return v, err
}

// WaitUp waits until a port plugged on this host has its flows installed.
func (c *Client) WaitUp(ctx context.Context, ref intent.PortRef, timeout time.Duration) error {
	return c.waitFor(ctx, portClass.path(ref)+"/up", url.Values{}, timeout, nil)
}

// Unplug takes a port out of its workload on this host.
func (c *Client) Unplug(ctx context.Context, ref intent.PortRef) error {
	return c.do(ctx, http.MethodDelete, portClass.path(ref)+"/plug", nil, nil, &struct{}{})
}

// Leave takes this host out of the overlay and returns the steps.
func (c *Client) Leave(ctx context.Context, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, "/v1/local", m.query(), nil)
}

func (c *Client) write(ctx context.Context, method, path string, query url.Values, body any) (Written, error) {
	var w Written
	err := c.do(ctx, method, path, query, body, &w)
	return w, err
}
