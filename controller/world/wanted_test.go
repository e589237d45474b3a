package world

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// What is computed in parts on all CPUs equals what the objects give one after the other,
// whether it fits into the preallocated memory or not.
func TestWantedIsWhatObjectsEmit(t *testing.T) {
	for _, addrs := range []int{1, 4} {
		t.Run(fmt.Sprint(addrs, " addresses"), func(t *testing.T) {
			const ports = 3000 // enough for several parts
			s := &intent.Snapshot{Tenant: intent.Tenant{Name: "acme", ID: 1, VRF: 1}, Revision: 1,
				Networks: []intent.Network{intent.Network{Tenant: "acme", Name: "web", ID: 100, VNI: 10000,
					Subnets: []intent.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("10.0.0.1")}}}.WithDefaults()}}
			for i := range ports {
				p := intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprint("p", i), ID: intent.ID(1000 + i), UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i)}
				p.MAC = intent.DerivedMAC(p.ID)
				for a := range addrs {
					p.Addrs = append(p.Addrs, netip.AddrFrom4([4]byte{10, byte(1 + a), byte((i + 10) >> 8), byte(i + 10)}))
				}
				s.Ports = append(s.Ports, p)
				s.Bindings = append(s.Bindings, intent.Binding{Tenant: "acme", Network: "web", Port: p.Name, Host: "host1", Generation: 1, Up: true})
			}
			w := newWorld("host0")
			w.SetSwitch(pipeline.Switch{VXLANPort: 2})
			w.SetHosts([]intent.Host{{Name: "host0", ID: 1, VTEP: netip.MustParseAddr("198.18.0.1")}, {Name: "host1", ID: 2, VTEP: netip.MustParseAddr("198.18.0.2")}})
			w.Update(intent.SpanUpdate{Tenant: "acme", Revision: 1, Snapshot: s})
			w.Settle()

			var want []of.Flow
			w.each(func(o object) { o.emit(collect(&want)) })
			owned := len(want)
			pipeline.Base(w.sw, collect(&want))
			got, _ := w.wanted()
			if w.flowCount != owned {
				t.Errorf("%d flows are counted, want %d", w.flowCount, owned)
			}
			text := func(flows []of.Flow) []string {
				var lines []string
				for i := range flows {
					lines = append(lines, flows[i].String())
				}
				slices.Sort(lines)
				return lines
			}
			if a, b := text(got), text(want); !slices.Equal(a, b) {
				t.Errorf("%d flows are wanted, the objects emit %d", len(a), len(b))
			}
		})
	}
}
