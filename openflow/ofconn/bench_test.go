package ofconn

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// benchFlows is the number of flows that the benchmarks are about.
const benchFlows = 100_000

// median returns the median of times in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2]) / float64(time.Millisecond)
}

// BenchmarkBesideOfctl installs and dumps the same flows with this package and with
// ovs-ofctl, in turn. Run it with -benchtime 5x.
func BenchmarkBesideOfctl(b *testing.B) {
	s := ovstest.StartBridge(b)
	c := dialOVS(b, s, Config{})
	mods := adds(0, benchFlows)
	var text strings.Builder
	for _, m := range mods {
		fmt.Fprintln(&text, strings.TrimPrefix(m.String(), "flow "))
	}
	file := filepath.Join(b.TempDir(), "flows")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	empty := func() {
		if err := c.Apply(b.Context(), []openflow.Mod{&openflow.FlowMod{
			Command: openflow.FlowDelete, Flow: openflow.Flow{Table: openflow.TableAll}}}); err != nil {
			b.Fatal(err)
		}
	}
	timed := func(to *[]time.Duration, f func()) {
		start := time.Now()
		f()
		*to = append(*to, time.Since(start))
	}
	var install, ofctlInstall, dump, ofctlDump []time.Duration
	for b.Loop() {
		empty()
		timed(&ofctlInstall, func() { s.Ofctl("--bundle", "add-flows", "br0", file) })
		empty()
		timed(&install, func() {
			if err := c.Apply(b.Context(), mods); err != nil {
				b.Fatal(err)
			}
		})
		timed(&ofctlDump, func() { s.Ofctl("dump-flows", "br0") })
		timed(&dump, func() {
			flows, err := c.Flows(b.Context(), FlowFilter{})
			if err != nil || len(flows) != benchFlows {
				b.Fatalf("%d flows, %v", len(flows), err)
			}
		})
	}
	b.ReportMetric(median(install), "install-ms")
	b.ReportMetric(median(ofctlInstall), "ofctl-install-ms")
	b.ReportMetric(median(ofctlInstall)/median(install), "install-ratio")
	b.ReportMetric(median(dump), "dump-ms")
	b.ReportMetric(median(ofctlDump), "ofctl-dump-ms")
	b.ReportMetric(median(ofctlDump)/median(dump), "dump-ratio")
}

// BenchmarkEncodeChunk is what this side does for a bundle: nothing is allocated for
// each flow.
func BenchmarkEncodeChunk(b *testing.B) {
	c := &Conn{cfg: Config{}.withDefaults(), nextXID: 1}
	mods := adds(0, DefaultChunkMods)
	b.ReportAllocs()
	for b.Loop() {
		ch, buf, _, bad := c.encodeChunk(mods)
		if bad != nil {
			b.Fatal(bad)
		}
		c.forget(ch.call)
		c.buffers.Put(&buf)
		b.SetBytes(int64(len(buf)))
	}
}

// BenchmarkDecodeFlows is what this side does for a part of a dump.
func BenchmarkDecodeFlows(b *testing.B) {
	part := slices.Repeat(flowDesc, 1000)
	b.SetBytes(int64(len(part)))
	b.ReportAllocs()
	for b.Loop() {
		if flows, err := ofp.DecodeFlowStats(part); err != nil || len(flows) != 1000 {
			b.Fatal(len(flows), err)
		}
	}
}
