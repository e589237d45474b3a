// Completion of words. All failures are silent: there is no place to show them,
// and a shell that hangs on a TAB is worse than no completion.

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// completeTimeout bounds the wait for names after a TAB.
const completeTimeout = 500 * time.Millisecond

// complete prints the completions of the last of words, which may be empty.
func (p *program) complete(words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	words, split := joinEquals(words)
	last := words[len(words)-1]
	for _, c := range p.candidates(words[:len(words)-1], last) {
		if !strings.HasPrefix(c, last) {
			continue
		}
		if split {
			_, c, _ = strings.Cut(c, "=")
		}
		fmt.Fprintln(p.stdout, c)
	}
}

// joinEquals joins --flag = value, which bash splits into three words. split reports
// whether the last word was part of a split flag.
func joinEquals(words []string) (joined []string, split bool) {
	for i, w := range words {
		n := len(joined)
		switch {
		case w == "=" && n > 0 && strings.HasPrefix(joined[n-1], "--") && !strings.Contains(joined[n-1], "="):
			joined[n-1] += "="
			split = i == len(words)-1
			if split {
				return joined, true
			}
		case n > 0 && strings.HasPrefix(joined[n-1], "--") && strings.HasSuffix(joined[n-1], "=") && words[i-1] == "=":
			joined[n-1] += w
			split = i == len(words)-1
		default:
			joined = append(joined, w)
			split = false
		}
	}
	return joined, split
}

// candidates returns the words that may follow the words before, whether or not they begin
// with last.
func (p *program) candidates(before []string, last string) []string {
	root := p.commands()
	l, err := parseLine(root, before)
	if err != nil && l.valueOf == nil {
		return nil
	}
	c := l.command()
	if l.valueOf != nil {
		return p.values(l, l.valueOf, last)
	}
	if name, begun, ok := strings.Cut(last, "="); ok && strings.HasPrefix(last, "--") {
		f := findFlag(slices.Concat(c.Flags, root.Flags), strings.TrimPrefix(name, "--"))
		if f == nil {
			return nil
		}
		var out []string
		for _, v := range p.values(l, f, begun) {
			out = append(out, name+"="+v)
		}
		return out
	}
	if strings.HasPrefix(last, "-") && !slices.Contains(before, "--") {
		var out []string
		for _, name := range flagNames(l.path) {
			out = append(out, "--"+name)
		}
		return out
	}
	if len(c.Subcommands) > 0 {
		var out []string
		for _, sub := range c.Subcommands {
			out = append(out, sub.Name)
		}
		return out
	}
	return p.arguments(l, last)
}

// A completer returns the possible words for an argument or for the value of a flag. begun
// is the word at the cursor; candidates that do not begin with it are dropped later.
type completer func(p *program, l line, begun string) []string

// completedFlag is a flag whose values can be completed.
type completedFlag struct {
	cli.DocGenerationFlag
	words completer
}

// completed returns a flag with a completer of its values.
func completed(f cli.Flag, words completer) cli.Flag {
	return completedFlag{f.(cli.DocGenerationFlag), words}
}

// values returns the possible values of a flag.
func (p *program) values(l line, f cli.Flag, begun string) []string {
	if f, ok := f.(completedFlag); ok {
		return f.words(p, l, begun)
	}
	return nil
}

func oneOf(words ...string) completer {
	return func(*program, line, string) []string { return words }
}

// interfaces completes the name of a network interface of this host.
func interfaces(*program, line, string) []string { return dirNames("/sys/class/net") }

// namespaces completes the name of a network namespace of this host.
func namespaces(*program, line, string) []string { return dirNames("/run/netns") }

func dirNames(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// argument is an argument of a command.
type argument struct {
	usage string       // its name in the help
	of    intent.Class // the class of the object that it names, if it names one
	isNew bool         // the object does not exist yet

	// The possible words: the name of an object with the names of the objects that it is
	// part of, as acme/web/c1, or with short a beginning of such a name; or the words that
	// words returns.
	path  []intent.Class
	short bool
	words completer
}

// path returns an argument that names an object of the last class with the objects that it
// is part of: TENANT/NETWORK/PORT.
func path(classes ...intent.Class) argument {
	var words []string
	for _, c := range classes {
		words = append(words, strings.ToUpper(string(c)))
	}
	return argument{usage: strings.Join(words, "/"), of: classes[len(classes)-1], path: classes}
}

// portPath is the name of a port.
var portPath = path(intent.ClassTenant, intent.ClassNetwork, intent.ClassPort)

// optional returns an argument that may end after any class of a path, or be left out:
// [TENANT[/NETWORK]].
func optional(classes ...intent.Class) argument {
	a := path(classes...)
	a.usage = "[" + strings.ReplaceAll(a.usage, "/", "[/") + strings.Repeat("]", len(classes))
	a.short = true
	return a
}

// fresh returns the arguments that name a new object of a class.
func fresh(class intent.Class, args []argument) []argument {
	args = slices.Clone(args)
	for i := range args {
		args[i].isNew = args[i].of == class
	}
	return args
}

// grammar is the arguments that a command takes; with several, the last argument can be
// repeated.
type grammar struct {
	arguments []argument
	several   bool
}

// takes registers the arguments that a command takes.
func (p *program) takes(c *cli.Command, args ...argument) *cli.Command {
	var words []string
	for _, a := range args {
		words = append(words, a.usage)
	}
	c.ArgsUsage = strings.Join(words, " ")
	p.grammars[c] = grammar{arguments: args}
	return c
}

// takesSeveral registers a command whose argument can be repeated; it runs once for each.
func (p *program) takesSeveral(c *cli.Command, args ...argument) *cli.Command {
	p.takes(c, args...)
	c.ArgsUsage += " ..."
	p.grammars[c] = grammar{args, true}
	return c
}

// arguments returns the possible words for a command's next argument.
func (p *program) arguments(l line, begun string) []string {
	g := p.grammars[l.command()]
	at := len(l.args)
	if g.several {
		at = min(at, len(g.arguments)-1)
	}
	if at >= len(g.arguments) {
		return nil
	}
	switch a := g.arguments[at]; {
	case a.path != nil:
		return p.objects(l, begun, a)
	case a.words != nil && !a.isNew:
		return a.words(p, l, begun)
	}
	return nil
}

// targets completes the target of a forward, up to the port's name.
func targets(p *program, l line, begun string) []string {
	names := p.objects(l, begun, portPath)
	for i, n := range names {
		if !strings.HasSuffix(n, "/") {
			names[i] = n + ":"
		}
	}
	return names
}

// objects returns the names at the level of the argument's path that begun has reached:
// acme/, then acme/web/, then acme/web/c1. A name that can go on ends in a slash.
func (p *program) objects(l line, begun string, a argument) []string {
	level := strings.Count(begun, "/")
	last := len(a.path) - 1
	if level > last || level == last && a.isNew {
		return nil
	}
	var within intent.Reference
	if level > 0 {
		var err error
		if within, err = p.nouns[a.path[level-1]].reference(begun[:strings.LastIndexByte(begun, '/')]); err != nil {
			return nil
		}
	}
	names := p.names(l, a.path[level], within)
	if level == last {
		return names
	}
	var out []string
	for _, n := range names {
		if a.short {
			out = append(out, n)
		}
		out = append(out, n+"/")
	}
	return out
}

// names returns the names of the objects of a class within another, or of all.
func (p *program) names(l line, class intent.Class, within intent.Reference) []string {
	client, ctx, done := p.completionClient(l)
	defer done()
	names, err := p.nouns[class].names(ctx, client, within)
	if err != nil {
		return nil
	}
	return names
}

// namesOf completes the name of an object of a class.
func namesOf(class intent.Class) completer {
	return func(p *program, l line, _ string) []string { return p.names(l, class, nil) }
}

// completionClient returns a client of the ovloomd that the line names.
func (p *program) completionClient(l line) (*api.Client, context.Context, func()) {
	socket, given := api.DefaultSocket, false
	for i, word := range l.global {
		if v, ok := strings.CutPrefix(word, "--socket="); ok {
			socket, given = v, true
		}
		if word == "--socket" && i+1 < len(l.global) {
			socket, given = l.global[i+1], true
		}
	}
	client := api.NewClient(p.socket(socket, given))
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	return client, ctx, func() { cancel(); client.Close() }
}
