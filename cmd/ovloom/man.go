// ovloom man: pages for man(1), from the same command tree as the help.

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

func (p *program) manCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "man", Usage: "write manual pages for man(1)", Action: p.writeMan,
		Description: `One page for ovloom, and one for each of its commands.

   ovloom man /usr/local/share/man/man1`,
	}, argument{usage: "DIRECTORY"})
}

func (p *program) writeMan(c *cli.Context) error {
	dir, err := onlyArgument(c)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return intent.NotFoundf("directory %s does not exist", dir).WithHint("make it first, or name another")
	}
	pages := manPages(p.commands())
	names := []string{}
	for _, page := range pages {
		file := filepath.Join(dir, page.name+".1")
		if err := os.WriteFile(file, page.text, 0o644); err != nil {
			return fmt.Errorf("write a manual page: %w", err)
		}
		names = append(names, file)
	}
	return p.print(map[string][]string{"files": names}, func(out io.Writer) {
		fmt.Fprintf(out, "%s written into %s: see `man ovloom`\n", count(len(names), "page"), dir)
	})
}

// manPage is one file: ovloom-network.
type manPage struct {
	name string
	text []byte
}

// manPages returns a page for the root and one for each of its commands.
func manPages(root *cli.Command) []manPage {
	pages := []manPage{manOf(root, []*cli.Command{root})}
	for _, sub := range root.Subcommands {
		pages = append(pages, manOf(root, []*cli.Command{root, sub}))
	}
	return pages
}

func manOf(root *cli.Command, path []*cli.Command) manPage {
	c := path[len(path)-1]
	name := strings.ReplaceAll(pathName(path), " ", "-")
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s 1 \"\" ovloom \"User Commands\"\n", strings.ToUpper(roff(name)))
	section := func(title string) { fmt.Fprintf(&b, ".SH %s\n", title) }
	section("NAME")
	fmt.Fprintf(&b, "%s \\- %s\n", roff(name), roff(c.Usage))
	section("SYNOPSIS")
	if len(path) == 1 || len(c.Subcommands) == 0 {
		fmt.Fprintf(&b, "%s\n", roff(usageLine(path)))
	} else {
		eachManCommand(path, func(path []*cli.Command) { fmt.Fprintf(&b, "%s\n.br\n", roff(usageLine(path))) })
	}
	section("DESCRIPTION")
	manBody(&b, c)
	if len(path) == 1 {
		section("COMMANDS")
		for _, sub := range c.Subcommands {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(name+"-"+sub.Name), roff(sub.Usage))
		}
	} else if len(c.Subcommands) > 0 {
		section("COMMANDS")
		eachManCommand(path, func(path []*cli.Command) {
			c := path[len(path)-1]
			fmt.Fprintf(&b, ".SS %s\n%s.\n", roff(usageLine(path)), roff(upper(c.Usage)))
			manBody(&b, c)
			manFlags(&b, c.Flags)
		})
	} else if len(c.Flags) > 0 {
		section("OPTIONS")
		manFlags(&b, c.Flags)
	}
	section("OPTIONS OF EVERY COMMAND")
	manFlags(&b, root.Flags)
	if len(path) == 1 {
		section("EXIT STATUS")
		for code, meaning := range exitMeanings {
			fmt.Fprintf(&b, ".TP\n%d\n%s\n", code, roff(meaning))
		}
		section("ENVIRONMENT")
		fmt.Fprintf(&b, ".TP\nOVLOOM_SOCKET\nwhere ovloomd listens\n")
	} else {
		section("SEE ALSO")
		fmt.Fprintf(&b, ".BR ovloom (1)\n")
	}
	return manPage{name, b.Bytes()}
}

// exitMeanings are the meanings of exit codes, by code.
var exitMeanings = []string{
	exitOK:          "done",
	exitFailure:     "failure",
	exitUsage:       "usage: the command line or a value is wrong; nothing was changed",
	exitNotFound:    "something named does not exist",
	exitConflict:    "conflict with something that exists, or in use",
	exitUnavailable: "ovloomd or something it needs does not answer, or not in time",
}

// eachManCommand visits the commands below the last one of path that have an action.
func eachManCommand(path []*cli.Command, f func(path []*cli.Command)) {
	for _, sub := range path[len(path)-1].Subcommands {
		below := append(path[:len(path):len(path)], sub)
		if len(sub.Subcommands) > 0 {
			eachManCommand(below, f)
			continue
		}
		f(below)
	}
}

func manBody(w io.Writer, c *cli.Command) {
	about, examples := describe(c)
	for paragraph := range strings.SplitSeq(about, "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph != "" {
			fmt.Fprintf(w, ".PP\n%s\n", roff(paragraph))
		}
	}
	if examples != "" {
		fmt.Fprintf(w, ".PP\nExamples:\n.PP\n.nf\n")
		for line := range strings.Lines(strings.Trim(examples, "\n")) {
			fmt.Fprintf(w, "    %s\n", roff(strings.TrimSpace(line)))
		}
		fmt.Fprintf(w, ".fi\n")
	}
}

func manFlags(w io.Writer, flags []cli.Flag) {
	for _, f := range flags {
		names, usage := flagText(f)
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(names), roff(usage))
	}
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// roff escapes troff's control characters: see groff(7).
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
