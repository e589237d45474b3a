package repair

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestPut(t *testing.T) {
	var text strings.Builder
	l := &Log{Logger: slog.New(slog.NewTextHandler(&text, nil))}
	l.Put("flows changed by another program", 3, "3 deleted")
	l.Put("link down", 0, "ovl1")
	l.Put("flows changed by another program", 3, "3 deleted")
	var got []string
	for _, e := range l.Entries() {
		got = append(got, fmt.Sprintf("%s %d×%d %s", e.What, e.Times, e.Count, e.Detail))
	}
	want := "flows changed by another program 2×3 3 deleted; link down 1×0 ovl1"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("remembered %s, want %s", s, want)
	}
	if e := l.Entries()[0]; e.First.After(e.At) || e.First.Equal(e.At) {
		t.Errorf("first at %s, last at %s", e.First, e.At)
	}
	if n := strings.Count(text.String(), `level=WARN msg="put back"`); n != 3 {
		t.Errorf("%d lines in the log, want 3:\n%s", n, text.String())
	}
}

func TestKeepsTheNewest(t *testing.T) {
	var l Log
	for i := range Kept + 7 {
		l.Put("port", 1, fmt.Sprint(i))
	}
	list := l.Entries()
	if len(list) != Kept || list[0].Detail != fmt.Sprint(Kept+6) || list[Kept-1].Detail != "7" {
		t.Errorf("%d entries, from %s to %s", len(list), list[0].Detail, list[len(list)-1].Detail)
	}
}

func TestNilForgets(t *testing.T) {
	var l *Log
	l.Put("link down", 1, "")
	if list := l.Entries(); list != nil {
		t.Errorf("a nil log remembers %v", list)
	}
}
