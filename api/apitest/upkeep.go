package apitest

import (
	"context"
	"io"

	"github.com/ovloom/ovloom/api"
)

// BackupText is what a backup holds.
const BackupText = "all of it"

// StoreHealth implements api.Upkeep.
func (o *Overlay) StoreHealth(context.Context) (api.StoreHealth, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return api.StoreHealth{URLs: []string{"http://192.0.2.1:2379"}, Embedded: true, Revision: o.revision, Etcd: "3.7.3", Size: 81920, InUse: 40960,
		Members: []api.StoreMember{{Name: "ovloom", URLs: []string{"http://192.0.2.1:2379"}, Leader: true}}}, o.fail("StoreHealth")
}

// Backup implements api.Upkeep. It fails after half of what it would write.
func (o *Overlay) Backup(_ context.Context, w io.Writer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	half := len(BackupText) / 2
	if _, err := io.WriteString(w, BackupText[:half]); err != nil {
		return err
	}
	if err := o.fail("Backup"); err != nil {
		return err
	}
	_, err := io.WriteString(w, BackupText[half:])
	return err
}

// Compact implements api.Upkeep.
func (o *Overlay) Compact(context.Context) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.revision, o.fail("Compact")
}
