package store

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// WatchTenant delivers all objects of a tenant and then every change, until ctx ends; then
// it returns nil. First comes a Snapshot, then the changes of each revision in turn;
// another Snapshot comes if changes were compacted away before they could be delivered. A
// tenant that does not exist is delivered as Gone, and as a Snapshot once it is added.
//
// WatchTenant calls deliver from one goroutine; deliver may keep its argument. What was
// delivered is also kept on disk (Copy), a little later.
func (s *Store) WatchTenant(ctx context.Context, tenant string, deliver func(intent.SpanUpdate)) error {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return err
	}
	op := "watch tenant " + tenant
	keep := s.kv.NewKeeper(spanCopy(s.stateDir, tenant), tenantRoot(tenant))
	defer keep.Close()
	exists, resume := false, true
	return s.kv.Watch(ctx, op, kv.Watcher{
		Key:  tenantRoot(tenant),
		Opts: []kv.Option{kv.Prefix()},
		Load: func(ctx context.Context) (int64, error) {
			if resume {
				if _, err := s.Ping(ctx); err != nil {
					return 0, err
				}
				resume = false
				if r, ok := s.resume(ctx, op, spanCopy(s.stateDir, tenant), tenantRoot(tenant)); ok && r.snap.Tenant.Name != "" {
					exists = true
					s.reviewed(tenantRoot(tenant), nil)
					keep.Change(slices.Collect(maps.Values(r.changes)), r.revision)
					deliver(intent.SpanUpdate{Tenant: tenant, Revision: r.revision, Snapshot: &r.snap})
					return r.revision, nil
				}
			}
			all, revision, err := s.kv.List(ctx, op, tenantRoot(tenant))
			if err != nil {
				return 0, err
			}
			exists = slices.ContainsFunc(all, func(it kv.Item) bool { return it.Key == tenantKey(tenant) })
			if !exists {
				s.reviewed(tenantRoot(tenant), nil)
				keep.Drop()
				deliver(intent.SpanUpdate{Tenant: tenant, Revision: revision, Gone: true})
				return revision, nil
			}
			snap, bad := snapshotOf(all, revision)
			if len(bad) > 0 {
				all, bad = s.mend(all, spanCopy(s.stateDir, tenant))
				snap, _ = snapshotOf(all, revision)
			}
			s.reviewed(tenantRoot(tenant), bad)
			if snap.Tenant.Name == "" {
				// Without the tenant's VRF, its objects cannot be told apart from another
				// tenant's.
				return 0, intent.Unavailablef("tenant %s cannot be read", tenant)
			}
			keep.Replace(all, revision)
			deliver(intent.SpanUpdate{Tenant: tenant, Revision: revision, Snapshot: &snap})
			return revision, nil
		},
		Changed: func(revision int64, events []kv.Event) (reload bool) {
			if !exists {
				return true
			}
			u := intent.SpanUpdate{Tenant: tenant, Revision: revision}
			var good []kv.Event // the copy keeps the last valid state of the others
			for _, e := range events {
				c, err := changeOf(e)
				if err != nil {
					s.complain([]error{err})
					continue
				}
				s.readable(e.Key)
				good = append(good, e)
				if _, is := c.Object.(intent.Tenant); is && c.Deleted {
					u.Gone, exists = true, false
				}
				u.Changes = append(u.Changes, c)
			}
			if u.Gone {
				keep.Drop()
			} else {
				keep.Change(good, revision)
			}
			deliver(u)
			return false
		},
	})
}

// WatchHosts delivers the list of all registered hosts, at first and after changes, until
// ctx ends; then it returns nil. Changes that come together are delivered as one. The list
// is also kept on disk (CopiedHosts).
func (s *Store) WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error {
	return watchList(ctx, s, "watch hosts", hostsRoot, hostsCopy(s.stateDir), func(revision int64, hosts []intent.Host) {
		deliver(intent.HostsUpdate{Revision: revision, Hosts: hosts})
	})
}

// WatchExternals delivers the list of all externals, as WatchHosts delivers the list of
// hosts. The list is also kept on disk (CopiedExternals).
func (s *Store) WatchExternals(ctx context.Context, deliver func(intent.ExternalsUpdate)) error {
	return watchList(ctx, s, "watch externals", externalsRoot, externalsCopy(s.stateDir), func(revision int64, externals []intent.External) {
		deliver(intent.ExternalsUpdate{Revision: revision, Externals: externals})
	})
}

// watchList delivers all objects below prefix, ordered by key, at first and after changes,
// and keeps them on disk at path.
func watchList[T any](ctx context.Context, s *Store, op, prefix, path string, deliver func(revision int64, all []T)) error {
	keep := s.kv.NewKeeper(path, prefix)
	defer keep.Close()
	objects := map[string]T{}
	tell := func(revision int64) {
		var all []T
		for _, k := range slices.Sorted(maps.Keys(objects)) {
			all = append(all, objects[k])
		}
		deliver(revision, all)
	}
	return s.kv.Watch(ctx, op, kv.Watcher{
		Key:  prefix,
		Opts: []kv.Option{kv.Prefix()},
		Load: func(ctx context.Context) (int64, error) {
			all, revision, err := s.kv.List(ctx, op, prefix)
			if err != nil {
				return 0, err
			}
			all, bad := s.mend(all, path)
			s.reviewed(prefix, bad)
			clear(objects)
			for _, it := range all {
				if o, err := objectOf[T](it); err == nil { // otherwise it is among bad
					objects[it.Key] = o
				}
			}
			keep.Replace(all, revision)
			tell(revision)
			return revision, nil
		},
		Changed: func(revision int64, events []kv.Event) bool {
			var good []kv.Event // the others keep their last valid state
			for _, e := range events {
				if e.Deleted {
					delete(objects, e.Key)
				} else if o, err := objectOf[T](e.Item); err != nil {
					s.complain([]error{err})
					continue
				} else {
					objects[e.Key] = o
				}
				s.readable(e.Key)
				good = append(good, e)
			}
			keep.Change(good, revision)
			tell(revision)
			return false
		},
	})
}

// Resolve returns the port that an interface's external_ids:iface-id means: by UUID, or by
// name as acme/web/c1.
func (s *Store) Resolve(ctx context.Context, ifaceID string) (intent.PortRef, error) {
	k, ref, err := ifaceKey(ifaceID)
	if err != nil {
		return intent.PortRef{}, err
	}
	err = s.kv.Call(ctx, "resolve interface "+ifaceID, func(ctx context.Context) error {
		it, err := s.kv.Get(ctx, k)
		if err != nil {
			return err
		}
		var ok bool
		if ref, ok = resolved(it, ref); !ok {
			return intent.NotFoundf("no port has the name or UUID %s", ifaceID)
		}
		return nil
	})
	return ref, err
}

// WatchResolve delivers the port that an interface's iface-id means, at first and whenever
// it changes; ok is false while the iface-id means no port. It returns nil when ctx ends.
func (s *Store) WatchResolve(ctx context.Context, ifaceID string, deliver func(ref intent.PortRef, ok bool)) error {
	k, given, err := ifaceKey(ifaceID)
	if err != nil {
		return err
	}
	op := "watch interface " + ifaceID
	var told bool
	var lastRef intent.PortRef
	var lastOK bool
	tell := func(it kv.Item) {
		ref, ok := resolved(it, given)
		if told && ref == lastRef && ok == lastOK {
			return
		}
		told, lastRef, lastOK = true, ref, ok
		deliver(ref, ok)
	}
	return s.kv.Watch(ctx, op, kv.Watcher{
		Key: k,
		Load: func(ctx context.Context) (revision int64, err error) {
			err = s.kv.Call(ctx, op, func(ctx context.Context) error {
				v, err := s.kv.Read(ctx, kv.Key(k))
				if err != nil {
					return err
				}
				revision = v.Revision
				tell(v.One(0))
				return nil
			})
			return revision, err
		},
		Changed: func(_ int64, events []kv.Event) bool {
			e := events[len(events)-1]
			if e.Deleted {
				e.Value = nil
			}
			tell(e.Item)
			return false
		},
	})
}

// ifaceKey returns the key that exists while an iface-id means a port, and the
// port if the iface-id is its name.
func ifaceKey(ifaceID string) (string, intent.PortRef, error) {
	if id := strings.ToLower(ifaceID); intent.IsUUID(id) {
		return uuidKey(id), intent.PortRef{}, nil
	}
	ref, err := intent.ParsePortRef(ifaceID)
	if err != nil {
		return "", intent.PortRef{}, intent.Invalidf("interface id %q is neither a UUID nor the name of a port", ifaceID).
			WithHint("set external_ids:iface-id to a port's UUID or to its name, such as acme/web/c1")
	}
	return portKey(ref), ref, nil
}

// resolved returns the port from the key of an iface-id, as read.
func resolved(it kv.Item, byName intent.PortRef) (intent.PortRef, bool) {
	switch {
	case it.Value == nil:
		return intent.PortRef{}, false
	case byName != intent.PortRef{}:
		return byName, true
	}
	ref, ok := portName(string(it.Value))
	return ref, ok && ref.Validate() == nil
}

// snapshotOf decodes all objects below a tenant, on all CPUs. It leaves out objects that
// it cannot decode: one bad object must not block the others.
func snapshotOf(all []kv.Item, revision int64) (intent.Snapshot, []error) {
	parts := make([]decoded, 1+min(runtime.GOMAXPROCS(0)-1, len(all)/resumeFrom))
	var wait sync.WaitGroup
	for i := range parts {
		some := all[i*len(all)/len(parts) : (i+1)*len(all)/len(parts)]
		wait.Go(func() {
			if i == 0 { // the others are appended to it
				parts[i].expect(all)
			} else {
				parts[i].expect(some)
			}
			for _, it := range some {
				parts[i].add(it)
			}
		})
	}
	wait.Wait()
	whole := parts[0]
	for i := range parts[1:] {
		whole.append(&parts[1+i])
	}
	whole.snap.Revision = revision
	return whole.snap, whole.bad
}

// decoded is a part of a snapshot, and the errors of the objects that are missing from it.
type decoded struct {
	snap  intent.Snapshot
	bad   []error
	quick quick
}

// expect makes room for the ports and bindings among items: there may be very many.
func (d *decoded) expect(all []kv.Item) {
	ports, bindings := 0, 0
	for i := range all {
		switch kindOf(all[i].Key) {
		case "ports":
			ports++
		case "bindings":
			bindings++
		}
	}
	d.snap.Ports, d.snap.Bindings = slices.Grow(d.snap.Ports, ports), slices.Grow(d.snap.Bindings, bindings)
}

// kindOf returns the part of the key after the tenant: "ports".
func kindOf(key string) string {
	rest, _ := strings.CutPrefix(key, tenantsRoot)
	_, rest, _ = strings.Cut(rest, "/")
	kind, _, _ := strings.Cut(rest, "/")
	return kind
}

func (d *decoded) add(it kv.Item) {
	switch kindOf(it.Key) {
	case "ports":
		if p, ok := d.quick.port(it.Key, it.Value); ok {
			d.snap.Ports = append(d.snap.Ports, p)
			return
		}
	case "bindings":
		if b, ok := d.quick.binding(it.Key, it.Value); ok {
			d.snap.Bindings = append(d.snap.Bindings, b)
			return
		}
	}
	c, err := changeOf(kv.Event{Item: it})
	if err != nil {
		d.bad = append(d.bad, err)
		return
	}
	if t, is := c.Object.(intent.Tenant); is {
		d.snap.Tenant = t
		return
	}
	classes[c.Object.Reference().Class()].collect(&d.snap, c.Object)
}

// append adds the part that follows d.
func (d *decoded) append(o *decoded) {
	if o.snap.Tenant.Name != "" {
		d.snap.Tenant = o.snap.Tenant
	}
	for _, c := range classes {
		c.concat(&d.snap, &o.snap)
	}
	d.bad = append(d.bad, o.bad...)
}

// changeOf decodes one event.
func changeOf(e kv.Event) (intent.Change, error) {
	if e.Deleted {
		if object := named(e.Key); object != nil {
			return intent.Change{Deleted: true, Object: object}, nil
		}
		return intent.Change{}, &objectError{e.Key, kv.ErrNewer}
	}
	object, err := objectAt(e.Key, e.Value)
	return intent.Change{Object: object}, err
}
