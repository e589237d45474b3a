package world

import (
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// Objects names the objects whose flows the switch has, by the flows' cookies: "port
// acme/web/c1".
func (w *World) Objects() map[pipeline.Cookie]string {
	names := map[pipeline.Cookie]string{}
	for _, t := range pipeline.Tables() {
		names[pipeline.MakeCookie(pipeline.KindBase, intent.ID(t.ID))] = "table " + t.Name
	}
	for _, r := range pipeline.Reasons() {
		names[pipeline.MakeCookie(pipeline.KindReason, intent.ID(r))] = "reason " + r.String()
	}
	w.each(func(o object) {
		name := o.name()
		names[o.cookie()] = name
		_, ref, _ := strings.Cut(name, " ")
		for _, c := range o.learned() {
			names[c] = c.Kind().String() + " " + ref
		}
	})
	return names
}

// Emitters returns functions that emit the flows, with their notes, of the objects
// behind these cookies. An emitter depends on the switch's state, so it must be called
// in the World's goroutine.
func (w *World) Emitters(owners map[pipeline.Cookie]bool) []func(pipeline.Emit) {
	emitters := []func(pipeline.Emit){func(emit pipeline.Emit) { pipeline.Base(w.sw, emit) }}
	for _, o := range w.all() {
		if owners[o.cookie()] {
			emitters = append(emitters, func(emit pipeline.Emit) { o.emit(emit) })
		}
	}
	return emitters
}
