package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

func spanDir(stateDir string) string { return filepath.Join(stateDir, "span") }
func spanCopy(stateDir, tenant string) string {
	return filepath.Join(spanDir(stateDir), tenant+".copy")
}
func hostsCopy(stateDir string) string     { return filepath.Join(stateDir, "hosts.copy") }
func externalsCopy(stateDir string) string { return filepath.Join(stateDir, "externals.copy") }

// Copy returns the cached copy of a watched tenant. A damaged copy counts as absent.
func (s *Store) Copy(tenant string) (intent.Snapshot, bool) {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return intent.Snapshot{}, false
	}
	all, revision, ok := s.kv.ReadCopy(spanCopy(s.stateDir, tenant))
	if !ok {
		return intent.Snapshot{}, false
	}
	snap, bad := snapshotOf(all, revision)
	s.complain(bad)
	return snap, snap.Tenant.Name == tenant
}

// CopiedTenants returns the names of the tenants that have copies on disk.
func (s *Store) CopiedTenants() []string {
	entries, err := os.ReadDir(spanDir(s.stateDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot list the cached copies of tenants", "error", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".copy"); ok {
			names = append(names, name)
		}
	}
	return names
}

// CopiedHosts returns the copy on disk of the list of hosts.
func (s *Store) CopiedHosts() (intent.HostsUpdate, bool) {
	hosts, revision, ok := copiedList[intent.Host](s, hostsCopy(s.stateDir))
	return intent.HostsUpdate{Revision: revision, Hosts: hosts}, ok
}

// CopiedExternals returns the copy on disk of the list of externals.
func (s *Store) CopiedExternals() (intent.ExternalsUpdate, bool) {
	externals, revision, ok := copiedList[intent.External](s, externalsCopy(s.stateDir))
	return intent.ExternalsUpdate{Revision: revision, Externals: externals}, ok
}

// copiedList reads what watchList kept.
func copiedList[T any](s *Store, path string) (list []T, revision int64, ok bool) {
	all, revision, ok := s.kv.ReadCopy(path)
	for _, it := range all {
		o, err := objectOf[T](it)
		if err != nil {
			s.complain([]error{err})
			continue
		}
		list = append(list, o)
	}
	return list, revision, ok
}

// DropCopy deletes the cached copy of a tenant when the host has no port of the tenant any
// more. Its WatchTenant must have returned.
func (s *Store) DropCopy(tenant string) error {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return err
	}
	return kv.RemoveCopy(spanCopy(s.stateDir, tenant))
}
