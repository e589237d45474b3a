package pipeline

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:generate go test -count=1 -run ^Test(PackageDocListsTheTables|ArchitectureListsThePipeline)$ . -update

// The lists of tables, registers, cookies and drop reasons in the documentation are
// generated.
func TestArchitectureListsThePipeline(t *testing.T) {
	const file = "../docs/architecture.md"
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(have)
	for _, part := range []struct{ name, text string }{
		{"tables", docTables()},
		{"registers", docRegisters()},
		{"cookies", docCookies()},
		{"reasons", docReasons()},
	} {
		begin := fmt.Sprintf("<!-- %s: written by go generate ./pipeline -->\n", part.name)
		end := fmt.Sprintf("<!-- end of %s -->\n", part.name)
		before, rest, ok := strings.Cut(want, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no part between %q and %q", file, begin, end)
		}
		want = before + begin + "\n" + part.text + "\n" + end + after
	}
	if bytes.Equal(have, []byte(want)) {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: run go generate ./pipeline", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func docTables() string {
	var b strings.Builder
	b.WriteString("| table | number | what it is for | leads to |\n|---|---|---|---|\n")
	for _, t := range Tables() {
		var next []string
		for _, n := range t.Next {
			next = append(next, n.Name)
		}
		leads := strings.Join(next, ", ")
		if leads == "" {
			leads = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", t.Name, t.ID, t.Purpose, leads)
	}
	return b.String()
}

func docRegisters() string {
	var b strings.Builder
	b.WriteString("| name | field | bits |\n|---|---|---|\n")
	for _, r := range registers {
		bits := fmt.Sprint(r.Sub.Offset)
		if r.Sub.Width > 1 {
			bits = fmt.Sprintf("%d–%d", r.Sub.Offset, r.Sub.Offset+r.Sub.Width-1)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", r.Name, r.Sub.Field, bits)
	}
	return b.String()
}

func docCookies() string {
	var b strings.Builder
	b.WriteString("| kind | what a flow of this kind belongs to |\n|---|---|\n")
	for k := KindBase; kindNames[k] != ""; k++ {
		fmt.Fprintf(&b, "| `%02x` | %s |\n", uint8(k), k)
	}
	return b.String()
}

func docReasons() string {
	var b strings.Builder
	b.WriteString("| reason | meaning |\n|---|---|\n")
	for _, r := range Reasons() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", r, r.Meaning())
	}
	return b.String()
}
