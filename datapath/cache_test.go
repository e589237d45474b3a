package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

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

// fakeKernel answers like generic netlink, or fails.
type fakeKernel struct {
	answer []byte
	err    error
	asked  string
}

func (k *fakeKernel) ask(family string, version, command uint8, payload []byte) ([]byte, error) {
	k.asked = fmt.Sprintf("%s version %d command %d %q", family, version, command, payload)
	return k.answer, k.err
}

// attribute makes one of netlink, with its padding.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// numbers are one after the other in a structure of the kernel.
func numbers(all ...uint64) (b []byte) {
	for _, n := range all {
		b = binary.NativeEndian.AppendUint64(b, n)
	}
	return b
}

func TestCacheStatsOfTheKernel(t *testing.T) {
	header, name := make([]byte, 4), attribute(attrName, []byte("ovs-system\x00"))
	counters := attribute(attrStats, numbers(501, 23, 4, 7))
	masks := binary.NativeEndian.AppendUint32(numbers(1500), 3)
	all := CacheStats{Hits: 501, Misses: 23, Lost: 4, Flows: 7, Masks: 3, MaskHits: 1500}
	for _, c := range []struct {
		name   string
		answer [][]byte
		want   CacheStats
		err    string
	}{
		{"today's", [][]byte{header, name, counters, attribute(attrMegaflows, append(masks, make([]byte, 20)...)), attribute(99, []byte{1})}, all, ""},
		{"before the cache of masks", [][]byte{header, counters, attribute(attrMegaflows, append(masks, 0, 0, 0, 0)), name}, all, ""},
		{"longer structures", [][]byte{header, attribute(attrStats, numbers(501, 23, 4, 7, 99)), attribute(attrMegaflows, append(masks, make([]byte, 40)...))}, all, ""},
		{"without megaflows", [][]byte{header, name, counters}, CacheStats{Hits: 501, Misses: 23, Lost: 4, Flows: 7}, ""},
		{"the last attribute without padding", [][]byte{header, counters, {7, 0, 1, 0, 'a', 'b', 0}}, CacheStats{Hits: 501, Misses: 23, Lost: 4, Flows: 7}, ""},
		{"without counters", [][]byte{header, name}, CacheStats{}, "no counters"},
		{"short counters", [][]byte{header, attribute(attrStats, numbers(501))}, CacheStats{}, "no counters"},
		{"an attribute longer than the answer", [][]byte{header, counters[:20]}, CacheStats{}, "with 20 left"},
		{"an attribute of no length", [][]byte{header, make([]byte, 8)}, CacheStats{}, "says that it has 0 bytes"},
		{"no header", [][]byte{{0}}, CacheStats{}, "has 1 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &fakeKernel{}
			for _, part := range c.answer {
				k.answer = append(k.answer, part...)
			}
			d := &Datapath{kernel: true, cache: kernelCache{k}}
			got, err := d.CacheStats(t.Context())
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %+v, want %+v; error %v, want %q", got, c.want, err, c.err)
			}
			if want := "ovs_datapath version 2 command 3 " + fmt.Sprintf("%q", append(header[:4:4], name...)); k.asked != want {
				t.Errorf("asked %s\nwant  %s", k.asked, want)
			}
		})
	}
}

func TestCacheStatsWithoutADatapath(t *testing.T) {
	d := &Datapath{kernel: true, cache: kernelCache{&fakeKernel{err: unix.ENODEV}}}
	if _, err := d.CacheStats(t.Context()); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "system@ovs-system") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseDatapath(f *testing.F) {
	f.Add(append(make([]byte, 4), attribute(attrStats, numbers(1, 2, 3, 4))...))
	f.Fuzz(func(_ *testing.T, b []byte) { parseDatapath(b) })
}

// The family that lists the families is in every Linux.
func TestAskTheKernel(t *testing.T) {
	name := attribute(2, []byte("nlctrl\x00")) // CTRL_ATTR_FAMILY_NAME
	const getFamily = 3
	got, err := kernel{}.ask("nlctrl", 1, getFamily, name)
	if err != nil || !strings.Contains(string(got), string(name)) {
		t.Errorf("got %q, %v; want one with %q", got, err, name)
	}
	if _, err := (kernel{}).ask("ovloom_nothing", 1, 1, nil); err == nil || !strings.Contains(err.Error(), "is not loaded") {
		t.Errorf("a family that does not exist: %v", err)
	}
	if _, err := (kernel{}).ask("nlctrl", 1, 250, nil); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("a command that does not exist: %v", err)
	}
}
