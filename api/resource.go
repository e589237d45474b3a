// Handlers of objects, of all classes.

package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// routes are the routes of a class, in the order of the documentation.
func (d *declared[T, R]) routes() []route {
	title := intent.Title(d.docs.example.Reference())
	all := d.lists()
	if d.add != nil {
		body := d.additions()
		body.copyFrom(d.docs.given)
		all = append(all, route{method: http.MethodPost, path: d.at, summary: d.docs.add, status: http.StatusCreated,
			body: body.pointer(), reply: Written{Revision: d.docs.revisions[0], Object: d.docs.example}, serve: d.serveAdd})
	}
	all = append(all, route{method: http.MethodGet, path: d.at + d.name, summary: d.docs.show,
		reply: shownAs(d.docs.shown, d.docs.example), serve: d.serveShow})
	if d.set != nil {
		body := d.changes()
		for name, v := range d.docs.changed {
			body.give(name, v)
		}
		all = append(all, route{method: http.MethodPatch, path: d.at + d.name, summary: d.docs.set,
			body: body.pointer(), reply: Written{Revision: d.docs.revisions[1], Object: d.docs.example}, serve: d.serveSet})
	}
	return append(all, route{method: http.MethodDelete, path: d.at + d.name, summary: cmp.Or(d.docs.remove, "Delete a "+d.docs.one) + d.docs.gone + ".",
		query: deleteParams, reply: Written{Revision: d.docs.revisions[2], Deleted: append(slices.Clone(d.docs.deleted), title)}, serve: d.serveDelete})
}

func shownAs(view, object any) any {
	if view != nil {
		return view
	}
	return object
}

// lists are the routes at which objects are listed: all, of one tenant, of one network.
func (d *declared[T, R]) lists() []route {
	if d.within != "" {
		return nil
	}
	of := []struct{ path, of string }{{"/v1/" + d.plural(), " of all tenants"}, {"/v1/tenants/{tenant}/" + d.plural(), " of one tenant"}}
	if d.at == of[0].path {
		of = of[:1]
		of[0].of = ""
	} else if d.at != of[1].path {
		of = append(of, struct{ path, of string }{d.at, " of one network"})
	}
	var all []route
	for _, l := range of {
		what := "The " + d.docs.several + l.of
		if l.of == "" {
			what = "All " + d.docs.several
		}
		reply := d.docs.listed
		if reply == nil {
			reply = []any{d.docs.example}
		}
		all = append(all, route{method: http.MethodGet, path: l.path, summary: what + ", by " + cmp.Or(d.docs.by, "name") + ".", reply: reply, serve: d.serveList})
	}
	return all
}

// named returns the reference in a request's path.
func (d *declared[T, R]) named(c *call) (R, error) {
	ref, err := d.ref(c.r.PathValue)
	if err == nil {
		err = ref.Validate()
	}
	return ref, err
}

func (d *declared[T, R]) serveList(s *Server, c *call) (any, error) {
	list := d.list
	if list == nil {
		list = func(ctx context.Context, s *Server, within intent.Reference) ([]intent.Object, error) {
			return s.backend.Store.List(ctx, d.class, within)
		}
	}
	scope, err := d.scope(s, c)
	if err != nil {
		return nil, err
	}
	all := []intent.Object{}
	for _, within := range scope {
		some, err := list(c.r.Context(), s, within)
		if err != nil && (within == nil || !goneMeanwhile(c, err)) {
			return nil, err
		}
		all = append(all, some...)
	}
	order := d.order
	if order == nil {
		order = func(a, b intent.Object) int {
			return slices.CompareFunc(d.values(a.Reference().(R)), d.values(b.Reference().(R)), intent.Natural)
		}
	}
	slices.SortStableFunc(all, order)
	return all, nil
}

// scope returns the objects whose parts a list has.
func (d *declared[T, R]) scope(s *Server, c *call) ([]intent.Reference, error) {
	if !strings.HasPrefix(d.at, "/v1/tenants/") {
		return []intent.Reference{nil}, nil
	}
	tenants, err := s.scope(c)
	if err != nil || c.r.PathValue("network") == "" {
		return tenants, err
	}
	ref, err := networkClass.named(c)
	return []intent.Reference{ref}, err
}

func (d *declared[T, R]) serveAdd(s *Server, c *call) (any, error) {
	body := d.additions()
	if err := c.body(body.pointer()); err != nil {
		return nil, err
	}
	var o T
	body.copyTo(&o)
	if d.place != nil {
		d.place(&o, c.r.PathValue)
	}
	if d.complete != nil {
		d.complete(&o)
	}
	stored, revision, err := s.backend.Store.Add(c.r.Context(), o)
	return Written{Revision: revision, Object: stored}, err
}

func (d *declared[T, R]) serveShow(s *Server, c *call) (any, error) {
	ref, err := d.named(c)
	if err != nil {
		return nil, err
	}
	if d.show != nil {
		return d.show(c.r.Context(), s, ref)
	}
	return s.backend.Store.Get(c.r.Context(), ref)
}

func (d *declared[T, R]) serveSet(s *Server, c *call) (any, error) {
	ref, err := d.named(c)
	if err != nil {
		return nil, err
	}
	body := d.changes()
	if err := c.change(body); err != nil {
		return nil, err
	}
	if len(body.given()) == 0 {
		return nil, intent.Invalidf("nothing is given to change about %s", intent.Title(ref)).WithHint("give at least one of %s", fields(body.pointer()))
	}
	if d.fits != nil {
		var alone T
		body.change(&alone)
		if err := d.fits(ref, alone); err != nil {
			return nil, err
		}
	}
	o, revision, err := s.backend.Store.Set(c.r.Context(), ref, func(o intent.Object) (intent.Object, error) {
		v := o.(T)
		body.change(&v)
		if d.amend != nil {
			if err := d.amend(&v, body.more(d.more)); err != nil {
				return nil, err
			}
		}
		return v, nil
	})
	w := Written{Revision: revision, Object: o}
	if err == nil && d.left != nil && slices.ContainsFunc(body.given(), func(name string) bool { return slices.Contains(d.leftOf, name) }) {
		w.LeftToDo = d.left(c.r.Context(), s, o.(T))
	}
	return w, err
}

func (d *declared[T, R]) serveDelete(s *Server, c *call) (any, error) {
	ref, err := d.named(c)
	if err != nil {
		return nil, err
	}
	cascade, err := queryBool(c.query, "cascade")
	if err != nil {
		return nil, err
	}
	dry, err := queryBool(c.query, "dry-run")
	if err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	if !dry {
		deleted, revision, err := s.backend.Store.Delete(ctx, ref, cascade)
		return Written{Revision: revision, Deleted: deleted}, err
	}
	var users []string
	if d.users != nil {
		users, err = d.users(ctx, s, ref, cascade)
	} else {
		var refs []intent.Reference
		refs, err = s.backend.Store.Users(ctx, ref)
		users = intent.Titles(refs)
	}
	if err != nil {
		return nil, err
	}
	if len(users) > 0 && !cascade {
		return nil, intent.InUseBy(intent.Title(ref), users)
	}
	return Written{Deleted: append(users, intent.Title(ref))}, nil
}

// scope returns the tenants that a list covers: the path's tenant, or all.
func (s *Server) scope(c *call) ([]intent.Reference, error) {
	if c.r.PathValue("tenant") != "" {
		ref, err := tenantClass.named(c)
		return []intent.Reference{ref}, err
	}
	tenants, err := s.backend.Store.List(c.r.Context(), intent.ClassTenant, nil)
	var refs []intent.Reference
	for _, t := range tenants {
		refs = append(refs, t.Reference())
	}
	return refs, err
}

// goneMeanwhile reports whether err only means that one of all tenants was deleted while
// the list was made.
func goneMeanwhile(c *call, err error) bool {
	return c.r.PathValue("tenant") == "" && intent.KindOf(err) == intent.NotFound
}

// list makes an empty list encode as [] rather than null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
