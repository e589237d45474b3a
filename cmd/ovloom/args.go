// The command line as users write it: flags before, between or after the
// arguments. Package cli expects flags right after their command.

package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

// line is a parsed command line.
type line struct {
	path   []*cli.Command // from the root to the command
	global []string       // flags of the root, with their values
	local  []string       // flags of the command, with their values
	args   []string       // the arguments
	help   bool

	// For completion: the flag whose value the last word is, if any.
	valueOf cli.Flag
}

func (l line) command() *cli.Command { return l.path[len(l.path)-1] }

// name returns the full name of the command: ovloom network add.
func (l line) name() string { return pathName(l.path) }

// about returns the name of the command without ovloom: network add.
func (l line) about() string { return pathName(l.path[1:]) }

func pathName(path []*cli.Command) string {
	var names []string
	for _, c := range path {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// arranged returns the line in the order that package cli reads.
func (l line) arranged() []string {
	out := append([]string{l.path[0].Name}, l.global...)
	for _, c := range l.path[1:] {
		out = append(out, c.Name)
	}
	out = append(out, l.local...)
	return append(append(out, "--"), l.args...)
}

// parseLine parses the words after the program's name. The line that it returns with an
// error is what it parsed before the error.
func parseLine(root *cli.Command, words []string) (line, error) {
	l := line{path: []*cli.Command{root}}
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch {
		case word == "--":
			l.args = append(l.args, words...)
			return l, nil
		case word == "--version" && len(l.path) == 1:
			words = append([]string{"version"}, words...)
		case len(word) > 1 && word[0] == '-':
			var err error
			if words, err = l.flag(word, words); err != nil {
				return l, err
			}
		case word == "help" && len(l.path) == 1:
			l.help = true
		default:
			if err := l.word(word); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

// word parses a command's name or an argument.
func (l *line) word(word string) error {
	subs := l.command().Subcommands
	if len(subs) == 0 {
		l.args = append(l.args, word)
		return nil
	}
	i := slices.IndexFunc(subs, func(c *cli.Command) bool { return c.HasName(word) })
	if i >= 0 {
		l.path = append(l.path, subs[i])
		return nil
	}
	var names []string
	for _, c := range subs {
		names = append(names, c.Name)
	}
	if verb := otherWords[word]; slices.Contains(names, verb) {
		return intent.Invalidf("unknown command %q", strings.TrimSpace(l.about()+" "+word)).WithHint("did you mean %s? see `%s --help`", verb, l.name())
	}
	return intent.Invalidf("unknown command %q", strings.TrimSpace(l.about()+" "+word)).WithHint("%s", suggest(word, names, "", l.name()))
}

// aliases are other names of verbs, by verb. Help and completion do not show them.
var aliases = map[string][]string{
	"add":    {"create", "new"},
	"list":   {"ls"},
	"show":   {"get"},
	"delete": {"del", "rm", "remove"},
	"remove": {"del", "rm", "delete"},
}

// otherWords are words for verbs that are too ambiguous to be aliases.
var otherWords = map[string]string{
	"update": "set", "change": "set", "edit": "set", "modify": "set",
	"attach": "plug", "connect": "plug", "detach": "unplug", "disconnect": "unplug",
	"describe": "show", "info": "show", "destroy": "delete",
}

// addAliases adds aliases to verbs, except names that a verb beside them has.
func addAliases(c *cli.Command) {
	for _, sub := range c.Subcommands {
		for _, a := range aliases[sub.Name] {
			if !slices.ContainsFunc(c.Subcommands, func(other *cli.Command) bool { return other.HasName(a) }) {
				sub.Aliases = append(sub.Aliases, a)
			}
		}
		addAliases(sub)
	}
}

// flag parses a flag and, if it takes one, its value from rest; it returns the remaining
// words.
func (l *line) flag(word string, rest []string) ([]string, error) {
	name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if name == "help" || name == "h" {
		l.help = true
		return rest, nil
	}
	into := &l.local
	f := findFlag(l.command().Flags, name)
	if f == nil || len(l.path) == 1 {
		into = &l.global
		f = findFlag(l.path[0].Flags, name)
	}
	if f == nil {
		if l.help { // help is the answer, whatever else is on the line
			return rest, nil
		}
		return nil, intent.Invalidf("%s has no flag %s", cmp.Or(l.about(), l.name()), strings.SplitN(word, "=", 2)[0]).
			WithHint("%s", suggest(name, flagNames(l.path), "--", l.name()))
	}
	*into = append(*into, word)
	if !takesValue(f) || hasValue {
		return rest, nil
	}
	if len(rest) == 0 {
		l.valueOf = f
		return nil, intent.Invalidf("flag %s needs a value", word).WithHint("see `%s --help`", l.name())
	}
	*into = append(*into, rest[0])
	return rest[1:], nil
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// flagNames lists the long names of the flags that a command takes.
func flagNames(path []*cli.Command) []string {
	flags := path[0].Flags
	if len(path) > 1 {
		flags = slices.Concat(path[len(path)-1].Flags, flags)
	}
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()[0])
	}
	return append(names, "help")
}

// suggest returns a hint for an unknown word.
func suggest(word string, known []string, prefix, command string) string {
	best, least := "", max(2, len(word)/2)+1
	for _, k := range known {
		d := distance(word, k)
		if word != "" && strings.HasPrefix(k, word) {
			d = 0 // a prefix
		}
		if d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "see `" + command + " --help`"
	}
	return "did you mean " + prefix + best + "? see `" + command + " --help`"
}

// distance returns the number of bytes to insert, delete or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
