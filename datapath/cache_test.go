package datapath

import (
	"bytes"
	"errors"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/digitalocean/go-openvswitch/ovsnl"
	"golang.org/x/sys/unix"
)

func TestCacheStatsOfUserspace(t *testing.T) {
	v := &vswitchd{answers: map[string]string{"dpctl/show": "netdev@ovs-netdev:\n  lookups: hit:501 missed:23 lost:4\n  flows: 7\n  port 0: ovs-netdev (tap)\n"}}
	got, err := of(v, false).CacheStats(t.Context())
	if want := (CacheStats{Hits: 501, Misses: 23, Lost: 4, Flows: 7}); err != nil || got != want {
		t.Errorf("got %+v, want %+v; %v", got, want, err)
	}
	v.called(t, "dpctl/show netdev@ovs-netdev")
	for _, bad := range []string{"", "netdev@ovs-netdev:\n  flows: 7\n", "netdev@ovs-netdev:\n  lookups: hit:1 missed:1 lost:99999999999999999999999\n  flows: 7\n"} {
		v.answers["dpctl/show"] = bad
		if got, err := of(v, false).CacheStats(t.Context()); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

// fakeKernel has these datapaths, or fails.
type fakeKernel struct {
	datapaths []ovsnl.Datapath
	err       error
}

func (k fakeKernel) List() ([]ovsnl.Datapath, error) { return k.datapaths, k.err }

func TestCacheStatsOfTheKernel(t *testing.T) {
	other := ovsnl.Datapath{Index: 3, Name: "dp0", Stats: ovsnl.DatapathStats{Hit: 1, Missed: 1, Lost: 1, Flows: 1}}
	ours := ovsnl.Datapath{
		Index: 4, Name: "ovs-system",
		Stats:         ovsnl.DatapathStats{Hit: 501, Missed: 23, Lost: 4, Flows: 7},
		MegaflowStats: ovsnl.DatapathMegaflowStats{MaskHits: 1500, Masks: 3},
	}
	failure := errors.New("no")
	for _, c := range []struct {
		name   string
		kernel fakeKernel
		want   CacheStats
		err    error
	}{
		{"one of two", fakeKernel{datapaths: []ovsnl.Datapath{other, ours}}, CacheStats{Hits: 501, Misses: 23, Lost: 4, Flows: 7, Masks: 3, MaskHits: 1500}, nil},
		{"another's only", fakeKernel{datapaths: []ovsnl.Datapath{other}}, CacheStats{}, unix.ENODEV},
		{"none", fakeKernel{}, CacheStats{}, unix.ENODEV},
		{"failure", fakeKernel{err: failure}, CacheStats{}, failure},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Datapath{kernel: true, cache: kernelCache{c.kernel}}
			got, err := d.CacheStats(t.Context())
			if got != c.want || !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), "system@ovs-system") {
				t.Errorf("got %+v, want %+v; error %v, want %v", got, c.want, err, c.err)
			}
		})
	}
}

// Whatever this machine's kernel has, asking it says nothing but what it returns.
func TestListOfThisKernel(t *testing.T) {
	var said bytes.Buffer
	log.SetOutput(&said)
	defer log.SetOutput(os.Stderr)
	got, err := kernel{}.List()
	if err != nil && (!errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "is not loaded")) {
		t.Errorf("got %+v, %v", got, err)
	}
	if said.Len() > 0 {
		t.Errorf("logs %q", said.String())
	}
}
