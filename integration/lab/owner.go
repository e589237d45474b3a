package lab

// This file determines ownership: the mark of all objects that a process made, and whether that
// process is alive.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// markEnv is the environment variable with the mark of a process in a lab.
const markEnv = "OVLOOM_LAB"

// keepEnv leaves a failed lab in place.
const keepEnv = "LAB_KEEP"

// Mark returns the mark of this process: its pid, and its start time because pids are reused.
func Mark() string { return processMark() }

var processMark = sync.OnceValue(func() string { return ownerOf(os.Getpid()) })

// ownerOf returns the mark of the process pid, or "" if there is none.
func ownerOf(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The command's name, in parentheses, may hold spaces; the start time is
	// field 22, counted from 1 (proc(5)).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return ""
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("ovl-%d-%s", pid, strconv.FormatUint(start, 36))
}

var markForm = regexp.MustCompile(`^ovl-([0-9]+)-[0-9a-z]+`)

// ownerIn returns the mark at the start of name, and whether its process is alive. The mark is
// "" if the name does not belong to a lab.
func ownerIn(name string) (mark string, alive bool) {
	m := markForm.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return "", false
	}
	return m[0], ownerOf(pid) == m[0]
}

// owns reports whether an object called name belongs to mark, which is the mark of a process, a
// lab or a host.
func owns(mark, name string) bool {
	return name == mark || strings.HasPrefix(name, mark+"-")
}

var labs atomic.Int64

// newMark returns the mark of another lab of this process.
func newMark() string { return fmt.Sprintf("%s-%d", Mark(), labs.Add(1)) }

// dirOf returns the directory that belongs to mark. Its path is short, because the path of a
// unix socket has at most 107 bytes.
func dirOf(mark string) string { return filepath.Join(os.TempDir(), mark) }

// keptFile, in a mark's directory, makes a sweep leave the mark alone.
const keptFile = "kept"

// kept reports whether the lab with this mark stays after its process.
func kept(mark string) bool {
	_, err := os.Stat(filepath.Join(dirOf(mark), keptFile))
	return err == nil
}
