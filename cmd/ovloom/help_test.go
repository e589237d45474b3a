package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

//go:generate go test -count=1 -run ^TestReference$ . -update

// eachCommand calls f with the path of every command, parents first.
func eachCommand(path []*cli.Command, f func(path []*cli.Command)) {
	f(path)
	for _, sub := range path[len(path)-1].Subcommands {
		eachCommand(append(path[:len(path):len(path)], sub), f)
	}
}

func TestReference(t *testing.T) {
	root := (&program{}).commands()
	var b bytes.Buffer
	b.WriteString(referenceIntro)
	fmt.Fprintf(&b, "\n")
	eachCommand([]*cli.Command{root}, func(path []*cli.Command) {
		fmt.Fprintf(&b, "## %s\n\n```text\n", pathName(path))
		printHelp(&b, path)
		b.WriteString("```\n\n")
	})
	const file = "../../docs/cli.md"
	doc := append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
	if *update {
		if err := os.WriteFile(file, doc, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(old, doc) {
		t.Errorf("%s is not what the commands say: run go generate ./cmd/ovloom", file)
	}
}

const referenceIntro = `# The commands of ovloom

<!-- Written from the command tree by its tests: go generate ./cmd/ovloom -->

` + "`ovloom`" + ` talks to the ovloomd of the same machine. Flags may stand before, between or after the arguments; what follows
` + "`--`" + ` is taken for arguments. Values that can be given several times can also be separated by commas.

Verbs have other names, too: ` + "`create`, `new`, `ls`, `get`, `rm`, `del`" + `. Commands whose usage ends in ` + "`...`" + ` take several names; they go on when one
fails, and print one JSON array. ` + "`ovloom --version`" + ` is ` + "`ovloom version`" + `.

What was asked for goes to stdout: aligned tables, or JSON with ` + "`-o json`" + `, whose fields are stable. Everything else goes to
stderr: ` + "`ovloom: …`" + ` says what went wrong, ` + "`hint: …`" + ` what would be right.

Changes return when every live host that they concern has applied them (` + "`--no-wait`" + `: when they are stored). When hosts are
late, the exit code is 5, and the change is stored all the same.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failure |
| 2 | usage: the command line or a value is wrong; nothing was changed |
| 3 | something named does not exist |
| 4 | conflict with something that exists, or in use |
| 5 | ovloomd or something it needs does not answer, or not in time |
`

func TestHelp(t *testing.T) {
	s := newSession(t)
	s.run("--help", "help", "network --help", "help network add", "network add --help", "network add -h acme/web --frob", "--help network add", "port plug --help", "host -h", "nat --help", "nat forward add --help", "external add -h")
	s.golden("help")
}

// Every command has examples, and each of them is a line that is understood.
func TestExamples(t *testing.T) {
	root := (&program{}).commands()
	eachCommand([]*cli.Command{root}, func(path []*cli.Command) {
		_, examples := describe(path[len(path)-1])
		if examples == "" {
			t.Errorf("%s has no example", pathName(path))
		}
		for line := range strings.Lines(examples) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " > ")
			words := strings.Fields(line)
			if len(words) == 0 || words[0] != "ovloom" {
				t.Errorf("%s: example %q is no ovloom command", pathName(path), line)
				continue
			}
			l, err := parseLine(root, words[1:])
			if err != nil {
				t.Errorf("%s: example %q: %v", pathName(path), line, err)
				continue
			}
			if len(l.command().Subcommands) > 0 {
				t.Errorf("%s: example %q does nothing", pathName(path), line)
			}
			if !strings.HasPrefix(l.name(), pathName(path)) {
				t.Errorf("%s: example %q is of another command", pathName(path), line)
			}
			for _, f := range l.command().Flags {
				if usage := f.(cli.DocGenerationFlag).GetUsage(); usage == "" || strings.HasSuffix(usage, ".") {
					t.Errorf("%s: flag %s has usage %q", pathName(path), f.Names()[0], usage)
				}
			}
		}
	})
}

func FuzzParseLine(f *testing.F) {
	f.Add("network add acme/web --subnet 10.0.0.0/24 -o json")
	f.Add("--socket=x tenant -- list --x")
	f.Add("help port plug --netns")
	f.Fuzz(func(t *testing.T, line string) {
		root := (&program{}).commands()
		words := strings.Split(line, " ")
		l, err := parseLine(root, words)
		if err != nil || l.help || len(l.command().Subcommands) > 0 {
			return
		}
		// What was arranged means the same as what was written.
		again, err := parseLine(root, l.arranged()[1:])
		if err != nil {
			t.Fatalf("%q: %v", l.arranged(), err)
		}
		if a, b := fmt.Sprintf("%q", l.arranged()), fmt.Sprintf("%q", again.arranged()); a != b {
			t.Errorf("arranged %s, and again %s", a, b)
		}
	})
}
