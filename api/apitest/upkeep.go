package apitest

import (
	"context"
	"io"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// BackupText is what a backup holds.
const BackupText = "all of it"

// StoreHealth implements api.Upkeep.
func (o *Overlay) StoreHealth(context.Context) (api.StoreHealth, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return api.StoreHealth{URLs: []string{"http://192.0.2.1:2379"}, Embedded: true, Revision: o.revision, Etcd: "3.7.3", Size: 81920, InUse: 40960,
		Members: []api.StoreMember{{Name: "host1", URLs: []string{"http://192.0.2.1:2379"}, Peer: "http://192.0.2.1:2380", Leader: true, State: "up"},
			{Peer: "http://192.0.2.2:2380", State: "expected"}}}, o.fail("StoreHealth")
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

// AddMember implements api.Upkeep.
func (o *Overlay) AddMember(_ context.Context, name, peer string) (api.StoreJoining, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if peer == "" {
		peer = "http://192.0.2.2:2380"
	}
	return api.StoreJoining{Name: name, Peer: peer, Listen: "http://192.0.2.2:2379", Join: []string{"http://192.0.2.1:2379"}}, o.fail("AddMember")
}

// RemoveMember implements api.Upkeep.
func (o *Overlay) RemoveMember(_ context.Context, which string) (api.StoreMember, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if which != "host2" {
		return api.StoreMember{}, intent.NotFoundf("the store has no member %s", which)
	}
	return api.StoreMember{Name: which, Peer: "http://192.0.2.2:2380", State: "away"}, o.fail("RemoveMember")
}

// CheckStore implements api.Upkeep. One network is wrong.
func (o *Overlay) CheckStore(context.Context) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return []string{`network umbrella/web has id 7, which is that of "network acme/web"`}, o.fail("CheckStore")
}

// Compact implements api.Upkeep.
func (o *Overlay) Compact(context.Context) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.revision, o.fail("Compact")
}
