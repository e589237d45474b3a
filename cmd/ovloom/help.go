// Help, and the reference from which docs/cli.md is generated.

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

// printHelp prints the usage of the last command of path.
func printHelp(w io.Writer, path []*cli.Command) {
	c := path[len(path)-1]
	fmt.Fprintf(w, "%s: %s\n\nUsage:\n   %s\n", pathName(path), c.Usage, usageLine(path))
	about, examples := describe(c)
	if about != "" {
		fmt.Fprintf(w, "\n%s\n", about)
	}
	if examples != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", examples)
	}
	if len(c.Subcommands) > 0 {
		fmt.Fprintf(w, "\nCommands:\n")
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, sub := range c.Subcommands {
			fmt.Fprintf(t, "   %s\t%s\n", sub.Name, sub.Usage)
		}
		_ = t.Flush()
	}
	if len(path) > 1 && len(c.Flags) > 0 {
		fmt.Fprintf(w, "\nFlags:\n")
		printFlags(w, c.Flags)
	}
	fmt.Fprintf(w, "\nFlags of every command:\n")
	printFlags(w, path[0].Flags)
	if len(c.Subcommands) > 0 {
		fmt.Fprintf(w, "\n`%s COMMAND --help` shows more.\n", pathName(path))
	}
}

// describe splits a command's description into its text and its examples: the indented
// lines at its end.
func describe(c *cli.Command) (about, examples string) {
	about = c.Description
	if i := strings.Index("\n"+about, "\n   "); i >= 0 {
		about, examples = about[:i], about[i:]
	}
	return strings.TrimSpace(about), examples
}

func usageLine(path []*cli.Command) string {
	c := path[len(path)-1]
	line := pathName(path)
	switch {
	case len(c.Subcommands) > 0:
		line += " COMMAND"
	case c.ArgsUsage != "":
		line += " " + c.ArgsUsage
	}
	return line + " [FLAGS]"
}

func printFlags(w io.Writer, flags []cli.Flag) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, f := range flags {
		names, usage := flagText(f)
		fmt.Fprintf(t, "   %s\t%s\n", names, usage)
	}
	_ = t.Flush()
}

// flagText returns a flag as users write it, and its usage. The word between backquotes in
// a flag's usage names its value.
func flagText(f cli.Flag) (names, usage string) {
	d := f.(cli.DocGenerationFlag)
	usage = d.GetUsage()
	value := ""
	if before, rest, ok := strings.Cut(usage, "`"); ok {
		name, after, _ := strings.Cut(rest, "`")
		value, usage = " "+name, before+name+after
	}
	for _, n := range f.Names() {
		dashes := "--"
		if len(n) == 1 {
			dashes = "-"
		}
		if names != "" {
			names += ", "
		}
		names += dashes + n
	}
	names += value
	if s, ok := f.(cli.DocGenerationSliceFlag); ok && s.IsSliceFlag() {
		names += " ..."
	}
	if v := d.GetValue(); d.TakesValue() && v != "" && v != "0" && v != "[]" {
		usage += " (default: " + v + ")"
	}
	return names, usage
}
