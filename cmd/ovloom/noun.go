// The declarations of nouns. verbs.go makes commands from them.

package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// noun declares a class of objects for the command line: O is the type of an object that
// is added, L of a list's element, and V of what show prints.
type noun[O, L, V intent.Object] struct {
	class    intent.Class // also its word on the line
	usage    string
	about    string
	examples []string

	// name are the arguments that name an object, and parse returns an object with only
	// its name set. Flags of a verb may belong to the name as well.
	name  []argument
	parse func(args []string) (O, error)
	// title returns an object's name for messages; nil: intent.Title.
	title func(O) string

	// The verbs of the noun, and in more the verbs that only this noun has.
	add, set *verb[O]
	list     *listing[L]
	show     *showing[O, V]
	delete   *verb[O]
	more     func(p *program) []*cli.Command
}

// verb declares a verb of a noun; showing and listing add the output of those verbs.
type verb[O any] struct {
	word     string // its word on the line; "": the verb's name
	usage    string
	about    string
	examples []string
	several  bool // names of several objects may be given
	flags    []field[O]

	// check refuses an object that is invalid by itself, and looks up what the line may
	// leave out. It is called after the flags are read.
	check func(in *input[O]) error
	// says returns the text printed after the name of an object that was added or changed.
	says func(O) string
}

// listing declares the verb list of a noun.
type listing[L any] struct {
	usage    string
	about    string
	examples []string
	within   []intent.Class // the classes that can limit the list, outermost first
	filters  []filter[L]
	// none, unless nil, is called when no object passes the filters; it returns an error
	// if a filter names an object that does not exist.
	none    func(ctx context.Context, p *program, c *cli.Context) error
	columns []column[L]
}

// filter is a flag of a list. keep returns a predicate for a value of the flag; nil: all
// objects pass.
type filter[L any] struct {
	flag func() cli.Flag
	keep func(value string) (func(L) bool, error)
}

// column is a column of a list.
type column[L any] struct {
	head string
	cell func(L) string
}

// fact is a line of show's output: a name and a value.
type fact = [2]string

// showing declares the verb show of a noun.
type showing[O, V any] struct {
	verb[O]
	// get finds the object by the arguments; nil: by its name alone.
	get   func(ctx context.Context, p *program, args []string) (V, error)
	facts func(V) []fact
	// more, unless nil, returns facts that take another call, and after prints text after
	// the facts; both for people only.
	more  func(ctx context.Context, p *program, v V) ([]fact, error)
	after func(w io.Writer, v V)
}

// input is what a verb has read from its command line.
type input[O any] struct {
	*program
	line   *cli.Context
	ctx    context.Context
	object O              // with its name, and the fields that flags set
	exists bool           // the object is in the store: fields that no flag sets stay
	change map[string]any // the fields that flags set: JSON name to value
}

// declared is a noun without its types.
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
