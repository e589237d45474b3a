package lab

// This file makes the image of a host from this machine's programs: no registry is needed, and
// Open vSwitch is the same in containers and outside.

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// imagePrograms are copied with their libraries. Busybox provides the rest, but its shell would
// prefer its own ip and others to those in the image.
var imagePrograms = []string{
	"ovs-vswitchd", "ovsdb-server", "ovsdb-client", "ovs-vsctl", "ovs-ofctl", "ovs-appctl",
	"ip", "ethtool", "nft", "nsenter", "sh", "busybox",
}

// makeImage imports the image into the engine.
func (e *engine) makeImage(ctx context.Context) error {
	e.image = "ovloom-lab:" + engineMark()
	line := e.command("import", "--change", "LABEL "+engineLabel+"="+engineMark(), "-", e.image)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.SysProcAttr = ownGroup()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	wrote := errors.Join(writeImage(ctx, stdin), stdin.Close())
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("make image: %w: %s", errors.Join(wrote, err), said.String())
	}
	if wrote != nil {
		return fmt.Errorf("make image: %w", wrote)
	}
	return nil
}

// writeImage writes the files of a host as a tar archive.
func writeImage(ctx context.Context, w io.Writer) error {
	files, err := imageFiles(ctx)
	if err != nil {
		return err
	}
	applets, err := output(ctx, "busybox", "--list")
	if err != nil {
		return err
	}
	t := &archive{Writer: tar.NewWriter(w), has: map[string]bool{}}
	for _, dir := range []string{"usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "run", "run/netns", "tmp", "var", "root"} {
		t.add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, "")
	}
	for link, to := range map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "../run"} {
		t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: to, Mode: 0o777}, "")
	}
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\n")
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, "root:x:0:\n")
	for _, path := range files {
		t.copyFile(path)
	}
	for _, name := range strings.Fields(applets) {
		if !t.has["usr/bin/"+name] && !t.has["usr/sbin/"+name] {
			t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/" + name, Linkname: "busybox", Mode: 0o777}, "")
		}
	}
	return errors.Join(t.err, t.Close())
}

var library = regexp.MustCompile(`(/[^ ]+) \(0x`)

// imageFiles returns the paths of all programs and of the libraries they need.
func imageFiles(ctx context.Context) ([]string, error) {
	paths := map[string]bool{}
	for _, prog := range imagePrograms {
		path, err := exec.LookPath(prog)
		if err != nil {
			return nil, err
		}
		paths[path] = true
		libs, err := output(ctx, "ldd", path)
		if err != nil && !strings.Contains(libs+err.Error(), "not a dynamic executable") {
			return nil, err
		}
		for _, m := range library.FindAllStringSubmatch(libs, -1) {
			paths[m[1]] = true
		}
	}
	var sorted []string
	for path := range paths {
		sorted = append(sorted, path)
	}
	sort.Strings(sorted)
	return sorted, nil
}

func output(ctx context.Context, args ...string) (string, error) { return run(ctx, args, args) }

// archive is a tar archive that keeps the first error.
type archive struct {
	*tar.Writer
	has map[string]bool
	err error
}

func (a *archive) add(h tar.Header, content string) {
	if a.err != nil {
		return
	}
	a.has[h.Name] = true
	h.Size = int64(len(content))
	if a.err = a.WriteHeader(&h); a.err == nil {
		_, a.err = io.WriteString(a, content)
	}
}

// copyFile adds a file of this machine at the same path below /usr, to which /bin and other
// links point.
func (a *archive) copyFile(path string) {
	if a.err != nil {
		return
	}
	content, err := os.ReadFile(path)
	if err != nil {
		a.err = err
		return
	}
	name := strings.TrimPrefix(path, "/")
	if !strings.HasPrefix(name, "usr/") {
		name = "usr/" + name
	}
	if dir := filepath.Dir(name); !a.has[dir+"/"] {
		a.add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, "")
	}
	a.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}, string(content))
}
