package main

// This file is the table.

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is a line of the table. Texts are printed unchanged.
type figure struct {
	what   string
	ours   string
	peer   string // the compared tool, and its figure
	ratio  string // of the compared tool's figure to ours
	target string
	met    verdict
	cpu    string // seconds of CPU of the measured process
	rss    string // its memory
}

// verdict is whether the target is met.
type verdict string

// The verdicts. A figure without a target has none.
const (
	met    verdict = "yes"
	missed verdict = "NO"
)

func judge(ok bool) verdict {
	if ok {
		return met
	}
	return missed
}

// table is the figures, with the machine that they were measured on.
type table struct {
	where   machine
	after   string // load at the end
	rounds  int
	figures []figure
}

var head = figure{"figure", "ovloom", "compared with", "ratio", "target", "met", "CPU s", "RSS MB"}

func (f figure) cells() []string {
	return []string{f.what, f.ours, f.peer, f.ratio, f.target, string(f.met), f.cpu, f.rss}
}

// about describes the machine.
func (t table) about() string {
	ovn := ""
	if t.where.ovn != "" {
		ovn = "OVN " + t.where.ovn + ", "
	}
	return fmt.Sprintf("%s; %d × %s, Linux %s, Open vSwitch %s, %s%s; load %s before, %s after; medians of %d rounds",
		t.where.date.Format("2006-01-02 15:04"), t.where.cpus, t.where.cpu, t.where.kernel, t.where.ovs, ovn, t.where.goVersion,
		t.where.load, t.after, t.rounds)
}

// text returns the table for a terminal.
func (t table) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.about())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range append([]figure{head}, t.figures...) {
		fmt.Fprintln(w, strings.Join(f.cells(), "\t"))
	}
	_ = w.Flush() // a strings.Builder never fails
	return b.String()
}

// markdown returns the table for docs/performance.md.
func (t table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", t.about())
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head.cells())
	line(slices.Repeat([]string{"---"}, len(head.cells())))
	for _, f := range t.figures {
		line(f.cells())
	}
	return b.String()
}

// median returns the median of a list; 0 for an empty list.
func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

// ms formats a duration in milliseconds.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	if v < 10 {
		return fmt.Sprintf("%.2f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

// times formats the factor by which ours is less than theirs.
func times(ours, theirs time.Duration) string {
	return fmt.Sprintf("%.2f ×", float64(theirs)/float64(ours))
}

// seconds formats a duration for the column of CPU time.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// megabytes formats bytes for the column of memory.
func megabytes(n int64) string { return fmt.Sprintf("%d", n>>20) }
