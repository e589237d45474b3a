// The client's calls about objects, of all classes.

package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/ovloom/ovloom/intent"
)

// Get returns an object as the API shows it: most classes as the object itself, such as
// intent.Peer; the others as a Tenant, Network, Port, External, SNAT, Floating, Forward or
// Host of this package.
func Get[V any](ctx context.Context, c *Client, ref intent.Reference) (V, error) {
	var v V
	d, err := classOf(ref.Class())
	if err == nil {
		err = c.do(ctx, http.MethodGet, d.path(ref), nil, nil, &v)
	}
	return v, err
}

// List returns the objects of a class that are part of another object, or all objects of
// the class if within is nil, by name. The elements are of the class's own type, except
// that ports and SNATs are a Port and a SNAT of this package, and hosts an
// intent.HostState.
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

// Add adds an object; the answer holds the object as stored, and the revision. Fields that
// the store chooses, such as the id, need not be set.
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

// Set changes fields of an object, given by their JSON names: each gets a new value, or
// with nil loses its value. Other fields stay as they are. The answer holds the object and
// the revision.
func (c *Client) Set(ctx context.Context, ref intent.Reference, change map[string]any) (Written, error) {
	d, err := classOf(ref.Class())
	if err != nil {
		return Written{}, err
	}
	return c.write(ctx, http.MethodPatch, d.path(ref), nil, change)
}

// Delete deletes an object. The answer lists what was deleted, even with an error.
func (c *Client) Delete(ctx context.Context, ref intent.Reference, m DeleteMode) (Written, error) {
	d, err := classOf(ref.Class())
	if err != nil {
		return Written{}, err
	}
	return c.write(ctx, http.MethodDelete, d.path(ref), m.query(), nil)
}
