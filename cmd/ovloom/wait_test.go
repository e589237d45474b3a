package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLateHosts(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1")
	s.host.SetPending("host2", "host3")
	s.run("port add acme/web/c2 --timeout 700ms", "port add acme/web/c3 --timeout 700ms -o json", "port add acme/web/c4 --no-wait", "port add acme/web/c5 --wait=false",
		"network set acme/web --mtu 1400 --timeout 700ms", "port delete acme/web/c4 --timeout 700ms", "port plug acme/web/c1 --netns c1 --timeout 700ms", "port plug acme/web/c2 --netns c2 --no-wait",
		"port list", "tenant delete acme --cascade --timeout 700ms")
	s.golden("late")
}

// reaction is a writer that reacts to each line.
type reaction func(line string)

func (r reaction) Write(b []byte) (int, error) {
	r(string(b))
	return len(b), nil
}

func TestProgressAfterASecond(t *testing.T) {
	s := newSession(t)
	s.host.SetPending("host2", "host3")
	var said []string
	var out strings.Builder
	begin := time.Now()
	code := run([]string{"tenant", "add", "acme"}, strings.NewReader(""), &out, reaction(func(line string) {
		said = append(said, line)
		if len(said) == 1 {
			if early := time.Since(begin); early < patience {
				t.Errorf("it says so after %s", early)
			}
			s.host.SetPending("host3")
		} else {
			s.host.SetPending()
		}
	}), func(k string) string { return s.env[k] })
	if want := []string{"waiting for host2, host3\n", "waiting for host3\n"}; !slices.Equal(said, want) {
		t.Errorf("stderr %q, want %q", said, want)
	}
	if out.String() != "tenant acme added\n" || code != 0 {
		t.Errorf("stdout %q, exit code %d", out.String(), code)
	}
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
