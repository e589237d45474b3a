package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestLateHosts(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1")
	s.overlay.SetPending("host2", "host3")
	s.run("port add acme/web/c2 --timeout 100ms", "port add acme/web/c3 --timeout 100ms -o json", "port add acme/web/c4 --no-wait", "port add acme/web/c5 --wait=false",
		"network set acme/web --mtu 1400 --timeout 100ms", "port delete acme/web/c4 --timeout 100ms", "port plug acme/web/c1 --netns c1 --timeout 100ms", "port plug acme/web/c2 --netns c2 --no-wait",
		"port list", "tenant delete acme --cascade --timeout 100ms")
	s.golden("late")
}

func TestProgressAfterASecond(t *testing.T) {
	s := newSession(t)
	s.overlay.SetPending("host2", "host3")
	first := time.AfterFunc(1300*time.Millisecond, func() { s.overlay.SetPending("host3") })
	defer first.Stop()
	last := time.AfterFunc(1600*time.Millisecond, func() { s.overlay.SetPending() })
	defer last.Stop()
	out, errs, code := s.exec("tenant add acme")
	if want := "waiting for host2, host3\nwaiting for host3\n"; errs != want {
		t.Errorf("stderr %q, want %q", errs, want)
	}
	if out != "tenant acme added\n" || code != 0 {
		t.Errorf("stdout %q, exit code %d", out, code)
	}
	s.overlay.SetPending()
	if _, errs, _ := s.exec("tenant add quick"); errs != "" {
		t.Errorf("a quick command says %q", errs)
	}
}

func TestProgressOnATerminalKeepsToOneLine(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b, "waiting for the hosts")
	p.timer.Stop()
	p.terminal, p.late = true, true
	p.show()
	p.update([]string{"a", "b", "c", "d", "e", "f", "g"})
	p.update([]string{"g"})
	p.end()
	p.update([]string{"too late"})
	want := "\r\x1b[Kwaiting for the hosts" + "\r\x1b[Kwaiting for a, b, c, d, e and 2 more" + "\r\x1b[Kwaiting for g" + "\r\x1b[K"
	if b.String() != want {
		t.Errorf("\n got %q\nwant %q", b.String(), want)
	}
	if isTerminal(io.Discard) {
		t.Error("io.Discard is taken for a terminal")
	}
}
