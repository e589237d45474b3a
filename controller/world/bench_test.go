package world

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// BenchmarkStart compiles a network of 50,000 ports on 20 hosts and compares it with an empty
// switch, as a host that returns does. It reports the live memory afterwards.
func BenchmarkStart(b *testing.B) {
	const ports, hosts = 50_000, 20
	acme := intent.Tenant{Name: "acme", ID: 1, VRF: 1}
	web := intent.Network{Tenant: "acme", Name: "web", ID: 100, VNI: 10000,
		Subnets: []intent.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Gateway: netip.MustParseAddr("10.0.0.1")}}}.WithDefaults()
	known := []intent.Host{{Name: "host0", ID: 1, VTEP: netip.MustParseAddr("198.18.0.1")}}
	for i := range hosts {
		known = append(known, intent.Host{Name: fmt.Sprint("host", i+1), ID: intent.ID(2 + i), VTEP: netip.AddrFrom4([4]byte{198, 18, 0, byte(2 + i)})})
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := &intent.Snapshot{Tenant: acme, Networks: []intent.Network{web}, Revision: 1}
		for i := range ports {
			p := intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprint("p", i), ID: intent.ID(1000 + i), UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i),
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte((i + 10) >> 16), byte((i + 10) >> 8), byte(i + 10)})}}
			p.MAC = intent.DerivedMAC(p.ID)
			s.Ports = append(s.Ports, p)
			s.Bindings = append(s.Bindings, intent.Binding{Tenant: "acme", Network: "web", Port: p.Name, Host: fmt.Sprint("host", 1+i%hosts), Generation: 1, Up: true})
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		w := newWorld("host0")
		w.SetSwitch(pipeline.Switch{VXLANPort: 2})
		w.SetHosts(known)
		w.Update(intent.SpanUpdate{Tenant: "acme", Revision: 1, Snapshot: s})
		s = nil
		w.Settle()
		mods := w.Target().diff(nil, nil)
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB-alive")
		runtime.KeepAlive(mods)
		mods = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB-world")
		runtime.KeepAlive(w)
		b.StartTimer()
	}
}
