package main

// This file describes the machine, and what processes use of it.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what the figures depend on.
type machine struct {
	date        time.Time
	cpus        int
	cpu         string // its model
	kernel, ovs string // versions
	ovn         string // "": not installed
	goVersion   string
	load        string // of one, five and fifteen minutes
}

func thisMachine(ctx context.Context) (machine, error) {
	m := machine{date: time.Now(), cpus: runtime.NumCPU(), cpu: "unknown CPU", goVersion: runtime.Version(), load: load()}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("ask for the kernel's version: %w", err)
	}
	m.kernel = unix.ByteSliceToString(u.Release[:])
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ovs-vswitchd", "--version").Output()
	if err != nil {
		return m, fmt.Errorf("ask for Open vSwitch's version: %w", err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	m.ovs = line[strings.LastIndexByte(line, ' ')+1:]
	m.ovn = ovnVersion(ctx)
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	for l := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(l, ":"); strings.TrimSpace(name) == "model name" {
			m.cpu = strings.TrimSpace(value)
			break
		}
	}
	return m, nil
}

// load returns the machine's load averages; "?" if the kernel does not report them.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) >= 3 {
		return strings.Join(f[:3], " ")
	}
	return "?"
}

// ownCPU returns the CPU time that this process has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails only for a bad pointer
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf returns the exact CPU time of a living process, by the clock of clock_getcpuclockid(3).
// The clock of proc(5) has steps of ten milliseconds.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("ask for the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// usage is what a process has used.
type usage struct {
	cpu  time.Duration
	rss  int64 // bytes, now
	peak int64 // bytes, the maximum so far
}

// usageOf returns what a living process has used, from proc(5).
func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The name in parentheses may contain spaces.
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const utime, stime, rss = 11, 12, 21
	var n [3]int64
	for i, at := range []int{utime, stime, rss} {
		if at >= len(f) {
			return usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
		}
		if n[i], err = strconv.ParseInt(f[at], 10, 64); err != nil {
			return usage{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	const tick = time.Second / 100 // USER_HZ, the same on all of Linux
	u := usage{cpu: time.Duration(n[0]+n[1]) * tick, rss: n[2] * int64(os.Getpagesize())}
	u.peak, err = peakOf(pid)
	return u, err
}

// peakOf returns the peak resident memory of a living process, in bytes.
func peakOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(status), "\nVmHWM:")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); !ok || err != nil {
		return 0, fmt.Errorf("/proc/%d/status says nothing of VmHWM", pid)
	}
	return kB << 10, nil
}
