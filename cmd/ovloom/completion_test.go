package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be ovloom, for the shell that completion_test starts.
func TestMain(m *testing.M) {
	if os.Getenv("OVLOOM_TEST_IS_OVLOOM") != "" {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
	}
	os.Exit(m.Run())
}

func TestComplete(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "tenant add umbrella", "network add acme/web --subnet 10.0.0.0/24", "network add acme/db", "port add acme/web/c1", "port add acme/web/c2", "peer add acme/web/tor1 --vtep 192.0.2.40",
		"route add acme 10.9.0.0/16 --via 10.0.0.7", "external add internet --host", "external add campus --bridge br-ex --subnet 203.0.113.0/24 --pool 203.0.113.10-203.0.113.20", "nat forward add acme --external internet --tcp 8080 --to acme/web/c1:80", "nat forward add acme --external internet --udp 53 --to acme/web/c1:53")
	for _, tc := range []struct {
		name  string
		words []string
		want  string
	}{
		{"nouns", []string{""}, "tenant network port peer route external nat host store status doctor trace flows connections macs cert version completion man"},
		{"part of a noun", []string{"te"}, "tenant"},
		{"verbs", []string{"host", ""}, "list show remove leave"},
		{"verbs after a flag", []string{"-o", "json", "host", "l"}, "list leave"},
		{"flags", []string{"port", "plug", "acme/web/c1", "--"}, "--netns --pid --container --tap --ifname --no-default-route --take --force --socket --output --timeout --wait --no-wait --help"},
		{"flags of the root", []string{"--w"}, "--wait"},
		{"value", []string{"tenant", "list", "-o", ""}, "json table"},
		{"value after =", []string{"tenant", "list", "--output=j"}, "--output=json"},
		{"value after = as bash splits it", []string{"tenant", "list", "--output", "="}, "json table"},
		{"part of a value as bash splits it", []string{"network", "add", "acme/x", "--unknown", "=", "f"}, "flood"},
		{"argument after a value as bash splits it", []string{"tenant", "show", "--output", "=", "json", ""}, "acme umbrella"},
		{"value that is not completed", []string{"port", "add", "acme/web/c3", "--ip", ""}, ""},
		{"tenant", []string{"tenant", "show", ""}, "acme umbrella"},
		{"tenant of a network", []string{"network", "show", ""}, "acme/ umbrella/"},
		{"network", []string{"network", "show", "acme/"}, "acme/db acme/web"},
		{"network of a port", []string{"port", "show", "acme/w"}, "acme/web/"},
		{"port", []string{"port", "show", "acme/web/"}, "acme/web/c1 acme/web/c2"},
		{"peer", []string{"peer", "show", "acme/web/"}, "acme/web/tor1"},
		{"port after its flags", []string{"port", "plug", "--netns", "x", "acme/web/"}, "acme/web/c1 acme/web/c2"},
		{"tenant or more", []string{"port", "list", "a"}, "acme acme/"},
		{"network or more", []string{"flows", "acme/w"}, "acme/web acme/web/"},
		{"tenant of a new network", []string{"network", "add", "a"}, "acme/"},
		{"a new network's name is open", []string{"network", "add", "acme/"}, ""},
		{"a new tenant's name is open", []string{"tenant", "add", ""}, ""},
		{"host", []string{"host", "remove", "h"}, "host1 host2"},
		{"tenant of a route", []string{"route", "add", "a"}, "acme"},
		{"prefix of a new route is open", []string{"route", "add", "acme", ""}, ""},
		{"prefix", []string{"route", "show", "acme", "10"}, "10.9.0.0/16"},
		{"prefix of another tenant", []string{"route", "show", "umbrella", ""}, ""},
		{"more than a prefix", []string{"route", "show", "acme", "10.9.0.0/16", ""}, ""},
		{"external", []string{"external", "show", ""}, "campus internet"},
		{"a new external's name is open", []string{"external", "add", ""}, ""},
		{"verbs of a noun in a noun", []string{"nat", "snat", ""}, "add set list show delete"},
		{"tenant of a snat", []string{"nat", "snat", "add", "u"}, "umbrella"},
		{"external of a snat", []string{"nat", "snat", "add", "acme", "--external", "i"}, "internet"},
		{"port of a floating address", []string{"nat", "floating", "add", "acme/web/"}, "acme/web/c1 acme/web/c2"},
		{"port that a forward leads to", []string{"nat", "forward", "add", "acme", "--to", "acme/web/"}, "acme/web/c1: acme/web/c2:"},
		{"network that a forward leads to", []string{"nat", "forward", "add", "acme", "--to=acme/w"}, "--to=acme/web/"},
		{"forwarded port", []string{"nat", "forward", "delete", "acme", "--udp", ""}, "53"},
		{"a new forwarded port is open", []string{"nat", "forward", "add", "acme", "--tcp", ""}, ""},
		{"port to trace to", []string{"trace", "acme/web/c1", "acme/web/"}, "acme/web/c1 acme/web/c2"},
		{"member of the store", []string{"store", "member", "remove", ""}, "host1 http://192.0.2.2:2380"},
		{"shell", []string{"completion", ""}, "bash fish zsh"},
		{"where a packet goes", []string{"trace", "acme/web/c1", "acme/web/"}, "acme/web/c1 acme/web/c2"},
		{"too many arguments", []string{"network", "set", "acme/web", ""}, ""},
		{"another name", []string{"tenant", "show", "acme", "u"}, "umbrella"},
		{"nonsense", []string{"frob", ""}, ""},
		{"deeper than names go", []string{"port", "show", "acme/web/c1/x/"}, ""},
		{"deeper than a tenant", []string{"tenant", "show", "acme/"}, ""},
		{"deeper than a list goes", []string{"network", "list", "acme/"}, ""},
		{"value of a flag that is true or false", []string{"external", "add", "internet", "--host="}, ""},
		{"unknown tenant", []string{"network", "show", "nobody/"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, errs strings.Builder
			code := run(append([]string{completeCommand}, tc.words...), strings.NewReader(""), &out, &errs, func(k string) string { return s.env[k] })
			if got := strings.Join(strings.Fields(out.String()), " "); got != tc.want || errs.String() != "" || code != 0 {
				t.Errorf("got %q, want %q; stderr %q, exit code %d", got, tc.want, errs.String(), code)
			}
		})
	}
}

func TestCompleteIsSilentWithoutDaemon(t *testing.T) {
	s := newSession(t)
	s.env["OVLOOM_SOCKET"] = "/nonexistent"
	for _, words := range [][]string{{"tenant", "show", ""}, {"host", "show", ""}, {"flows", "a/b/"}, {"port", "show", "--socket", "/x", "a/"}, {}} {
		var out, errs strings.Builder
		code := run(append([]string{completeCommand}, words...), strings.NewReader(""), &out, &errs, func(k string) string { return s.env[k] })
		if errs.String() != "" || code != 0 {
			t.Errorf("%q: stderr %q, exit code %d", words, errs.String(), code)
		}
	}
}

// TestBash presses TAB in a real bash: it sets what bash sets, calls the
// function that the script registers, and prints what that offers.
func TestBash(t *testing.T) {
	s := newSession(t)
	s.run("tenant add acme", "tenant add umbrella", "network add acme/web --subnet 10.0.0.0/24", "port add acme/web/c1", "external add internet --host")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "ovloom")); err != nil {
		t.Fatal(err)
	}
	const press = `
set -eu
source <(ovloom completion bash)
compopt() { echo "compopt $*"; } # the real one works only while TAB is pressed
complete -p ovloom
COMP_WORDS=(ovloom "$@")
COMP_CWORD=$#
_ovloom ovloom "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$((COMP_CWORD-1))]}"
printf '%s\n' "${COMPREPLY[@]:-}"
`
	tab := func(t *testing.T, words ...string) string {
		cmd := exec.Command("bash", append([]string{"--norc", "-c", press, "bash"}, words...)...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "OVLOOM_TEST_IS_OVLOOM=1", "OVLOOM_SOCKET="+s.socket)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		head, offered, _ := strings.Cut(string(out), "\n")
		if head != "complete -F _ovloom ovloom" {
			t.Fatalf("bash has no completion for ovloom: %s", out)
		}
		return strings.Join(strings.Fields(offered), " ")
	}
	for _, tc := range []struct {
		words []string
		want  string
	}{
		{[]string{"ten"}, "tenant"},
		{[]string{"tenant", ""}, "add list show delete"},
		{[]string{"port", "show", "acme/web/"}, "acme/web/c1"},
		{[]string{"network", "add", "acme/x", "--unknown", "=", "d"}, "drop"},
		{[]string{"network", "add", "u"}, "compopt -o nospace umbrella/"},
		{[]string{"external", "show", "i"}, "internet"},
		{[]string{"nat", "forward", "add", "acme", "--to", "acme/web/"}, "compopt -o nospace acme/web/c1:"},
		{[]string{"frob", ""}, ""},
	} {
		if got := tab(t, tc.words...); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.words, got, tc.want)
		}
	}
}

func TestCompletionScriptsCallTheHiddenCommand(t *testing.T) {
	s := newSession(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, _, code := s.exec("completion " + shell)
		if code != 0 || !strings.Contains(out, completeCommand) || !strings.HasPrefix(out, "#") {
			t.Errorf("%s: exit code %d: %s", shell, code, out)
		}
	}
	if !slices.Equal(shells(), []string{"bash", "fish", "zsh"}) {
		t.Error(shells())
	}
}
