package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

// A text is a string of the product, with %s where values come.
type text struct{ at, says string }

// productTexts returns all strings in the sources of the product, those that are put
// together from parts as one.
func productTexts(t *testing.T) []text {
	t.Helper()
	var texts []text
	const root = "../.."
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(file, root+"/"))
		if d.IsDir() {
			switch name {
			case "integration", "api/hosttest", "bin", "docs", "scripts", ".git":
				return filepath.SkipDir
			}
			return nil
		}
		if name == "cmd/ovloom/completion.go" { // scripts
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			says, whole := literal(e)
			if !whole {
				return true
			}
			if says != "" {
				texts = append(texts, text{fmt.Sprintf("%s:%d", name, set.Position(n.Pos()).Line), says})
			}
			return false
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// literal returns what a string literal says, or a sum of which some part is one, with %s
// for the other parts.
func literal(e ast.Expr) (says string, is bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		a, isA := literal(e.X)
		b, isB := literal(e.Y)
		if !isA && !isB {
			return "", false
		}
		if !isA {
			a = "%s"
		}
		if !isB {
			b = "%s"
		}
		return a + b, true
	}
	return "", false
}

// prose are words that follow the name of the product in texts that are no commands.
var prose = []string{
	"cannot", "needs", "sets", "will", "does", "did", "has", "is", "was", "may", "must", "keeps", "makes", "made", "can", "of", "on", "and",
	"should", "gives", "uses", "itself", "puts", "adds", "removes", "takes", "on", "or", "from", "here", "knows", "answers",
}

// noHints are texts that begin like a command and are none.
var noHints = []string{"ovloom %s\n", "ovloom CA", "ovloom copy 1 "}

var (
	formatVerb  = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	quoted      = regexp.MustCompile("`([^`\n]+)`")
	mention     = regexp.MustCompile(`(?:^|[^-\w/.@])ovloom ([^\n]*)`)
	endOfWords  = regexp.MustCompile("[`;,()\"]|: |\\.$|\\. | > ")
	flagWord    = regexp.MustCompile(`(?:^|[\s(])(--[a-z][a-z-]+)`)
)

// stop are words that end a command which stands in a sentence.
var stop = []string{"and", "or", "on", "then", "says", "shows", "there", "lists", "gives", "plugs", "by", "is", "again", "first", "as", "where", "with", "in", "for", "tells", "which", "what", "before", "after", "to", "when", "if"}

// commandsIn returns the commands of ovloom that a text tells to run.
func commandsIn(says string) (commands []string) {
	says = strings.ReplaceAll(says, "{proto}", "--tcp x") // see package explain
	says = placeholder.ReplaceAllString(formatVerb.ReplaceAllString(says, "x"), "x")
	for _, m := range quoted.FindAllStringSubmatch(says, -1) {
		if c, ok := strings.CutPrefix(m[1], "ovloom "); ok {
			commands = append(commands, c)
		}
	}
	says = quoted.ReplaceAllString(says, "")
	for _, m := range mention.FindAllStringSubmatch(says, -1) {
		rest := m[1]
		if i := endOfWords.FindStringIndex(rest); i != nil {
			rest = rest[:i[0]]
		}
		words := strings.Fields(rest)
		if len(words) == 0 || slices.Contains(prose, words[0]) {
			continue
		}
		for i, w := range words {
			if i > 0 && slices.Contains(stop, w) {
				words = words[:i]
				break
			}
		}
		commands = append(commands, strings.Join(words, " "))
	}
	return commands
}

// understood says what is wrong with a command: a verb or a flag that does not exist, or
// more arguments than it takes.
func understood(root *cli.Command, command string) error {
	words := strings.Fields(command)
	l, err := parseLine(root, words)
	if err != nil && l.valueOf == nil {
		return err
	}
	c := l.command()
	if l.help || len(c.Subcommands) > 0 {
		return nil
	}
	most := len(strings.Fields(c.ArgsUsage))
	if strings.HasSuffix(c.ArgsUsage, " ...") || len(l.args) <= most {
		return nil
	}
	return fmt.Errorf("%s takes %d arguments", l.name(), most)
}

// Everything that the product tells people to run is understood by the command line.
func TestHintsCanBeFollowed(t *testing.T) {
	root := (&program{}).commands()
	found := 0
	for _, x := range productTexts(t) {
		for _, c := range commandsIn(x.says) {
			if slices.Contains(noHints, x.says) {
				continue
			}
			found++
			if err := understood(root, c); err != nil {
				t.Errorf("%s tells to run `ovloom %s`, which does not work: %v\n  in %q", x.at, c, err, x.says)
			}
		}
	}
	if found < 150 {
		t.Errorf("only %d commands were found: this test looks for them in the wrong way", found)
	}
}

// otherFlags are flags of other programs that texts name.
var otherFlags = map[string]string{
	"--bridge": "brctl", "--may-exist": "ovs-vsctl", "--if-exists": "ovs-vsctl", "--type": "docker inspect", "--format": "docker inspect",
	"--db": "ovs-vsctl", "--no-wait": "ovs-vsctl", "--add": "firewall-cmd", "--permanent": "firewall-cmd", "--reload": "firewall-cmd",
	"--zone": "firewall-cmd", "--add-interface": "firewall-cmd", "--now": "systemctl", "--net": "nsenter", "--comment": "iptables",
}

// Every flag that a text names is one of ovloom or ovloomd, or is listed above.
func TestHintsNameFlagsThatExist(t *testing.T) {
	known := map[string]bool{"--help": true, "--version": true, "--restore": true} // the last one is ovloomd's, and hidden
	eachCommand([]*cli.Command{(&program{}).commands()}, func(path []*cli.Command) {
		for _, f := range path[len(path)-1].Flags {
			for _, n := range f.Names() {
				known["--"+n] = true
			}
		}
	})
	// ovloomd's are the tags of its configuration's fields, and those that its files name.
	for _, x := range productTexts(t) {
		if m := regexp.MustCompile(`^yaml:"([a-z][a-z-]+)" help:`).FindStringSubmatch(x.says); m != nil {
			known["--"+m[1]] = true
		}
	}
	files, err := filepath.Glob("../ovloomd/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Name: "([a-z][a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			known["--"+m[1]] = true
		}
	}
	for _, x := range productTexts(t) {
		for _, m := range flagWord.FindAllStringSubmatch(x.says, -1) {
			if !known[m[1]] && otherFlags[m[1]] == "" {
				t.Errorf("%s names the flag %s, which neither ovloom nor ovloomd has\n  in %q", x.at, m[1], x.says)
			}
		}
	}
}

// otherPrograms are what texts tell to run besides ovloom: the tests run none of them.
var otherPrograms = []string{
	"ip", "ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovs-dpctl", "sysctl", "systemctl", "ethtool", "nft", "iptables", "modprobe", "docker", "podman", "journalctl", "make", "ovloomd", "virsh", "usermod", "lsns", "mkdir",
}

// What stands between backquotes is a command of ovloom's, or of a program that is listed.
func TestHintsNameKnownPrograms(t *testing.T) {
	for _, x := range productTexts(t) {
		if strings.Contains(x.says, "\n") || strings.Count(x.says, "`")%2 == 1 {
			continue // no hint
		}
		for _, m := range quoted.FindAllStringSubmatch(x.says, -1) {
			words := strings.Fields(m[1])
			if len(words) < 2 || words[0] == "ovloom" || formatVerb.MatchString(words[0]) || slices.Contains(otherPrograms, words[0]) {
				continue
			}
			t.Errorf("%s tells to run %q, but %s is no program that otherPrograms lists: add it if it is right\n  in %q", x.at, m[1], words[0], x.says)
		}
	}
}

func TestCommandsInTexts(t *testing.T) {
	for says, want := range map[string]string{
		"see `ovloom port list %s`, which shows all":                   "port list x",
		"see: ovloom port list %s":                                     "port list x",
		"run there: ovloom host leave; or stop its ovloomd":            "host leave",
		"ovloom cannot set that right":                                 "",
		"ovloom status --fix, or by hand: x":                           "status --fix",
		"remove that host: ovloom host remove %s":                      "host remove x",
		"ovloom port show %s says where it is":                         "port show x",
		"(`ovloom host leave` gives it back), or load the module":      "host leave",
		"use `ovloom network set %s --mtu %d` or raise that of %s":     "network set x --mtu x",
		"/var/lib/ovloom says nothing, and github.com/ovloom ovloom's": "",
	} {
		if got := strings.Join(commandsIn(says), "|"); got != want {
			t.Errorf("%q: got %q, want %q", says, got, want)
		}
	}
	root := (&program{}).commands()
	for _, wrong := range []string{"port lst", "port plug x --gateway x", "tenant list x", "network set x y", "prot list"} {
		if understood(root, wrong) == nil {
			t.Errorf("%q is taken for a command", wrong)
		}
	}
}

// A backup into a directory that does not exist says how to make it.
func TestBackupIntoAMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := (&program{}).backup(t.Context(), filepath.Join(dir, "ovloom.db"))
	if intent.KindOf(err) != intent.NotFound || !strings.Contains(err.Error(), "mkdir -p "+dir) {
		t.Errorf("got %v", err)
	}
}
