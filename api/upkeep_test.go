package api_test

import (
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

func TestBackup(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	var b strings.Builder
	if err := c.Backup(background(t), &b); err != nil {
		t.Fatal(err)
	}
	want(t, "what was backed up", b.String(), hosttest.BackupText)

	// A backup that is cut off must not pass for whole.
	o.FailWith(func(op string) error { return intent.Unavailablef("%s: the store does not answer", op) })
	wantError(t, c.Backup(background(t), &b), intent.Unavailable, "ovloomd did not answer")
}
