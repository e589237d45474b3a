package main

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

// readInto reads flags of a line into an object.
func readInto[O any](t *testing.T, fields []field[O], words ...string) (*input[O], error) {
	t.Helper()
	in := &input[O]{program: &program{}, change: map[string]any{}}
	c := &cli.Command{Name: "set"}
	for _, f := range fields {
		c.Flags = append(c.Flags, f.flag())
	}
	app := &cli.App{Commands: []*cli.Command{c}, HideHelp: true}
	var failed error
	c.Action = func(line *cli.Context) error {
		in.line = line
		for _, f := range fields {
			if line.IsSet(f.name) {
				if err := f.read(in); err != nil {
					failed = err
				}
			}
		}
		return nil
	}
	if err := app.Run(append([]string{"x", "set"}, words...)); err != nil {
		t.Fatal(err)
	}
	return in, failed
}

// What a flag gives is in the change under its JSON name, and values that are zero are
// values: they differ from what is not given.
func TestFieldsAreInTheChange(t *testing.T) {
	in, err := readInto(t, networkRest, "--mtu", "0", "--learning=false", "--storm-limit", "0", "--ethertype", "none", "--unknown", "flood")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(in.change)
	if want := `{"ethertypes":[],"learning":false,"mtu":0,"storm_limit":4294967295,"unknown":"flood"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if in.object.Unknown != intent.UnknownFlood || in.object.StormLimit != intent.StormUnlimited {
		t.Errorf("the object has %+v", in.object)
	}
}

func TestAChangeOfNoFieldPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a field of another object is taken for one of this")
		}
	}()
	other := 1
	(&input[intent.Network]{change: map[string]any{}}).changes(&other)
}

func TestWrongValuesAreRefused(t *testing.T) {
	for _, words := range [][]string{{"--ip", "10.0.0.300"}, {"--mac", "zz"}, {"--learn", "-1"}, {"--learn", "1025"}} {
		if _, err := readInto(t, portFlags, words...); intent.KindOf(err) != intent.Invalid {
			t.Errorf("%q: %v", words, err)
		}
	}
}

// An object is printed with its own fields, and with what is left to do if there is anything.
func TestStoredObjectAsJSON(t *testing.T) {
	o := intent.Tenant{Name: "a", ID: 1, VRF: 2}
	for _, tc := range []struct {
		left []string
		want string
	}{
		{nil, `{"name":"a","id":1,"vrf":2}`},
		{[]string{"<x>"}, `{"name":"a","id":1,"vrf":2,"left_to_do":["<x>"]}`},
	} {
		var out strings.Builder
		p := &program{stdout: &out, format: "json"}
		if err := p.print(storedObject{o, tc.left}, nil); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(out.String()), ""); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}

// Every command says what its arguments are, in the order of its usage.
func TestGrammarIsTheUsage(t *testing.T) {
	p := &program{}
	seen := 0
	eachCommand([]*cli.Command{p.commands()}, func(path []*cli.Command) {
		c := path[len(path)-1]
		g := p.grammars[c]
		var words []string
		for _, a := range g.arguments {
			words = append(words, a.usage)
		}
		if g.several {
			words = append(words, "...")
		}
		if c.ArgsUsage != strings.Join(words, " ") {
			t.Errorf("%s: usage %q, arguments %q", pathName(path), c.ArgsUsage, words)
		}
		for _, a := range g.arguments {
			for _, class := range a.path {
				if p.nouns[class] == nil {
					t.Errorf("%s: completion knows no %s", pathName(path), class)
				}
			}
			seen++
		}
	})
	if seen < 40 {
		t.Errorf("only %d arguments were seen", seen)
	}
	if got := optional(intent.ClassTenant, intent.ClassNetwork).usage; got != "[TENANT[/NETWORK]]" {
		t.Error(got)
	}
}

// Each noun reads names of its objects, refuses others, and is what the API calls the class.
func TestNounsReadNames(t *testing.T) {
	p := &program{}
	p.commands()
	for class, n := range p.nouns {
		if n.of() != class {
			t.Errorf("noun %s is registered as %s", n.of(), class)
		}
	}
	for class, names := range map[intent.Class][2]string{
		intent.ClassTenant: {"acme", "acme/web"}, intent.ClassNetwork: {"acme/web", "acme"}, intent.ClassPort: {"acme/web/c1", "acme/web"},
		intent.ClassPeer: {"acme/web/tor1", "acme"}, intent.ClassExternal: {"campus", "Campus"}, intent.ClassHost: {"host1", "-"},
	} {
		ref, err := p.nouns[class].reference(names[0])
		if err != nil || ref.Class() != class || ref.String() != names[0] {
			t.Errorf("%s %s: %v, %v", class, names[0], ref, err)
		}
		if _, err := p.nouns[class].reference(names[1]); intent.KindOf(err) != intent.Invalid {
			t.Errorf("%s %s: %v", class, names[1], err)
		}
	}
}

// Flags are made anew for each command line: package cli keeps values in them.
func TestFlagsAreNotShared(t *testing.T) {
	flags := func() []cli.Flag {
		var all []cli.Flag
		eachCommand([]*cli.Command{(&program{}).commands()}, func(path []*cli.Command) { all = append(all, path[len(path)-1].Flags...) })
		return all
	}
	pointer := func(f cli.Flag) uintptr {
		if c, ok := f.(completedFlag); ok {
			f = c.DocGenerationFlag
		}
		return reflect.ValueOf(f).Pointer()
	}
	one, two := flags(), flags()
	for i := range one {
		if slices.ContainsFunc(two, func(f cli.Flag) bool { return pointer(f) == pointer(one[i]) }) {
			t.Errorf("flag %s is shared", one[i].Names()[0])
		}
	}
}

func TestABadValueOfACompletedFlag(t *testing.T) {
	_, errs, code := newSession(t).exec("nat forward show acme --tcp x")
	if want := "ovloom: --tcp cannot be \"x\"\nhint: give a whole number, not negative\n"; code != exitUsage || errs != want {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// Lines for every verb of every noun, right and wrong: what declarations give must be what
// users have always got.
func TestLines(t *testing.T) {
	lines, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(t)
	s.run(strings.Split(strings.TrimSpace(string(lines)), "\n")...)
	s.golden("lines")
}
