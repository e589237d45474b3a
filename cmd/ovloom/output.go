// Output to stdout: aligned tables for people, JSON for programs.

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes v as JSON if the user asked for JSON, and calls text otherwise.
func (p *program) print(v any, text func(w io.Writer)) error {
	switch {
	case p.format != "json":
		text(p.stdout)
		return nil
	case p.several != nil: // one document at the end
		p.printed = append(p.printed, v)
		return nil
	}
	return p.encode(v)
}

// encode writes JSON.
func (p *program) encode(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// table writes rows under a header, in aligned columns. It writes an empty cell as "-", so
// that columns can be counted.
func table(w io.Writer, header []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, row := range rows {
		for i := range row {
			if row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
}

// facts writes names and values, one pair a line, in two columns.
func facts(w io.Writer, pairs ...fact) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, p := range pairs {
		if p[1] == "" {
			p[1] = "-"
		}
		fmt.Fprintf(t, "%s\t%s\n", p[0], p[1])
	}
	_ = t.Flush()
}

func addrs(as []netip.Addr) string {
	var s []string
	for _, a := range as {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}

// address formats an address; an unknown one gives an empty cell.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// decimal formats a number that is not a quantity, such as an id.
func decimal[N ~uint64 | ~uint32](n N) string { return strconv.FormatUint(uint64(n), 10) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func joined[T fmt.Stringer](vs []T) string {
	var s []string
	for _, v := range vs {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}

// count formats a number with its noun: 1 port, 2 ports.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
