package ovloom_test

// This file draws the import table for docs/architecture.md.

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// importDrawing draws the packages of the product in floors: each stands above all that it
// imports. First as text, then as a diagram (mermaid) with an arrow to what a package
// imports, but for what it reaches by other arrows anyway.
func importDrawing() string {
	imports := map[string][]string{}
	for name, r := range table {
		if !strings.HasSuffix(name, "/") && !strings.HasPrefix(name, "integration/") && !strings.HasSuffix(path.Base(name), "test") {
			imports[name] = strings.Fields(r.ours)
		}
	}
	floors := floorsOf(imports)
	var b strings.Builder
	b.WriteString("```text\n")
	for i, names := range slices.Backward(floors) {
		fmt.Fprintf(&b, "floor %d   %s\n", i+1, strings.Join(names, "   "))
	}
	b.WriteString("```\n\n```mermaid\nflowchart TB\n")
	for i, names := range slices.Backward(floors) {
		fmt.Fprintf(&b, "  subgraph floor%d [floor %d]\n", i+1, i+1)
		for _, name := range names {
			fmt.Fprintf(&b, "    %s\n", node(name))
		}
		b.WriteString("  end\n")
	}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if direct := notByOthers(imports, name); len(direct) > 0 {
			fmt.Fprintf(&b, "  %s --> %s\n", id(name), strings.Join(direct, " & "))
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// node declares a package in a diagram.
func node(name string) string {
	if id(name) == name {
		return name
	}
	return fmt.Sprintf("%s[%s]", id(name), name)
}

// id is a package's name as a diagram can have it.
func id(name string) string { return strings.ReplaceAll(name, "/", "_") }

// floorsOf returns the packages by floor, the lowest first: what imports nothing is on the
// lowest, and everything else right above the highest that it imports.
func floorsOf(imports map[string][]string) [][]string {
	var floors [][]string
	var floorOf func(name string) int
	known := map[string]int{}
	floorOf = func(name string) int {
		if n, ok := known[name]; ok {
			return n
		}
		n := 0
		for _, imp := range imports[name] {
			n = max(n, floorOf(imp)+1)
		}
		known[name] = n
		return n
	}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		n := floorOf(name)
		for len(floors) <= n {
			floors = append(floors, nil)
		}
		floors[n] = append(floors[n], name)
	}
	return floors
}

// notByOthers returns the ids of what a package imports, but for what its other imports
// import, directly or not.
func notByOthers(imports map[string][]string, name string) (ids []string) {
	reached := map[string]bool{}
	var reach func(from string)
	reach = func(from string) {
		for _, imp := range imports[from] {
			if !reached[imp] {
				reached[imp] = true
				reach(imp)
			}
		}
	}
	for _, imp := range imports[name] {
		reach(imp)
	}
	for _, imp := range slices.Sorted(slices.Values(imports[name])) {
		if !reached[imp] {
			ids = append(ids, id(imp))
		}
	}
	return ids
}

func TestFloors(t *testing.T) {
	imports := map[string][]string{"top": {"left", "low", "a/b"}, "left": {"low"}, "a/b": {"left"}, "low": nil, "aside": nil}
	if got, want := fmt.Sprint(floorsOf(imports)), "[[aside low] [left] [a/b] [top]]"; got != want {
		t.Errorf("floors %s, want %s", got, want)
	}
	for name, want := range map[string]string{"top": "[a_b]", "left": "[low]", "low": "[]"} {
		if got := fmt.Sprint(notByOthers(imports, name)); got != want {
			t.Errorf("arrows of %s: %s, want %s", name, got, want)
		}
	}
}
