// Package upkeep maintains the store: it implements the API's maintenance calls, and
// initializes or restores the store while ovloomd is stopped.
package upkeep

import (
	"context"
	"fmt"
	"io"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// Store implements api.Upkeep.
type Store struct{ *store.Store }

// StoreHealth implements api.Upkeep.
func (u Store) StoreHealth(ctx context.Context) (api.StoreHealth, error) {
	h, err := u.Health(ctx)
	if err != nil {
		return api.StoreHealth{}, err
	}
	v := api.StoreHealth{URLs: h.URLs, Embedded: u.Embedded(), Revision: h.Revision, Etcd: h.Version, Size: h.Size, InUse: h.InUse, Faults: h.Faults}
	for _, m := range h.Members {
		v.Members = append(v.Members, member(m))
	}
	return v, nil
}

// CheckStore implements api.Upkeep.
func (u Store) CheckStore(ctx context.Context) ([]string, error) { return u.Check(ctx) }

func member(m cluster.Member) api.StoreMember {
	return api.StoreMember{Name: m.Name, URLs: m.URLs, Peer: m.Peer, Leader: m.Leader, State: string(m.State)}
}

// AddMember implements api.Upkeep.
func (u Store) AddMember(ctx context.Context, name, peer string) (api.StoreJoining, error) {
	j, err := u.Store.AddMember(ctx, name, peer)
	return api.StoreJoining(j), err
}

// RemoveMember implements api.Upkeep.
func (u Store) RemoveMember(ctx context.Context, which string) (api.StoreMember, error) {
	m, err := u.Store.RemoveMember(ctx, which)
	return member(m), err
}

// MemberURLs returns the client and peer URLs of the store's members.
func (u Store) MemberURLs(ctx context.Context) ([]string, error) {
	members, err := u.Members(ctx)
	var urls []string
	for _, m := range members {
		urls = append(append(urls, m.URLs...), m.Peer)
	}
	return urls, err
}

// Init makes this host start with a new store, or with the store that cfg names, and writes
// to out what it did. stateDir is the daemon's state directory.
func Init(cfg cluster.Config, stateDir string, out io.Writer) error {
	kept, err := cluster.Init(cfg)
	if err != nil {
		return err
	}
	if len(cfg.Endpoints) > 0 {
		fmt.Fprintf(out, "start ovloomd: this host follows the store that answers at %s from then on, whichever that is\n", cfg.Endpoints[0])
		return nil
	}
	if kept != "" {
		fmt.Fprintf(out, "what was there before is kept in %s\n", kept)
	} else {
		fmt.Fprintf(out, "there was no store in %s: if that is not the state directory of this host's ovloomd, name it (--state-dir) or its configuration (--config)\n", stateDir)
	}
	fmt.Fprintf(out, "start ovloomd: it begins with a new and empty store in %s\n", stateDir)
	return nil
}

// Restore replaces the store by a backup, and writes to out what it did. stateDir is the
// daemon's state directory.
func Restore(ctx context.Context, cfg cluster.Config, stateDir, file string, out io.Writer) error {
	kept, err := store.Restore(ctx, cfg, file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "store in %s restored from %s\n", stateDir, file)
	if kept != "" {
		fmt.Fprintf(out, "what was there before is kept in %s: delete it when all is well\n", kept)
	} else {
		fmt.Fprintf(out, "there was no store before: if that is not the state directory of this host's ovloomd, name it (--state-dir) or its configuration (--config)\n")
	}
	fmt.Fprintf(out, "start ovloomd: the hosts read everything anew by themselves\n")
	return nil
}
