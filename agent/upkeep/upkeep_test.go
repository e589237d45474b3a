package upkeep

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/storetest"
)

var _ api.Upkeep = Store{}

func TestStoreHealth(t *testing.T) {
	u := Store{storetest.Open(t)}
	h, err := u.StoreHealth(t.Context())
	if err != nil || !h.Embedded || len(h.Members) != 1 || h.Members[0].Name == "" {
		t.Errorf("health %+v, %v", h, err)
	}
	urls, err := u.MemberURLs(t.Context())
	if err != nil || len(urls) < 2 {
		t.Errorf("members are at %q, %v", urls, err)
	}
	if faults, err := u.CheckStore(t.Context()); len(faults) != 0 || err != nil {
		t.Errorf("faults %q, %v", faults, err)
	}
	if _, err := u.RemoveMember(t.Context(), "nowhere"); err == nil {
		t.Error("a member that does not exist was removed")
	}
}

// A host that joins another store reports what becomes of the old one.
func TestInit(t *testing.T) {
	dir := t.TempDir()
	cfg := cluster.Config{StateDir: filepath.Join(dir, "store"), Name: "host1"}
	for _, c := range []struct {
		name      string
		endpoints []string
		want      string
	}{
		{"none was there", nil, "there was no store in " + dir},
		{"the store is elsewhere", []string{"https://host9:2379"}, "follows the store that answers at https://host9:2379"},
	} {
		cfg.Endpoints = c.endpoints
		var out strings.Builder
		if err := Init(cfg, dir, &out); err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: reported %q, %v; want %q", c.name, out.String(), err, c.want)
		}
	}
	var out strings.Builder
	if err := Restore(t.Context(), cfg, dir, filepath.Join(dir, "no.db"), &out); err == nil || out.Len() != 0 {
		t.Errorf("restored nothing: reported %q, %v", out.String(), err)
	}
}
