package main

// This file prints: sections, commands with their output, and checks.

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// page is the output of the demonstration. Bold and its end are empty if the output is not a
// terminal.
type page struct {
	w                          io.Writer
	bold, green, red, faint, x string
}

// newPage returns a page that uses colours if f is a terminal and NO_COLOR
// is not set (https://no-color.org).
func newPage(f *os.File) *page {
	p := &page{w: f}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		p.bold, p.green, p.red, p.faint, p.x = "\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[0m"
	}
	return p
}

func (p *page) title(s string) {
	fmt.Fprintf(p.w, "%s%s%s\n\n", p.bold, s, p.x)
}

func (p *page) section(s string) {
	fmt.Fprintf(p.w, "\n%s== %s%s\n\n", p.bold, s, p.x)
}

func (p *page) say(text string) {
	fmt.Fprintln(p.w, text)
}

// command prints a command as typed in a host or container.
func (p *page) command(where string, args []string) {
	fmt.Fprintf(p.w, "%s%s# %s%s%s\n", p.faint, where, p.x, p.bold+strings.Join(args, " "), p.x)
}

// output prints a command's output, without empty lines at its ends.
func (p *page) output(text string) {
	if text = strings.Trim(text, "\n"); text != "" {
		fmt.Fprintf(p.w, "%s\n", text)
	}
}

// ok prints a passed check.
func (p *page) ok(format string, args ...any) {
	fmt.Fprintf(p.w, "%sok%s  %s\n", p.green, p.x, fmt.Sprintf(format, args...))
}

// failed prints a failed check.
func (p *page) failed(err error) {
	fmt.Fprintf(p.w, "\n%sFAILED%s  %v\n", p.red, p.x, err)
}
