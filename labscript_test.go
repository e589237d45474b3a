package ovloom_test

// This file tests scripts/lab.sh with programs in place of compiled lab tests.

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fakeLab stands in for the compiled tests of a folder: tests with Flaky in their name
// fail the first time, those with Bad always.
const fakeLab = `#!/bin/sh
for last; do :; done
echo "ran $last in ${PWD##*/}"
case $last in
*Flaky*) [ -e "$0-$last" ] || { touch "$0-$last"; exit 1; } ;;
*Bad*) exit 3 ;;
esac
`

// labScript runs scripts/lab.sh on folders with tests of the given names, and returns what
// it prints, without times, and its exit code.
func labScript(t *testing.T, folders map[string][]string, args ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("scripts/lab.sh")
	if err != nil {
		t.Fatal(err)
	}
	write("scripts/lab.sh", string(script), 0o755)
	for folder, names := range folders {
		source := "func TestMain(m *testing.M) {\nfunc helper(t *testing.T) {\n"
		for _, name := range names {
			source += "func " + name + "(t *testing.T) {\n"
		}
		write("integration/"+folder+"/main_test.go", source, 0o644)
		write("tests/"+folder+".test", fakeLab, 0o755)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "TESTS", filepath.Join(dir, "tests"))
	}
	out, err := exec.Command(filepath.Join(dir, "scripts/lab.sh"), args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		return regexp.MustCompile(` \d+ s\n`).ReplaceAllString(string(out), "\n"), exit.ExitCode()
	}
	return regexp.MustCompile(` \d+ s\n`).ReplaceAllString(string(out), "\n"), 0
}

func TestLabScript(t *testing.T) {
	for _, c := range []struct {
		name    string
		folders map[string][]string
		args    []string
		code    int
		want    string
	}{
		{"folders", map[string][]string{"nat": {"TestNAT"}, "l2": {"TestFlood"}}, []string{"folders"}, 0, "l2\nnat\n"},
		{"folders of some tests", map[string][]string{"nat": {"TestNAT"}, "l2": {"TestFlood"}}, []string{"folders", "^TestNAT$/forward"}, 0, "nat\n"},
		{"the longest first", map[string][]string{"a": {"TestShort", "TestDemo", "TestRandomFaults"}}, []string{"run", "TESTS", "1", "a"}, 0,
			"ok   a TestRandomFaults\nok   a TestDemo\nok   a TestShort\nlabs: 3 tests, 0 failed\n"},
		{"two of one name", map[string][]string{"a": {"TestFlaky"}, "b": {"TestFlaky"}}, []string{"run", "TESTS", "2", "b", "a"}, 0,
			"labs: 2 tests, 0 failed; passed alone the second time: a.TestFlaky b.TestFlaky\n"},
		{"what failed is tried again and shown", map[string][]string{"a": {"TestFlaky", "TestGood"}}, []string{"run", "TESTS", "2", "a"}, 0,
			"labs: once more, alone: a TestFlaky\nok   a TestFlaky\n" +
				"labs: a.TestFlaky passed alone the second time; the first time it printed:\nFAIL a TestFlaky\nran ^TestFlaky$ in a\n" +
				"labs: 2 tests, 0 failed; passed alone the second time: a.TestFlaky\n"},
		{"what fails again is a failure", map[string][]string{"a": {"TestBad", "TestFlaky"}}, []string{"run", "TESTS", "2", "a"}, 1,
			"labs: 2 tests, 1 failed: a.TestBad; passed alone the second time: a.TestFlaky\n"},
		{"four that pass alone only", map[string][]string{"a": {"TestFlaky1", "TestFlaky2", "TestFlaky3", "TestFlaky4"}}, []string{"run", "TESTS", "2", "a"}, 1,
			"labs: more than 3 tests passed alone only: that is not chance\n"},
		{"where many fail none is tried again", map[string][]string{"a": strings.Fields("TestBad1 TestBad2 TestBad3 TestBad4 TestBad5 TestBad6 TestBad7 TestBad8 TestFlaky")},
			[]string{"run", "TESTS", "2", "a"}, 1, "a.TestBad8 a.TestFlaky\n"},
		{"alone from the start", map[string][]string{"a": {"TestFlaky"}}, []string{"run", "TESTS", "1", "a"}, 1, "labs: 1 tests, 1 failed: a.TestFlaky\n"},
		{"no tests", map[string][]string{"a": nil}, []string{"run", "TESTS", "2", "a"}, 1, "labs: 0 tests, 0 failed\n"},
		{"only some", map[string][]string{"a": {"TestOne"}}, []string{"only", "TESTS", "^TestOne$", "a"}, 0, "ran ^TestOne$ in a\n"},
		{"only what is not there", nil, []string{"only", "TESTS", "TestNone"}, 1, "labs: no test matches TestNone\n"},
		{"usage", nil, nil, 2, "lab.sh folders [REGEXP]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.folders == nil {
				c.folders = map[string][]string{"a": {"TestOne"}}
			}
			got, code := labScript(t, c.folders, c.args...)
			if code != c.code || !strings.Contains(got, c.want) {
				t.Errorf("exit code %d, want %d; printed\n%s\nwant in it\n%s", code, c.code, got, c.want)
			}
		})
	}
}
