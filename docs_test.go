package ovloom_test

// This file writes the table of packages in docs/architecture.md from the import
// table and from what the packages say of themselves.

import (
	"flag"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
	want := before + begin + "\n" + packageTable(t) + "\n" + end + after
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

// packageTable lists the packages of the import table that exist.
func packageTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| package | what it does | of ours it may import | of others |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(table)) {
		job := synopsis(t, name)
		if job == "" {
			continue
		}
		r := table[name]
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
	if strings.HasSuffix(name, "/") {
		return "programs that run labs"
	}
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
