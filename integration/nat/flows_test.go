package nat_test

// How many entries NAT needs in the datapath's cache, as the datapath reports it.

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// forgetMegaflows empties a host's datapath's cache.
func forgetMegaflows(o *overlay.Overlay, h *lab.Host) {
	o.T.Helper()
	if _, err := h.Exec(o.T.Context(), "ovs-appctl", "revalidator/purge"); err != nil {
		o.T.Fatal(err)
	}
}

// fewMegaflows checks how many entries a host's datapath has for IPv4, whatever they
// are for.
func fewMegaflows(o *overlay.Overlay, h *lab.Host, most int) {
	o.T.Helper()
	out, err := h.Exec(o.T.Context(), "ovs-appctl", "dpctl/dump-flows", "-m")
	if err != nil {
		o.T.Fatal(err)
	}
	var entries []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "eth_type(0x0800)") {
			entries = append(entries, line)
		}
	}
	if n := len(entries); n == 0 || n > most {
		o.T.Errorf("%d entries in the datapath's cache, want 1 to %d, such as\n%s", n, most, strings.Join(entries[:min(n, 5)], ""))
	}
}

// serve accepts TCP connections and closes them.
func serve(t *testing.T, w *lab.Workload, at netip.AddrPort) {
	t.Helper()
	var l net.Listener
	if err := w.InNetNS(func() (err error) {
		l, err = net.Listen("tcp4", at.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

func TestNATNeedsFewEntries(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	h := o.Hosts[0]
	servers := netip.MustParsePrefix("198.18.0.0/16") // of benchmarks (RFC 2544)
	if _, err := o.Outside.Exec(t.Context(), "ip", "route", "add", "local", servers.String(), "dev", "lo"); err != nil {
		t.Fatal(err)
	}
	const port = 8001
	serve(t, o.Outside.Workload, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	for _, way := range []struct{ tenant, external string }{{"acme", "internet"}, {"umbrella", "campus"}} {
		t.Run(way.external, func(t *testing.T) {
			o := o.With(t)
			from := o.Tenant(way.tenant, h)[0]
			o.SNAT(way.tenant, way.external)
			o.Reaches(from, lab.InternetServer)

			one := netip.AddrPortFrom(lab.InternetServer, port)
			forgetMegaflows(o.Overlay, h)
			for i := range 1000 {
				if err := overlay.ConnectTCP(from.Workload, one, overlay.PollTime); err != nil {
					t.Fatalf("connection %d: %v", i, err)
				}
			}
			fewMegaflows(o.Overlay, h, 20)

			forgetMegaflows(o.Overlay, h)
			for i := range 1000 {
				b := servers.Addr().As4()
				b[2], b[3] = byte(i/250), byte(1+i%250)
				if err := overlay.ConnectTCP(from.Workload, netip.AddrPortFrom(netip.AddrFrom4(b), port), overlay.PollTime); err != nil {
					t.Fatal(fmt.Errorf("destination %d: %w", i, err))
				}
			}
			fewMegaflows(o.Overlay, h, 20)
		})
	}
}
