package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOwnerIn(t *testing.T) {
	me := Mark()
	dead := exec.Command("true")
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	gone := ownerOf(dead.Process.Pid)
	if err := dead.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, of string
		mark     string
		alive    bool
	}{
		{"this process", me, me, true},
		{"a host of this process", me + "-3-host1", me, true},
		{"a process that ended", gone + "-1", gone, false},
		// Its pid was reused.
		{"an earlier process with our pid", me + "x-1", me + "x", false},
		{"another program's", "ovloom-1-2", "", false},
		{"a name without a start time", "ovl-12", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark, alive := ownerIn(c.of)
			if mark != c.mark || alive != c.alive {
				t.Errorf("%s: got %q, %v, want %q, %v", c.of, mark, alive, c.mark, c.alive)
			}
		})
	}
}

func TestOwns(t *testing.T) {
	for _, c := range []struct {
		mark, name string
		want       bool
	}{
		{"ovl-1-a", "ovl-1-a", true},
		{"ovl-1-a", "ovl-1-a-2-host1", true},
		{"ovl-1-a-1", "ovl-1-a-10-host1", false},
		{"ovl-1-a-1", "ovl-1-a", false},
	} {
		if got := owns(c.mark, c.name); got != c.want {
			t.Errorf("%s owns %s: got %v", c.mark, c.name, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	h := &Host{Name: "host1", Dir: dir}
	l := &Lab{Hosts: []*Host{h}}
	if err := os.Mkdir(h.LogDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	log := strings.Join([]string{
		"2026-01-01T00:00:00.000Z|00001|bridge|INFO|fine",
		"2026-01-01T00:00:00.000Z|00002|bridge|WARN|bad",
		"2026-01-01T00:00:00.000Z|00003|bridge|ERR|known",
		"time=2026-01-01T00:00:00.000Z level=INFO msg=\"no WARN here\"",
		"time=2026-01-01T00:00:00.000Z level=ERROR msg=broken",
		`{"time":"2026-01-01T00:00:00Z","level":"WARN","msg":"json"}`,
		"WARNING: DATA RACE",
		"panic: runtime error",
	}, "\n")
	if err := os.WriteFile(filepath.Join(h.LogDir(), "x.log"), []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.AllowLog(`\|ERR\|known$`); err != nil {
		t.Fatal(err)
	}
	lines, err := l.warnings()
	if err != nil {
		t.Fatal(err)
	}
	want := `host1 x.log: 2026-01-01T00:00:00.000Z|00002|bridge|WARN|bad
host1 x.log: time=2026-01-01T00:00:00.000Z level=ERROR msg=broken
host1 x.log: {"time":"2026-01-01T00:00:00Z","level":"WARN","msg":"json"}
host1 x.log: WARNING: DATA RACE
host1 x.log: panic: runtime error`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := l.AllowLog("("); err == nil {
		t.Error("a pattern that is no regular expression was taken")
	}
}
