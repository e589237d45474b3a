package world

import (
	"reflect"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// Every list of a snapshot has a class: a list without one would be ignored silently.
func TestEveryListOfASnapshotHasAClass(t *testing.T) {
	w := newWorld(self)
	lists := 0
	for i := range reflect.TypeFor[intent.Snapshot]().NumField() {
		f := reflect.TypeFor[intent.Snapshot]().Field(i)
		object := f.Type
		if object.Kind() == reflect.Slice {
			object = object.Elem()
		}
		if !object.Implements(reflect.TypeFor[intent.Object]()) {
			continue
		}
		lists++
		if w.classOf[object] == nil {
			t.Errorf("%s: no class for %s", f.Name, object)
		}
	}
	if lists != len(w.classes) {
		t.Errorf("%d classes, but a snapshot has objects of %d", len(w.classes), lists)
	}
}

// Deleting an object that never existed leaves nothing behind and takes nothing from others.
func TestDeletionsOfWhatIsNotThere(t *testing.T) {
	w := newWorld(self)
	w.SetSwitch(pipeline.Switch{VXLANPort: 1})
	w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: intent.Tenant{Name: "acme", ID: 1, VRF: 1}}}})
	empty, _ := w.Recomputed().wanted()
	for _, o := range storedObjects() {
		if _, is := o.(intent.Tenant); is || w.classOf[reflect.TypeOf(o)] == nil {
			continue
		}
		w.Update(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: o, Deleted: true}}})
		acme := w.tenants["acme"]
		if n := len(acme.networks) + len(acme.routes) + len(acme.hops) + len(acme.senders) + acme.nat.count() + len(acme.nat.taken) + len(acme.nat.own) + len(acme.nat.targets) + len(acme.nat.floatingAt); n != 0 {
			t.Errorf("after a deletion of %s: %+v", intent.ObjectName(o), acme)
		}
		u := w.unique
		if n := len(u.networkIDs.first) + len(u.vnis.first) + len(u.portIDs.first) + len(u.peerIDs.first) + len(u.routeIDs.first) + len(u.outer); n != 0 {
			t.Errorf("after a deletion of %s, owned: %+v", intent.ObjectName(o), u)
		}
	}
	flushed(w)
	if flows, _ := w.wanted(); len(flows) != len(empty) || len(w.LeftOut()) != 0 {
		t.Errorf("%d flows, want %d; left out: %v", len(flows), len(empty), w.LeftOut())
	}
}

// When a tenant goes, all that its objects owned exclusively is free.
func TestATenantThatGoesOwnsNothing(t *testing.T) {
	s := newStoredWorld()
	s.all(t)
	s.Update(intent.SpanUpdate{Tenant: "acme", Gone: true})
	u := s.unique
	if n := len(u.tenantIDs.first) + len(u.vrfs.first) + len(u.networkIDs.first) + len(u.vnis.first) + len(u.portIDs.first) + len(u.peerIDs.first) + len(u.routeIDs.first) + len(u.outer); n != 0 {
		t.Errorf("it still owns: %+v", u)
	}
}
