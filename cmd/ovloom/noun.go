// What a noun declares of its objects. verbs.go makes commands of it.

package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// noun is what a class of objects says of itself to the command line: O is an object as
// it is added, L as a list shows it, and V as show does.
type noun[O, L, V intent.Object] struct {
	class    intent.Class // its word on the line, too
	usage    string
	about    string
	examples []string

	// name are the arguments that name an object, and parse returns an object with no more
	// than its name. Flags of a verb may belong to the name as well.
	name  []argument
	parse func(args []string) (O, error)
	// title names an object in messages, unless that is intent.Title.
	title func(O) string

	// The verbs of the noun, and in more those that no other noun has.
	add, set *verb[O]
	list     *listing[L]
	show     *showing[O, V]
	delete   *verb[O]
	more     func(p *program) []*cli.Command
}

// verb is what a noun says of one of its verbs; showing and listing add what those verbs show.
type verb[O any] struct {
	word     string // its word on the line; "": the verb's name
	usage    string
	about    string
	examples []string
	several  bool // names of several objects may be given
	flags    []field[O]

	// check refuses an object that is wrong by itself, and looks up what the line may leave
	// out. It is called after the flags are read.
	check func(in *input[O]) error
	// says returns what is printed of an object that was added or changed, after its name.
	says func(O) string
}

// listing is what a noun says of list.
type listing[L any] struct {
	usage    string
	about    string
	examples []string
	within   []intent.Class // what the list can be limited to, outermost first
	filters  []filter[L]
	// none, unless nil, is called when no object passes the filters; it returns an error if a
	// filter names something that does not exist.
	none    func(ctx context.Context, p *program, c *cli.Context) error
	columns []column[L]
}

// filter is a flag of a list. keep returns which objects pass for a value of it; nil: all.
type filter[L any] struct {
	flag func() cli.Flag
	keep func(value string) (func(L) bool, error)
}

// column is a column of a list.
type column[L any] struct {
	head string
	cell func(L) string
}

// fact is a line of what show prints: a name and a value.
type fact = [2]string

// showing is what a noun says of show.
type showing[O, V any] struct {
	verb[O]
	// get finds the object by the arguments, unless that is by its name alone.
	get   func(ctx context.Context, p *program, args []string) (V, error)
	facts func(V) []fact
	// more, unless nil, returns facts that take another call, and after prints what follows
	// the facts; both for people only.
	more  func(ctx context.Context, p *program, v V) ([]fact, error)
	after func(w io.Writer, v V)
}

// input is what a verb has read of its command line.
type input[O any] struct {
	*program
	line   *cli.Context
	ctx    context.Context
	object O              // with its name, and the fields that flags give
	exists bool           // the object is in the store: fields that no flag gives stay
	change map[string]any // the fields that flags give: JSON name to value
}

// declared is a noun of any types.
type declared interface {
	of() intent.Class
	command(p *program) *cli.Command
	reference(name string) (intent.Reference, error)
	names(ctx context.Context, c *api.Client, within intent.Reference) ([]string, error)
}

// noun returns the command of a noun, and registers it for completion.
func (p *program) noun(n declared) *cli.Command {
	p.nouns[n.of()] = n
	return n.command(p)
}
