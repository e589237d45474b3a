// The flows of the switch, each with its object, in words.

package status

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
)

// Observer reads the switch's actual state. Every field is required.
type Observer struct {
	Bridge     string // the integration bridge
	Controller Controller
	Switch     Switch

	// Interfaces returns the interfaces of the integration bridge, and Hosts all hosts of the
	// overlay. If Hosts fails, VTEPs appear without host names.
	Interfaces func() []ovsdb.Interface
	Hosts      func(ctx context.Context) ([]intent.HostState, error)

	// Zones returns the conntrack zones by owner, and Connections the connections of a zone,
	// one per line.
	Zones       func(ctx context.Context) (map[string]uint16, error)
	Connections func(ctx context.Context, zone uint16) ([]string, error)
}

// Flows implements api.Backend. It returns the switch's actual flows, not the wanted ones.
func (o *Observer) Flows(ctx context.Context, q api.FlowQuery) ([]api.Flow, error) {
	filter := ofconn.FlowFilter{}
	if q.Table != "" {
		t := pipeline.TableByName(q.Table)
		if t == nil {
			return nil, intent.Invalidf("table %q does not exist", q.Table).WithHint("the tables are %s", tableNames())
		}
		filter.Tables = []uint8{t.ID}
	}
	objects, err := o.Controller.Objects(ctx)
	if err != nil {
		return nil, err
	}
	if q.Object != "" && !anyConcerns(objects, q.Object) {
		return nil, intent.NotFoundf("no flow on this host is about %s", q.Object).
			WithHint("this host has flows of a tenant as soon as one of its ports is plugged here")
	}
	var list []api.Flow
	dumped, err := o.Switch.Flows(ctx, filter)
	if err != nil {
		return nil, err
	}
	dumped = slices.DeleteFunc(dumped, func(f of.FlowStats) bool {
		return q.Object != "" && !concerns(pipeline.Cookie(f.Cookie), objects[pipeline.Cookie(f.Cookie)], q.Object)
	})
	slices.SortFunc(dumped, func(a, b of.FlowStats) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Flow.String(), b.Flow.String()))
	})
	owners := map[pipeline.Cookie]bool{}
	for _, f := range dumped {
		owners[pipeline.Cookie(f.Cookie)] = true
	}
	notes, err := o.Controller.Notes(ctx, owners)
	if err != nil {
		return nil, err
	}
	for _, f := range dumped {
		owner := pipeline.Cookie(f.Cookie)
		list = append(list, api.Flow{
			Table: tableName(f.Table), Object: cmp.Or(objects[owner], "unknown"),
			Text: f.Flow.String(), Words: notes.Of(f.Flow), Packets: f.Packets, Bytes: f.Bytes,
		})
	}
	return list, nil
}

// FlowsDiff implements api.Backend.
func (o *Observer) FlowsDiff(ctx context.Context) ([]string, error) {
	mods, clashes, err := o.Controller.Compare(ctx)
	if err != nil {
		return nil, err
	}
	var lines []string
	lines = append(lines, clashes...)
	for _, m := range mods {
		lines = append(lines, m.String())
	}
	return lines, nil
}

// concerns reports whether an object, such as "port acme/web/c1" or "route acme 10.9.0.0/16",
// is, or belongs to, about: acme, acme/web or acme/web/c1.
func concerns(owner pipeline.Cookie, object, about string) bool {
	names, ok := strings.CutPrefix(object, owner.Kind().String()+" ")
	if !ok { // "table fork"
		_, names, _ = strings.Cut(object, " ")
	}
	return slices.ContainsFunc(strings.Fields(names), func(name string) bool {
		return name == about || strings.HasPrefix(name, about+"/")
	})
}

// anyConcerns reports whether any object concerns the name.
func anyConcerns(objects map[pipeline.Cookie]string, about string) bool {
	for owner, object := range objects {
		if concerns(owner, object, about) {
			return true
		}
	}
	return false
}

func tableName(id uint8) string {
	if t := pipeline.TableByID(id); t != nil {
		return t.Name
	}
	return "unknown"
}

func tableNames() string {
	var names []string
	for _, t := range pipeline.Tables() {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}
