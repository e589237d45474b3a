package store

import (
	"context"
	"slices"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Reader is a store that can be read while it does not answer, as far as this host's
// cached copies go. Changes fail, because a copy cannot decide what is unique. Store is
// required.
type Reader struct {
	*Store

	// Down returns why the store is known not to answer, so that the reader does not wait
	// for it; nil: unknown. A nil function means never.
	Down func() error
	// Copied is called when something was read from a copy, with the copy's revision; ctx
	// is the reader's.
	Copied func(ctx context.Context, revision int64)

	// Lists of hosts wait for Host, unless empty, for a moment after Since, when it began
	// to register: a user who has just started ovloomd looks for it.
	Host  string
	Since time.Time
}

// How long after startup the reader's host may be missing from the list of hosts, and how
// often to check.
const (
	registerPatience = 5 * time.Second
	registerPoll     = 50 * time.Millisecond
)

// Get is Store.Get, or reads a copy. An object that the copies lack may exist all the
// same: then Get returns the store's error.
func (r Reader) Get(ctx context.Context, ref intent.Reference) (intent.Object, error) {
	return fallBack(ctx, r, func() (intent.Object, error) { return r.Store.Get(ctx, ref) },
		func() (intent.Object, int64, bool) { return r.copied(ref) })
}

// List is Store.List, or lists the copies: the tenants that have copies, and hosts without
// their liveness.
func (r Reader) List(ctx context.Context, class intent.Class, within intent.Reference) ([]intent.Object, error) {
	return fallBack(ctx, r, func() ([]intent.Object, error) {
		if class == intent.ClassHost {
			return r.hosts(ctx)
		}
		return r.Store.List(ctx, class, within)
	}, func() ([]intent.Object, int64, bool) { return r.copiedList(class, within) })
}

// Snapshot is Store.Snapshot, or reads the copy.
func (r Reader) Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error) {
	return fallBack(ctx, r, func() (intent.Snapshot, error) { return r.Store.Snapshot(ctx, tenant) },
		func() (intent.Snapshot, int64, bool) {
			snap, ok := r.Copy(tenant)
			return snap, snap.Revision, ok
		})
}

// Externals are the externals that List returns.
func (r Reader) Externals(ctx context.Context) ([]intent.External, error) {
	return intent.AllAs[intent.External](r.List(ctx, intent.ClassExternal, nil))
}

// fallBack asks the store; if it does not answer, it reads the copies.
func fallBack[T any](ctx context.Context, r Reader, ask func() (T, error), find func() (T, int64, bool)) (T, error) {
	var err error
	if r.Down != nil {
		err = r.Down()
	}
	if err == nil {
		var v T
		if v, err = ask(); intent.KindOf(err) != intent.Unavailable {
			return v, err
		}
	}
	v, revision, ok := find()
	if !ok {
		var none T
		return none, err
	}
	if r.Copied != nil {
		r.Copied(ctx, revision)
	}
	return v, nil
}

// copied finds an object in the copies.
func (r Reader) copied(ref intent.Reference) (o intent.Object, revision int64, ok bool) {
	var all []intent.Object
	switch tenant, is := tenantOf(ref); {
	case is && ref == tenant:
		snap, ok := r.Copy(tenant.Tenant)
		return snap.Tenant, snap.Revision, ok
	case is:
		snap, _ := r.Copy(tenant.Tenant)
		all, revision = classes[ref.Class()].of(&snap), snap.Revision
	default:
		all, revision, _ = r.copiedList(ref.Class(), nil)
	}
	i := slices.IndexFunc(all, func(o intent.Object) bool { return o.Reference() == ref })
	if i < 0 {
		return nil, 0, false
	}
	return all[i], revision, true
}

// copiedList lists objects in the copies.
func (r Reader) copiedList(class intent.Class, within intent.Reference) (all []intent.Object, revision int64, ok bool) {
	switch class {
	case intent.ClassTenant:
		return r.copiedTenants()
	case intent.ClassHost:
		u, ok := r.CopiedHosts()
		for _, h := range u.Hosts {
			all = append(all, intent.HostState{Host: h, Unknown: true})
		}
		return all, u.Revision, ok
	case intent.ClassExternal:
		u, ok := r.CopiedExternals()
		return objects(u.Externals), u.Revision, ok
	}
	tenant, is := tenantOf(within)
	if !is {
		return nil, 0, false
	}
	snap, ok := r.Copy(tenant.Tenant)
	if !ok {
		return nil, 0, false
	}
	if within != tenant && !slices.ContainsFunc(classes[within.Class()].of(&snap), func(o intent.Object) bool { return o.Reference() == within }) {
		return nil, 0, false
	}
	all = slices.DeleteFunc(classes[class].of(&snap), func(o intent.Object) bool { return !slices.Contains(above(o.Reference()), within) })
	return all, snap.Revision, true
}

// copiedTenants returns the tenants that have copies, and the oldest revision among them.
func (r Reader) copiedTenants() (all []intent.Object, revision int64, ok bool) {
	for _, name := range r.CopiedTenants() {
		snap, ok := r.Copy(name)
		if !ok {
			continue
		}
		if len(all) == 0 || snap.Revision < revision {
			revision = snap.Revision
		}
		all = append(all, snap.Tenant)
	}
	return all, revision, len(all) > 0
}

// tenantOf returns the tenant that an object is part of, or is.
func tenantOf(ref intent.Reference) (intent.TenantRef, bool) {
	if ref == nil {
		return intent.TenantRef{}, false
	}
	t, ok := append(above(ref), ref)[0].(intent.TenantRef)
	return t, ok
}

// hosts is Store.Hosts, waiting as described at Host.
func (r Reader) hosts(ctx context.Context) ([]intent.Object, error) {
	for {
		list, err := r.Hosts(ctx)
		if err != nil || r.Host == "" || time.Since(r.Since) > registerPatience ||
			slices.ContainsFunc(list, func(h intent.HostState) bool { return h.Name == r.Host && h.Alive }) {
			return objects(list), err
		}
		select {
		case <-time.After(registerPoll):
		case <-ctx.Done():
			return objects(list), nil
		}
	}
}
