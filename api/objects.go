// The client's calls about objects, of all classes.

package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/ovloom/ovloom/intent"
)

// Get returns what the API shows of an object: of most classes the object itself, as
// intent.Peer; of others a Tenant, Network, Port, External, SNAT, Floating, Forward or
// Host of this package.
func Get[V any](ctx context.Context, c *Client, ref intent.Reference) (V, error) {
	var v V
	d, err := classOf(ref.Class())
	if err == nil {
		err = c.do(ctx, http.MethodGet, d.path(ref), nil, nil, &v)
	}
	return v, err
}

// List returns the objects of a class that are part of another object, or of all if that
// is nil, by name. They are shown as objects of the class, but ports and SNATs as a Port
// and a SNAT of this package, and hosts as an intent.HostState.
func List[V any](ctx context.Context, c *Client, class intent.Class, within intent.Reference) ([]V, error) {
	d, err := classOf(class)
	if err != nil {
		return nil, err
	}
	var root string
	if within != nil {
		in, err := classOf(within.Class())
		if err != nil {
			return nil, err
		}
		root = in.path(within)
	}
	var v []V
	path, field := d.listPath(root)
	if field == "" {
		err = c.do(ctx, http.MethodGet, path, nil, nil, &v)
		return v, err
	}
	var all map[string]json.RawMessage
	if err := c.do(ctx, http.MethodGet, path, nil, nil, &all); err != nil {
		return nil, err
	}
	err = json.Unmarshal(all[field], &v)
	return v, err
}

// Add adds an object; the answer holds it as it was stored, and the revision. What the
// user does not choose, such as its id, need not be set.
func (c *Client) Add(ctx context.Context, o intent.Object) (Written, error) {
	ref := o.Reference()
	d, err := classOf(ref.Class())
	if err != nil {
		return Written{}, err
	}
	body, err := d.given(o)
	if err != nil {
		return Written{}, err
	}
	return c.write(ctx, http.MethodPost, d.collection(ref), nil, body)
}

// Set changes fields of an object, by their JSON names: each gets a new value, or with
// nil loses its own. The answer holds the object and the revision. Fields that are not
// named stay as they are.
func (c *Client) Set(ctx context.Context, ref intent.Reference, change map[string]any) (Written, error) {
	d, err := classOf(ref.Class())
	if err != nil {
		return Written{}, err
	}
	return c.write(ctx, http.MethodPatch, d.path(ref), nil, change)
}

// Delete deletes an object. What was deleted is answered even with an error.
func (c *Client) Delete(ctx context.Context, ref intent.Reference, m DeleteMode) (Written, error) {
	d, err := classOf(ref.Class())
	if err != nil {
		return Written{}, err
	}
	return c.write(ctx, http.MethodDelete, d.path(ref), m.query(), nil)
}
