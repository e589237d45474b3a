// Command ovloom lets users state what they want of the overlay, and see what they got. It
// only reads flags, calls the ovloomd of this host, and prints.
//
// There is one file per noun, which declares its objects (noun.go): their names, the flags
// of their fields (fields.go), and the output of list and show. The verbs add, set, list,
// show and delete are written once for all nouns (verbs.go), and so is completion
// (complete.go). args.go lets flags stand anywhere on the line, help.go prints help,
// output.go tables and JSON, wait.go the hosts that are waited for.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// Exit codes, documented for scripts in docs/cli.md.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitUnavailable = 5
)

// program is one run of the command.
type program struct {
	// Set by run.
	stdout, stderr io.Writer
	env            func(string) string

	// Set from the global flags, before a command's action.
	client   *api.Client
	format   string // "table" or "json"
	timeout  time.Duration
	wait     bool
	deadline time.Time // of the whole command

	// Set by commands.
	nouns    map[intent.Class]declared
	grammars map[*cli.Command]grammar

	// Set where a line names several objects.
	several []string
	printed []any // the JSON output for each
}

// run is main without the process: it returns the exit code. No command reads stdin yet.
func run(args []string, _ io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	p := &program{stdout: stdout, stderr: stderr, env: env}
	if len(args) > 0 && args[0] == completeCommand {
		p.complete(args[1:])
		return exitOK
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := p.run(ctx, args); err != nil {
		p.report(err)
		return exitCode(err)
	}
	return exitOK
}

func (p *program) run(ctx context.Context, args []string) error {
	root := p.commands()
	l, err := parseLine(root, args)
	if err != nil {
		return err
	}
	if l.help {
		printHelp(p.stdout, l.path)
		return nil
	}
	if len(l.command().Subcommands) > 0 {
		return intent.Invalidf("no command is given").WithHint("see `%s --help`", l.name())
	}
	if len(l.args) > 1 && p.grammars[l.command()].several {
		return p.each(ctx, root, l, l.args)
	}
	return p.one(ctx, root, l)
}

// one runs a line.
func (p *program) one(ctx context.Context, root *cli.Command, l line) error {
	app := &cli.App{
		Name: root.Name, Commands: root.Subcommands, Flags: root.Flags, Before: p.globals,
		HideHelp: true, HideVersion: true,
		Writer: p.stdout, ErrWriter: p.stderr, ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError: badFlag,
	}
	defer func() {
		if p.client != nil {
			p.client.Close()
			p.client = nil
		}
	}()
	return app.RunContext(ctx, l.arranged())
}

// each runs a line that names several objects once for each of them, and goes on after a
// failure. It returns the last error and reports the others.
func (p *program) each(ctx context.Context, root *cli.Command, l line, names []string) error {
	p.several = names
	var failed error
	for i, name := range names {
		l.args = []string{name}
		err := p.one(ctx, root, l)
		if err != nil && failed != nil {
			p.report(failed)
		}
		if err != nil {
			failed = err
		}
		if p.format == "table" && l.command().Name == "show" && i < len(names)-1 {
			fmt.Fprintln(p.stdout)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if p.format == "json" {
		if err := p.encode(list(p.printed)); err != nil {
			return err
		}
	}
	return failed
}

// commands returns the command tree, whose root is ovloom itself.
func (p *program) commands() *cli.Command {
	p.nouns, p.grammars = map[intent.Class]declared{}, map[*cli.Command]grammar{}
	root := &cli.Command{
		Name:  "ovloom",
		Usage: "overlay networks for plain Linux hosts",
		Description: `Say what you want; the ovloomd of every host makes its Open vSwitch do it.

   ovloom tenant add acme
   ovloom network add acme/web --subnet 10.0.0.0/24
   ovloom port add acme/web/c1
   ovloom port plug acme/web/c1 --netns c1
   ovloom external add internet --host
   ovloom nat snat add acme --external internet
   ovloom status`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "socket", Value: api.DefaultSocket, Usage: "where ovloomd listens: `PATH` (environment: OVLOOM_SOCKET)"},
			completed(&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT` of what is printed: table or json"}, oneOf("json", "table")),
			&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "give up after `DURATION`"},
			&cli.BoolFlag{Name: "wait", Value: true, Usage: "return when the change has reached every live host that it concerns, as is the default"},
			&cli.BoolFlag{Name: "no-wait", Usage: "return when the change is stored"},
		},
		Subcommands: []*cli.Command{
			p.noun(tenants), p.noun(networks), p.noun(ports), p.noun(peers), p.noun(routes), p.noun(externals), p.natCommand(), p.noun(hosts),
			p.storeCommand(), p.statusCommand(), p.doctorCommand(), p.traceCommand(), p.flowsCommand(), p.connectionsCommand(), p.macsCommand(),
			p.certCommand(), p.versionCommand(), p.completionCommand(), p.manCommand(),
		},
	}
	setUsageErrors(root)
	addAliases(root)
	return root
}

func setUsageErrors(c *cli.Command) {
	c.HideHelp = true
	c.OnUsageError = badFlag
	for _, sub := range c.Subcommands {
		setUsageErrors(sub)
	}
}

// flagError matches package flag's error for a value.
var flagError = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]+): `)

// badFlag rewords package flag's error for a value.
func badFlag(c *cli.Context, err error, _ bool) error {
	m := flagError.FindStringSubmatch(err.Error())
	if m == nil {
		return intent.Invalidf("%w", err)
	}
	flags := c.App.Flags
	if c.Command != nil {
		flags = slices.Concat(c.Command.Flags, flags)
	}
	want := "a whole number"
	f := findFlag(flags, m[2])
	if c, ok := f.(completedFlag); ok {
		f = c.DocGenerationFlag
	}
	switch f.(type) {
	case *cli.DurationFlag:
		want = "a duration such as 30s"
	case *cli.BoolFlag:
		want = "true or false"
	case *cli.Uint64Flag:
		want = "a whole number, not negative"
	}
	return intent.Invalidf("--%s cannot be %s", m[2], m[1]).WithHint("give %s", want)
}

// globals reads the global flags.
func (p *program) globals(c *cli.Context) error {
	p.format = c.String("output")
	if p.format != "table" && p.format != "json" {
		return intent.Invalidf("output format %q does not exist", p.format).WithHint("choose table or json")
	}
	p.timeout = c.Duration("timeout")
	if p.timeout <= 0 {
		return intent.Invalidf("time-out %s is not positive", p.timeout).WithHint("give a duration such as 30s")
	}
	p.deadline = time.Now().Add(p.timeout)
	p.wait = c.Bool("wait") && !c.Bool("no-wait")
	p.client = api.NewClient(p.socket(c.String("socket"), c.IsSet("socket")))
	p.client.Copied = func(revision int64) {
		fmt.Fprintf(p.stderr, "ovloom: store unreachable; showing this host's cached copy of its own tenants (revision %d)\n", revision)
	}
	return nil
}

// socket returns where ovloomd listens: the flag's value, else the environment's.
func (p *program) socket(flag string, given bool) string {
	if env := p.env("OVLOOM_SOCKET"); env != "" && !given {
		return env
	}
	return flag
}

// call returns the context for a command's calls.
func (p *program) call(c *cli.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(c.Context, p.deadline)
}

// onlyArgument returns a command's only argument.
func onlyArgument(c *cli.Context) (string, error) {
	if c.NArg() == 1 {
		return c.Args().First(), nil
	}
	return "", argumentCount(c, c.Command.ArgsUsage)
}

// parsed returns a command's only argument, parsed by parse.
func parsed[R any](c *cli.Context, parse func(string) (R, error)) (r R, err error) {
	arg, err := onlyArgument(c)
	if err != nil {
		return r, err
	}
	return parse(arg)
}

func noArguments(c *cli.Context) error {
	if c.NArg() == 0 {
		return nil
	}
	return argumentCount(c, "no arguments")
}

func argumentCount(c *cli.Context, want string) error {
	name := strings.TrimPrefix(c.Command.HelpName, c.App.Name+" ")
	e := intent.Invalidf("%s needs %s", name, want)
	if c.NArg() > 0 {
		e = intent.Invalidf("%s takes %s, but is given %s", name, want, count(c.NArg(), "argument"))
	}
	return e.WithHint("see `%s --help`", c.Command.HelpName)
}

// usersShown bounds how many of an object's users an error lists; `--cascade
// --dry-run` lists all.
const usersShown = 20

// report prints an error in the form common to all commands.
func (p *program) report(err error) {
	var e *intent.Error
	if !errors.As(err, &e) {
		fmt.Fprintf(p.stderr, "ovloom: %v\n", err)
		return
	}
	fmt.Fprintf(p.stderr, "ovloom: %s\n", e.What)
	for _, u := range e.Used[:min(len(e.Used), usersShown)] {
		fmt.Fprintf(p.stderr, "  used by %s\n", u)
	}
	if more := len(e.Used) - usersShown; more > 0 {
		fmt.Fprintf(p.stderr, "  and %d more\n", more)
	}
	if e.Hint != "" {
		fmt.Fprintf(p.stderr, "hint: %s\n", e.Hint)
	}
}

func exitCode(err error) int {
	switch intent.KindOf(err) {
	case intent.Invalid:
		return exitUsage
	case intent.NotFound:
		return exitNotFound
	case intent.Conflict, intent.InUse:
		return exitConflict
	case intent.Unavailable:
		return exitUnavailable
	}
	return exitFailure
}
