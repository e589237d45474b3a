package hostnet

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

// Without nft(8) the fault is reported, until nft(8) is there.
func TestAMissingNftIsSaid(t *testing.T) {
	addLink(t, "port0")
	ctx := ovstest.Context(t)
	a := NewAside("br-int")
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	_ = a.Keep(ctx, []string{"port0"}, true)
	var told *intent.Error
	if err := a.Fault(); !errors.As(err, &told) || !strings.Contains(told.What, "no nft program") || told.Hint != "install it: apt-get install nftables" {
		t.Errorf("the fault is %v", err)
	}
	t.Setenv("PATH", path)
	must(t, a.Keep(ctx, []string{"port0"}, true))
	if err := a.Fault(); err != nil {
		t.Errorf("with nft there is still a fault: %v", err)
	}
	must(t, a.Remove(ctx))
}

func TestTheHostIsDeafToPorts(t *testing.T) {
	addLink(t, "port0")
	addLink(t, "port1")
	ctx := ovstest.Context(t)
	a := NewAside("br-int")
	rules := func() string {
		t.Helper()
		return out(t, "nft", "list", "table", "inet", a.Table) + out(t, "nft", "list", "table", "arp", a.Table)
	}

	must(t, a.Keep(ctx, nil, true))
	must(t, a.Add(ctx, "port0"))
	if got := rules(); strings.Count(got, `"port0"`) != 2 || strings.Count(got, "drop") != 2 {
		t.Errorf("the rules before the port is there:\n%s", got)
	}
	must(t, a.Keep(ctx, []string{"port0", "port1"}, false))
	if got := rules(); strings.Count(got, `"port1"`) != 2 {
		t.Errorf("the rules with a second port:\n%s", got)
	}
	for _, link := range []string{"port0", "port1"} {
		for _, s := range asideSettings {
			if got, err := Sysctl(s.setting, link); err != nil || got != s.value {
				t.Errorf("%s of %s is %q, %v", s.setting, link, got, err)
			}
		}
	}

	// Another program flushes the ruleset.
	out(t, "nft", "flush", "ruleset")
	must(t, a.Add(ctx, "port2"))
	if got := rules(); strings.Count(got, `"port1"`) != 2 || strings.Count(got, `"port2"`) != 2 {
		t.Errorf("the rules after they had been flushed:\n%s", got)
	}
	must(t, a.Keep(ctx, []string{"port1"}, true))
	if got := rules(); strings.Contains(got, "port0") {
		t.Errorf("the rules without the first port:\n%s", got)
	}
	for range 2 {
		must(t, a.Remove(ctx))
	}
	if got := out(t, "nft", "list", "ruleset"); strings.Contains(got, "ovloom") {
		t.Errorf("left behind:\n%s", got)
	}
}

// The fault is reported while nft(8) hangs, and Keep returns when its context ends.
func TestFaultDoesNotWaitForNft(t *testing.T) {
	a := NewAside("br-int")
	done, err := a.take(t.Context())
	must(t, err)
	told := make(chan error)
	go func() { told <- a.Fault() }()
	select {
	case err := <-told:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := a.Keep(short, nil, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("keep: %v", err)
	}
	must(t, a.Fault())
	done()
	if _, err := a.take(t.Context()); err != nil {
		t.Error(err)
	}
}
