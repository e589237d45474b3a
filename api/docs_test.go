package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

//go:generate go test -count=1 -run ^TestDocs$ . -update

var update = flag.Bool("update", false, "write docs/api.md anew")

const docsFile = "../docs/api.md"

func TestDocs(t *testing.T) {
	doc := docs(t)
	if *update {
		if err := os.WriteFile(docsFile, doc, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(old, doc) {
		t.Errorf("%s is not what the routes say: run go generate ./api", docsFile)
	}
}

// docs writes docs/api.md from the routes.
func docs(t *testing.T) []byte {
	var b bytes.Buffer
	b.WriteString(docsIntro)
	for _, k := range []struct {
		kind intent.Kind
		what string
	}{
		{intent.Invalid, "the request is wrong; nothing was written (405 for a wrong method, 413 for a huge body)"},
		{intent.NotFound, "what it names does not exist"},
		{intent.Conflict, "it clashes with something that exists"},
		{intent.InUse, "it would take away what others use; `users` lists them"},
		{intent.Unavailable, "a process that it needs does not answer, or not in time"},
		{internal, "anything else"},
	} {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", k.kind, statusOf(k.kind), k.what)
	}
	fmt.Fprintf(&b, "\nFor example:\n\n%s\n", example(t, failure{Error: *intent.InUseBy("network acme/web", []string{"port acme/web/c1"})}))
	for _, r := range routes() {
		fmt.Fprintf(&b, "## %s %s\n\n%s\n\n", r.method, r.path, r.summary)
		for _, p := range r.query {
			fmt.Fprintf(&b, "- `%s`: %s\n", p.name, p.doc)
		}
		if len(r.query) > 0 {
			b.WriteString("\n")
		}
		if r.body != nil {
			fmt.Fprintf(&b, "Request (fields: %s):\n\n%s\n", fields(r.body), example(t, r.body))
		}
		switch {
		case r.stream && r.reply == nil:
		case r.stream:
			fmt.Fprintf(&b, "Answer, line by line:\n\n```json\n{\"pending\":[\"host1\",\"host2\"]}\n{\"pending\":[\"host2\"]}\n{\"done\":true}\n```\n\n")
		case r.status != 0:
			fmt.Fprintf(&b, "Answer (status %d):\n\n%s\n", r.status, example(t, r.reply))
		default:
			fmt.Fprintf(&b, "Answer:\n\n%s\n", example(t, r.reply))
		}
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

const docsIntro = `# The API of ovloomd

<!-- Written from the routes in package api by its tests: go generate ./api -->

ovloomd answers HTTP with JSON bodies on a unix socket, ` + "`/run/ovloom/ovloomd.sock`" + ` unless its ` + "`--socket`" + ` says
otherwise. The socket belongs to root and group ` + "`ovloom`" + ` (mode 0660): whoever may open it administers the overlay, and
nothing else is asked. The CLI uses nothing but this API:

` + "```sh" + `
curl --unix-socket /run/ovloom/ovloomd.sock http://ovloomd/v1/tenants
curl --unix-socket /run/ovloom/ovloomd.sock http://ovloomd/v1/tenants -d '{"name":"acme"}'
` + "```" + `

- A request body is one JSON object of at most 1 MiB. Unknown fields, unknown parameters and values of the wrong type are
  errors, never ignored.
- A change is answered when it is stored, with the store's ` + "`revision`" + ` that has it. A change goes on when its client goes
  away; a client that gave up does not know whether it was made, and should look.
- Whether the change has reached the switches is asked afterwards: ` + "`GET /v1/tenants/{tenant}/applied?revision=…`" + `. An external is no tenant's:
  hosts take a change of it in at once, but it is not known when.
- While the store does not answer, tenants and what they have are read from what the host keeps of it on disk: of the
  tenants that have a port on this host. So is the list of externals. Such an answer has a header, ` + "`Ovloom-Copy`" + `: the
  store's revision of that.
- Lists are ordered by name. Fields may be added within ` + "`/v1`" + `; clients ignore those they do not know.

## Errors

An answer that is not a success has a JSON body: ` + "`kind`" + `, ` + "`error`" + ` (what was wrong) and, where there is something to say,
` + "`hint`" + ` (what would be right). A delete that failed half-way also has ` + "`deleted`" + `: what is gone.

| kind | status | meaning |
|---|---|---|
`

// example writes v as a block of indented JSON.
func example(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return "```json\n" + b.String() + "```\n"
}

// The requests of the documentation must be accepted as they are printed.
func TestExamplesAreValidRequests(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range routes() {
		if key := r.method + " " + r.path; seen[key] {
			t.Errorf("%s is there twice", key)
		} else {
			seen[key] = true
		}
		if r.body == nil {
			continue
		}
		b, err := json.Marshal(r.body)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.New(reflect.TypeOf(r.body).Elem()).Interface()
		if err := decode(bytes.NewReader(b), v); err != nil {
			t.Errorf("%s %s: %v", r.method, r.path, err)
		}
		if !reflect.DeepEqual(v, r.body) {
			t.Errorf("%s %s: %s decodes to %+v", r.method, r.path, b, v)
		}
	}
	for _, n := range []intent.Network{exampleNetwork} {
		if err := n.Validate(); err != nil {
			t.Error(err)
		}
		if err := examplePort.Validate(n); err != nil {
			t.Error(err)
		}
	}
}

// A field's JSON type must be one that jsonType has words for.
func TestEveryFieldHasWords(t *testing.T) {
	for _, r := range routes() {
		if r.body == nil {
			continue
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(r.body).Elem()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			err := decode(strings.NewReader(fmt.Sprintf(`{%q:[[[]]]}`, name)), reflect.New(reflect.TypeOf(r.body).Elem()).Interface())
			if intent.KindOf(err) != intent.Invalid || !strings.Contains(err.Error(), "it must be") {
				t.Errorf("%s %s: a list of lists as %s: %v", r.method, r.path, name, err)
			}
		}
	}
}
