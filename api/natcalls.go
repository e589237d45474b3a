// The client's calls about NAT.

package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

// NAT returns all NAT of one tenant, or of all if it is "", by name.
func (c *Client) NAT(ctx context.Context, tenant string) (NAT, error) {
	path := "/v1/nat"
	if tenant != "" {
		path = tenantPath(tenant) + "/nat"
	}
	var v NAT
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
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
