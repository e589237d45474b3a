package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// Every command and every flag is on a page, and troff has no complaints.
func TestManPages(t *testing.T) {
	root := (&program{}).commands()
	all := ""
	groff, err := exec.LookPath("groff")
	for _, page := range manPages(root) {
		all += string(page.text)
		if err != nil {
			continue
		}
		check := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z")
		check.Stdin = bytes.NewReader(page.text)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page.name, err, out)
		}
	}
	eachCommand([]*cli.Command{root}, func(path []*cli.Command) {
		c := path[len(path)-1]
		if len(c.Subcommands) == 0 && !strings.Contains(all, roff(usageLine(path))) {
			t.Errorf("%s is on no page", pathName(path))
		}
		for _, f := range c.Flags {
			if names, _ := flagText(f); !strings.Contains(all, ".B "+roff(names)+"\n") {
				t.Errorf("%s of %s is on no page", names, pathName(path))
			}
		}
	})
	for line := range strings.Lines(all) {
		if strings.HasPrefix(line, "'") {
			t.Errorf("a line begins with a quote: %q", line)
		}
	}
}

func TestWriteManPages(t *testing.T) {
	s := newSession(t)
	dir := t.TempDir()
	if out, errs, code := s.exec("man " + dir); code != exitOK || !strings.Contains(out, "pages written into "+dir) {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if _, errs, code := s.exec("man " + dir + "/none"); code != exitNotFound {
		t.Errorf("into no directory: exit code %d: %s", code, errs)
	}
}
