package ovloom_test

// This file checks the links of the documentation, and writes the table of
// packages in docs/architecture.md, with its drawing, from the import table and from
// what the packages say of themselves.

import (
	"flag"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

//go:generate go test -count=1 -run ^TestArchitectureListsThePackages$ . -update

var update = flag.Bool("update", false, "write the table of packages in docs/architecture.md anew")

func TestArchitectureListsThePackages(t *testing.T) {
	const file = "docs/architecture.md"
	const begin, end = "<!-- packages: written by go generate . -->\n", "<!-- end of packages -->\n"
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(have), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part between %q and %q", file, begin, end)
	}
	want := before + begin + "\n" + packageTable(t) + "\n" + drawingIntro + "\n" + importDrawing() + "\n" + end + after
	if want == string(have) {
		return
	}
	if !*update {
		t.Fatalf("%s does not list the packages as they are: run go generate .", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// drawingIntro explains the drawing of the import table.
const drawingIntro = `Who imports whom, without labs and what only tests use. A package stands above all that it imports, and a test refuses what the table does
not allow, and a table that allows more than is needed. An arrow leads to what a package imports; what it reaches by other arrows anyway has none of
its own.
`

// packageTable lists the packages of the import table that exist.
func packageTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| package | what it does | of ours it may import | of others |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(table)) {
		r := table[name]
		job := r.about
		if job == "" {
			job = synopsis(t, name)
		}
		if job == "" {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, job, quoted(r.ours), quoted(r.outside))
	}
	return b.String()
}

// quoted returns words as code, or a dash.
func quoted(words string) string {
	var list []string
	for w := range strings.FieldsSeq(words) {
		list = append(list, "`"+w+"`")
	}
	if len(list) == 0 {
		return "–"
	}
	return strings.Join(list, ", ")
}

// synopsis returns the first sentence of a package's documentation, without its
// name; "" for a package that does not exist, or that only others' tests use.
func synopsis(t *testing.T, name string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(name, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") || parsed.Doc == nil {
			continue
		}
		s := new(doc.Package).Synopsis(parsed.Doc.Text())
		for _, prefix := range []string{"Package ", "Command ", filepath.Base(name) + " ", "is "} {
			s = strings.TrimPrefix(s, prefix)
		}
		return strings.TrimSuffix(s, ".")
	}
	if len(files) > 0 {
		t.Errorf("package %s has no documentation", name)
	}
	return ""
}

// Links from one page to another lead somewhere.
func TestLinksOfPages(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			links++
			target := filepath.Join(filepath.Dir(page), m[1])
			if m[1] == "" {
				target = page
			}
			to, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			} else if m[2] != "" && !slices.Contains(anchors(string(to)), m[2]) {
				t.Errorf("%s: %s has no heading #%s; it has %q", page, target, m[2], anchors(string(to)))
			}
		}
	}
	if links < 10 {
		t.Errorf("found %d links: that cannot be all", links)
	}
}

// link matches links to files of this repository: the path, and the anchor.
var link = regexp.MustCompile(`\]\(([a-zA-Z0-9_./-]*)(?:#([a-z0-9-]+))?\)`)

// anchors returns the names that headings get: lower case, spaces as hyphens,
// without punctuation.
func anchors(page string) []string {
	var list []string
	for line := range strings.Lines(page) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !strings.HasPrefix(line, "#") || !ok {
			continue
		}
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title)))
	}
	return list
}
