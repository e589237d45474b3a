package underlay

import (
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

func exampleJournal() journal {
	return journal{
		Version: journalVersion,
		Phase:   taking,
		Bridge:  "br-phy",
		Link: hostnet.Link{
			Name: "eth1", MAC: "02:00:00:00:00:01", MTU: 1600, Up: true, Kind: "device",
			Addrs: []hostnet.Addr{
				{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Broadcast: netip.MustParseAddr("192.0.2.255"), Label: "eth1:1"},
				{Prefix: netip.MustParsePrefix("2001:db8::1/64"), Valid: 9000, Preferred: 8000},
			},
			Routes: []hostnet.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.254"), Table: 254}},
		},
		Settings: map[hostnet.Setting]string{hostnet.ARPIgnore: "0", hostnet.DisableIPv6: "0"},
		Offloads: map[string]bool{"rx-gro": true, "rx-lro": false},
	}
}

func TestJournalRoundTrip(t *testing.T) {
	want := exampleJournal()
	b, err := json.Marshal(want)
	must(t, err)
	got, err := parseJournal(b)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestJournalThatCouldNotBeUndoneIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*journal)
		words  string
	}{
		"newer version":                 {func(j *journal) { j.Version = 2 }, "version 2"},
		"unknown phase":                 {func(j *journal) { j.Phase = "stolen" }, "stolen"},
		"interface name with slash":     {func(j *journal) { j.Link.Name = "../all" }, "../all"},
		"interface name that is a path": {func(j *journal) { j.Link.Name = ".." }, `".."`},
		"bridge without a name":         {func(j *journal) { j.Bridge = "" }, `""`},
		"malformed MAC":                 {func(j *journal) { j.Link.MAC = "zz" }, "zz"},
		"address without a prefix":      {func(j *journal) { j.Link.Addrs[0].Prefix = netip.Prefix{} }, "address"},
		"route of two families":         {func(j *journal) { j.Link.Routes[0].Gateway = netip.MustParseAddr("fe80::1") }, "route"},
		"setting of another kind":       {func(j *journal) { j.Settings["ipv4/../../kernel/panic"] = "1" }, "panic"},
		"offload of another kind":       {func(j *journal) { j.Offloads["tx-checksum-ipv4"] = true }, "tx-checksum-ipv4"},
		"setting that is no number":     {func(j *journal) { j.Settings[hostnet.ARPIgnore] = "x" }, "arp_ignore"},
	} {
		t.Run(name, func(t *testing.T) {
			j := exampleJournal()
			c.change(&j)
			b, err := json.Marshal(j)
			must(t, err)
			if _, err := parseJournal(b); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want an error with %q", err, c.words)
			}
		})
	}
}

// A journal that the disk has damaged is read from its copy, and is whole again.
func TestDamagedJournalHasACopy(t *testing.T) {
	for name, damaged := range map[string]string{"emptied": "", "cut": `{"version":1`, "spoilt": `{"version":1,"phase":"stolen"}`} {
		u := New(Config{StateDir: t.TempDir()})
		must(t, u.save(exampleJournal()))
		want, err := u.load()
		must(t, err)
		must(t, os.WriteFile(u.path(), []byte(damaged), 0o600))
		for range 2 {
			got, err := u.load()
			must(t, err)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
			_ = os.Remove(u.sparePath()) // it is not needed any more
		}
		must(t, u.save(exampleJournal()))
		must(t, u.remove())
		if left, _ := os.ReadDir(u.cfg.StateDir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// FuzzJournal checks that what is accepted survives being written and read again,
// and that its steps can be made without a fault.
func FuzzJournal(f *testing.F) {
	b, err := json.Marshal(exampleJournal())
	must(f, err)
	f.Add(b)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"version":1,"phase":"taken","bridge":"br-phy","link":{"name":"eth1","mac":"02:00:00:00:00:01"}}`))
	u := New(Config{})
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := parseJournal(b)
		if err != nil {
			return
		}
		for _, s := range append(u.takeSteps(j), u.returnSteps(j)...) {
			if s.what == "" || s.do == nil {
				t.Errorf("empty step of %+v", j)
			}
		}
		if !isIfName(j.Link.Name) || bridgeMAC(j.Link.MAC) == "" || bridgeMAC(j.Link.MAC) == j.Link.MAC {
			t.Errorf("accepted %+v", j)
		}
		again, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := parseJournal(again); err != nil || !reflect.DeepEqual(normal(j), normal(k)) {
			t.Errorf("%+v became %+v: %v", j, k, err)
		}
	})
}

// normal makes equal what JSON does not tell apart.
func normal(j journal) journal {
	if len(j.Link.Addrs) == 0 {
		j.Link.Addrs = nil
	}
	if len(j.Link.Routes) == 0 {
		j.Link.Routes = nil
	}
	return j
}

// Who asks which card is taken, or what is wrong with it, does not wait for what is being done
// to it, which takes as long as ovs-vswitchd does. A journal that is damaged is read from its
// copy, and left for its owner to mend.
func TestTakenDoesNotWait(t *testing.T) {
	u := New(Config{StateDir: t.TempDir()})
	j := exampleJournal()
	j.Phase, j.Link.Name = taken, "no-such-nic"
	must(t, u.save(j))
	u.mu.Lock()
	defer u.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			if nic, err := u.Taken(); nic != "no-such-nic" || err != nil {
				t.Errorf("taken is %q, %v", nic, err)
			}
			if err := u.Fault(); intent.KindOf(err) != intent.NotFound {
				t.Errorf("fault %v, want NotFound", err)
			}
			must(t, os.WriteFile(u.path(), []byte("damaged"), 0o600))
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the lock")
	}
	if b, err := os.ReadFile(u.path()); string(b) != "damaged" || err != nil {
		t.Errorf("the journal is %q, %v", b, err)
	}
}
