// The verbs of the nouns: add, set, list, show and delete, written once over the
// declarations of nouns.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func (n noun[O, L, V]) of() intent.Class { return n.class }

func (n noun[O, L, V]) command(p *program) *cli.Command {
	root := &cli.Command{Name: string(n.class), Usage: n.usage, Description: description(n.about, n.examples)}
	have := func(word string, v *verb[O], flags []cli.Flag, args []argument, do func(*input[O]) error) {
		if v == nil {
			return
		}
		if v.word != "" {
			word = v.word
		}
		c := &cli.Command{Name: word, Usage: v.usage, Description: description(v.about, v.examples)}
		for _, f := range v.flags {
			c.Flags = append(c.Flags, f.flag())
		}
		c.Flags = append(c.Flags, flags...)
		c.Action = func(line *cli.Context) error {
			ctx, cancel := p.call(line)
			defer cancel()
			return do(&input[O]{program: p, line: line, ctx: ctx, change: map[string]any{}})
		}
		if v.several {
			p.takesSeveral(c, args...)
		} else {
			p.takes(c, args...)
		}
		root.Subcommands = append(root.Subcommands, c)
	}
	have("add", n.add, nil, fresh(n.class, n.name), n.doAdd)
	have("set", n.set, nil, n.name, n.doSet)
	if n.list != nil {
		root.Subcommands = append(root.Subcommands, n.listCommand(p))
	}
	if n.show != nil {
		have("show", &n.show.verb, nil, n.name, n.doShow)
	}
	have("delete", n.delete, deleteFlags(), n.name, n.doDelete)
	if n.more != nil {
		root.Subcommands = append(root.Subcommands, n.more(p)...)
	}
	return root
}

// description joins the parts of a command's help; see describe.
func description(about string, examples []string) string {
	lines := "   " + strings.Join(examples, "\n   ")
	if about == "" {
		return lines
	}
	return about + "\n\n" + lines
}

// named reads the object's name.
func (n noun[O, L, V]) named(in *input[O]) (err error) {
	if in.line.NArg() != len(n.name) {
		return argumentCount(in.line, in.line.Command.ArgsUsage)
	}
	in.object, err = n.parse(in.line.Args().Slice())
	return err
}

// read reads the object's name and the flags.
func (n noun[O, L, V]) read(in *input[O], v *verb[O]) error {
	if err := n.named(in); err != nil {
		return err
	}
	for _, f := range v.flags {
		var err error
		switch {
		case in.line.IsSet(f.name):
			err = f.read(in)
		case f.missing != nil:
			err = f.missing(in.object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checked calls read, and then the verb's check.
func (n noun[O, L, V]) checked(in *input[O], v *verb[O]) error {
	if err := n.read(in, v); err != nil || v.check == nil {
		return err
	}
	return v.check(in)
}

func (n noun[O, L, V]) doAdd(in *input[O]) error {
	if err := n.checked(in, n.add); err != nil {
		return err
	}
	w, err := in.client.Add(in.ctx, in.object)
	if err != nil {
		return err
	}
	return n.written(in, w, "added", n.add.says)
}

func (n noun[O, L, V]) doSet(in *input[O]) error {
	in.exists = true
	if err := n.read(in, n.set); err != nil {
		return err
	}
	if len(in.change) == 0 {
		return intent.Invalidf("nothing is given to change about %s", n.titled(in.object)).WithHint("see `%s --help`", in.line.Command.HelpName)
	}
	if n.set.check != nil {
		if err := n.set.check(in); err != nil {
			return err
		}
	}
	w, err := in.client.Set(in.ctx, in.object.Reference(), in.change)
	if err != nil {
		return err
	}
	return n.written(in, w, "changed", n.set.says)
}

func (n noun[O, L, V]) titled(o O) string {
	if n.title != nil {
		return n.title(o)
	}
	return intent.Title(o.Reference())
}

// written waits for the hosts to apply an object that was stored, and prints the object,
// even when hosts are late.
func (n noun[O, L, V]) written(in *input[O], w api.Written, done string, says func(O) string) error {
	o, ok := w.Object.(O)
	if !ok {
		return fmt.Errorf("ovloomd answered with a %T for %s", w.Object, n.titled(in.object))
	}
	late := n.applied(in, w.Revision)
	if err := in.print(storedObject{o, w.LeftToDo}, func(out io.Writer) {
		fmt.Fprintf(out, "%s %s", intent.Title(o.Reference()), done)
		if says != nil {
			fmt.Fprintf(out, ": %s", says(o))
		}
		fmt.Fprintln(out)
		for _, what := range w.LeftToDo {
			fmt.Fprintln(out, "to do by hand:", what)
		}
	}); err != nil {
		return err
	}
	return late
}

// applied waits for the hosts that have the object's tenant. It does not wait for a change
// of an object that belongs to no tenant.
func (n noun[O, L, V]) applied(in *input[O], revision int64) error {
	tenant, is := intent.TenantOf(in.object.Reference())
	if !is {
		return nil
	}
	return in.program.applied(in.line, tenant, revision)
}

// storedObject is the JSON output of add and set: the object's fields, and what is left to
// do.
type storedObject struct {
	object   any
	leftToDo []string
}

// MarshalJSON implements json.Marshaler.
func (s storedObject) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s.object); err != nil || len(s.leftToDo) == 0 {
		return b.Bytes(), err
	}
	b.Truncate(bytes.LastIndexByte(b.Bytes(), '}'))
	b.WriteString(`,"left_to_do":`)
	if err := e.Encode(s.leftToDo); err != nil {
		return nil, err
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (n noun[O, L, V]) listCommand(p *program) *cli.Command {
	l := n.list
	c := &cli.Command{Name: "list", Usage: l.usage, Description: description(l.about, l.examples),
		Action: func(c *cli.Context) error { return n.doList(p, c) }}
	for _, f := range l.filters {
		c.Flags = append(c.Flags, f.flag())
	}
	if len(l.within) == 0 {
		return c
	}
	return p.takes(c, optional(l.within...))
}

func (n noun[O, L, V]) doList(p *program, c *cli.Context) error {
	within, err := p.within(c, n.list.within)
	if err != nil {
		return err
	}
	var keep []func(L) bool
	for _, f := range n.list.filters {
		if name := f.flag().Names()[0]; c.IsSet(name) {
			passes, err := f.keep(c.String(name))
			if err != nil {
				return err
			}
			keep = append(keep, passes)
		}
	}
	ctx, cancel := p.call(c)
	defer cancel()
	all, err := api.List[L](ctx, p.client, n.class, within)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(o L) bool {
		return slices.ContainsFunc(keep, func(passes func(L) bool) bool { return passes != nil && !passes(o) })
	})
	if len(all) == 0 && n.list.none != nil {
		if err := n.list.none(ctx, p, c); err != nil {
			return err
		}
	}
	return p.print(all, func(out io.Writer) { columns(out, n.list.columns, all) })
}

// columns writes a table of objects.
func columns[L any](out io.Writer, cs []column[L], all []L) {
	var header []string
	for _, c := range cs {
		header = append(header, c.head)
	}
	var rows [][]string
	for _, o := range all {
		var row []string
		for _, c := range cs {
			row = append(row, c.cell(o))
		}
		rows = append(rows, row)
	}
	table(out, header, rows)
}

// within reads the object that limits a list; nil: no limit.
func (p *program) within(c *cli.Context, classes []intent.Class) (intent.Reference, error) {
	if len(classes) == 0 {
		return nil, noArguments(c)
	}
	if c.NArg() > 1 {
		var words []string
		for _, class := range classes {
			words = append(words, string(class))
		}
		return nil, argumentCount(c, "at most one "+strings.Join(words, " or "))
	}
	arg := c.Args().First()
	if arg == "" {
		return nil, nil
	}
	// For one part more than there are classes, the last class has the best error.
	part := min(strings.Count(arg, "/"), len(classes)-1)
	return p.nouns[classes[part]].reference(arg)
}

func (n noun[O, L, V]) doShow(in *input[O]) error {
	v, err := n.shown(in)
	if err != nil {
		return err
	}
	var more []fact
	if n.show.more != nil && in.format != "json" {
		if more, err = n.show.more(in.ctx, in.program, v); err != nil {
			return err
		}
	}
	return in.print(v, func(out io.Writer) {
		facts(out, append(n.show.facts(v), more...)...)
		if n.show.after != nil {
			n.show.after(out, v)
		}
	})
}

// shown returns the object to show.
func (n noun[O, L, V]) shown(in *input[O]) (v V, err error) {
	if n.show.get != nil {
		if in.line.NArg() != len(n.name) {
			return v, argumentCount(in.line, in.line.Command.ArgsUsage)
		}
		return n.show.get(in.ctx, in.program, in.line.Args().Slice())
	}
	if err := n.checked(in, &n.show.verb); err != nil {
		return v, err
	}
	return api.Get[V](in.ctx, in.client, in.object.Reference())
}

func deleteFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "cascade", Usage: "delete what uses it, too, after printing it"},
		&cli.BoolFlag{Name: "dry-run", Usage: "only print what would be deleted"},
	}
}

// deleted is the JSON output of delete.
type deleted struct {
	Deleted []string `json:"deleted"`
	DryRun  bool     `json:"dry_run"`
}

func (n noun[O, L, V]) doDelete(in *input[O]) error {
	if err := n.checked(in, n.delete); err != nil {
		return err
	}
	ref, cascade := in.object.Reference(), in.line.Bool("cascade")
	if in.line.Bool("dry-run") {
		plan, err := in.client.Delete(in.ctx, ref, api.DeleteMode{Cascade: cascade, DryRun: true})
		if err != nil {
			return err
		}
		return in.print(deleted{list(plan.Deleted), true}, func(w io.Writer) { printAll(w, "would be deleted", plan.Deleted) })
	}
	var announced []string
	if cascade {
		plan, err := in.client.Delete(in.ctx, ref, api.DeleteMode{Cascade: true, DryRun: true})
		if err != nil {
			return err
		}
		announced = plan.Deleted
		// stdout has the JSON answer, and nothing else.
		out := in.stdout
		if in.format == "json" {
			out = in.stderr
		}
		printAll(out, "will be deleted", announced)
	}
	w, err := in.client.Delete(in.ctx, ref, api.DeleteMode{Cascade: cascade})
	if err != nil && len(w.Deleted) == 0 {
		return err
	}
	if err == nil {
		err = n.applied(in, w.Revision)
	}
	if printErr := in.print(deleted{list(w.Deleted), false}, func(out io.Writer) {
		if cascade && slices.Equal(announced, w.Deleted) {
			fmt.Fprintf(out, "%s deleted\n", count(len(w.Deleted), "object"))
			return
		}
		printAll(out, "deleted", w.Deleted)
	}); printErr != nil {
		return printErr
	}
	return err
}

func printAll(w io.Writer, what string, objects []string) {
	for _, o := range objects {
		fmt.Fprintf(w, "%s %s\n", o, what)
	}
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// reference returns the reference for a name without spaces.
func (n noun[O, L, V]) reference(name string) (intent.Reference, error) {
	o, err := n.parse([]string{name})
	if err != nil {
		return nil, err
	}
	return o.Reference(), nil
}

// names returns the names of the objects within another, or of all.
func (n noun[O, L, V]) names(ctx context.Context, c *api.Client, within intent.Reference) ([]string, error) {
	all, err := api.List[L](ctx, c, n.class, within)
	var names []string
	for _, o := range all {
		names = append(names, o.Reference().String())
	}
	return names, err
}
