package intent

import (
	"slices"
	"strings"
	"testing"
)

func TestNatural(t *testing.T) {
	want := []string{"acme/db/p1", "acme/web/p1", "acme/web/p02", "acme/web/p2", "acme/web/p2-1", "acme/web/p2a", "acme/web/p10", "acme/web/p10-9", "acme/web/p10-10", "acme/web/p99999999999999999999999", "acme/web/port"}
	got := slices.Clone(want)
	slices.SortFunc(got, strings.Compare)
	slices.SortFunc(got, Natural)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for _, a := range want {
		for _, b := range want {
			if Natural(a, b) != -Natural(b, a) || (Natural(a, b) == 0) != (a == b) {
				t.Errorf("%s and %s", a, b)
			}
		}
	}
}
