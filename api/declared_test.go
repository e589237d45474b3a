package api_test

import (
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/storetest"
)

// A class may be changed by its declaration in this package, and by that in package store.
func TestStoreChangesWhatUsersMayChange(t *testing.T) {
	st := storetest.Open(t)
	refs := api.Changeable()
	if len(refs) == 0 {
		t.Fatal("nothing can be changed")
	}
	for _, ref := range refs {
		t.Run(string(ref.Class()), func(t *testing.T) {
			_, _, err := st.Set(t.Context(), ref, func(o intent.Object) (intent.Object, error) { return o, nil })
			wantError(t, err, intent.NotFound)
		})
	}
}
