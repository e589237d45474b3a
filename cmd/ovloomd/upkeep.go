// Looking after the store: what the API offers, and restoring a backup.

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// upkeep implements api.Upkeep.
type upkeep struct{ *store.Store }

// StoreHealth implements api.Upkeep.
func (u upkeep) StoreHealth(ctx context.Context) (api.StoreHealth, error) {
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
func (u upkeep) CheckStore(ctx context.Context) ([]string, error) { return u.Check(ctx) }

func member(m cluster.Member) api.StoreMember {
	return api.StoreMember{Name: m.Name, URLs: m.URLs, Peer: m.Peer, Leader: m.Leader, State: string(m.State)}
}

// AddMember implements api.Upkeep.
func (u upkeep) AddMember(ctx context.Context, name, peer string) (api.StoreJoining, error) {
	j, err := u.Store.AddMember(ctx, name, peer)
	return api.StoreJoining(j), err
}

// RemoveMember implements api.Upkeep.
func (u upkeep) RemoveMember(ctx context.Context, which string) (api.StoreMember, error) {
	m, err := u.Store.RemoveMember(ctx, which)
	return member(m), err
}

// newStore has this host begin with another store, and says so.
func newStore(cfg config, log *slog.Logger, out io.Writer) error {
	d := &daemon{cfg: cfg, log: log}
	kept, err := cluster.Init(d.storeConfig())
	if err != nil {
		return err
	}
	if len(cfg.Store) > 0 {
		fmt.Fprintf(out, "start ovloomd: this host follows the store that answers at %s from then on, whichever that is\n", cfg.Store[0])
		return nil
	}
	if kept != "" {
		fmt.Fprintf(out, "what was there before is kept in %s\n", kept)
	} else {
		fmt.Fprintf(out, "there was no store in %s: if that is not the state directory of this host's ovloomd, name it (--state-dir) or its configuration (--config)\n", cfg.StateDir)
	}
	fmt.Fprintf(out, "start ovloomd: it begins with a new and empty store in %s\n", cfg.StateDir)
	return nil
}

// restore replaces the store by a backup, and says so.
func restore(ctx context.Context, cfg config, log *slog.Logger, file string, out io.Writer) error {
	d := &daemon{cfg: cfg, log: log}
	kept, err := store.Restore(ctx, d.storeConfig(), file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "store in %s restored from %s\n", cfg.StateDir, file)
	if kept != "" {
		fmt.Fprintf(out, "what was there before is kept in %s: delete it when all is well\n", kept)
	} else {
		fmt.Fprintf(out, "there was no store before: if that is not the state directory of this host's ovloomd, name it (--state-dir) or its configuration (--config)\n")
	}
	fmt.Fprintf(out, "start ovloomd: the hosts read everything anew by themselves\n")
	return nil
}
