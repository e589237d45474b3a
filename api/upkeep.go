// Maintenance of the store: its health, backups, compacting.

package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Upkeep maintains the store.
type Upkeep interface {
	StoreHealth(ctx context.Context) (StoreHealth, error)
	// Backup writes the whole store to w. If it fails, discard what it wrote.
	Backup(ctx context.Context, w io.Writer) error
	// CheckStore returns what is wrong in the store, one finding a line.
	CheckStore(ctx context.Context) ([]string, error)
	// Compact drops the store's history and returns the earliest revision left.
	Compact(ctx context.Context) (revision int64, err error)
	// AddMember makes the store expect a new member; an empty peer is chosen.
	AddMember(ctx context.Context, name, peer string) (StoreJoining, error)
	// RemoveMember removes a member, named by its name or its peer URL.
	RemoveMember(ctx context.Context, which string) (StoreMember, error)
}

// StoreHealth is the state of the store.
type StoreHealth struct {
	URLs     []string      `json:"urls"` // the URLs that this host uses
	Embedded bool          `json:"embedded"`
	Revision int64         `json:"revision"`
	Etcd     string        `json:"etcd"`   // its version
	Size     int64         `json:"size"`   // bytes on disk
	InUse    int64         `json:"in_use"` // bytes of Size in use; compacting frees the rest
	Members  []StoreMember `json:"members"`
	Faults   []string      `json:"faults"`
}

// StoreMember is one member of the store's cluster.
type StoreMember struct {
	Name   string   `json:"name"` // empty until it has joined
	URLs   []string `json:"urls"` // where it serves hosts
	Peer   string   `json:"peer"` // where the other members reach it
	Leader bool     `json:"leader"`
	State  string   `json:"state"` // "up", "away", "joining" (without a vote yet) or "expected" (has not joined)
}

// StoreMemberSpec describes a new member of the store.
type StoreMemberSpec struct {
	Name string `json:"name"`           // of its host
	Peer string `json:"peer,omitempty"` // URL at which the other members will reach it; empty: by the VTEP address of the host
}

// StoreJoining is what the ovloomd of a new member has to be given.
type StoreJoining struct {
	Name   string   `json:"name"`
	Peer   string   `json:"peer"`   // where the other members expect it
	Listen string   `json:"listen"` // for --store-listen
	Join   []string `json:"join"`   // for --store-join
}

// Compacted is the answer to compacting.
type Compacted struct {
	Revision int64 `json:"revision"` // the earliest revision left
}

// StoreCheck is what is wrong in the store.
type StoreCheck struct {
	Findings []string `json:"findings"` // sorted; none: nothing is wrong
}

// backupTimeout bounds a whole backup.
const backupTimeout = 10 * time.Minute

func (s *Server) storeHealth(c *call) (any, error) {
	h, err := s.backend.Upkeep.StoreHealth(c.r.Context())
	h.URLs, h.Members, h.Faults = list(h.URLs), list(h.Members), list(h.Faults)
	for i := range h.Members {
		h.Members[i].URLs = list(h.Members[i].URLs)
	}
	return h, err
}

func (s *Server) addMember(c *call) (any, error) {
	var spec StoreMemberSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	j, err := s.backend.Upkeep.AddMember(c.r.Context(), spec.Name, spec.Peer)
	j.Join = list(j.Join)
	return j, err
}

func (s *Server) removeMember(c *call) (any, error) {
	m, err := s.backend.Upkeep.RemoveMember(c.r.Context(), c.query.Get("member"))
	m.URLs = list(m.URLs)
	return m, err
}

func (s *Server) checkStore(c *call) (any, error) {
	found, err := s.backend.Upkeep.CheckStore(c.r.Context())
	return StoreCheck{list(found)}, err
}

func (s *Server) compact(c *call) (any, error) {
	revision, err := s.backend.Upkeep.Compact(c.r.Context())
	return Compacted{revision}, err
}

// backup streams; after an error past the first byte it aborts the connection, which the
// client notices.
func (s *Server) backup(c *call) (any, error) {
	ctx, cancel := context.WithTimeout(c.r.Context(), backupTimeout)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	if err := http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(backupTimeout)); err != nil {
		return nil, err
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	if err := s.backend.Upkeep.Backup(ctx, c.w); err != nil {
		if c.w.status == 0 {
			return nil, err
		}
		s.log.Warn("backup cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil, nil
}

// StoreHealth returns the state of the store.
func (c *Client) StoreHealth(ctx context.Context) (StoreHealth, error) {
	var h StoreHealth
	err := c.do(ctx, http.MethodGet, "/v1/store", nil, nil, &h)
	return h, err
}

// CheckStore reads the whole store and returns what is wrong in it.
func (c *Client) CheckStore(ctx context.Context) (StoreCheck, error) {
	var v StoreCheck
	err := c.do(ctx, http.MethodGet, "/v1/store/check", nil, nil, &v)
	return v, err
}

// CompactStore drops the store's history.
func (c *Client) CompactStore(ctx context.Context) (Compacted, error) {
	var v Compacted
	err := c.do(ctx, http.MethodPost, "/v1/store/compact", nil, nil, &v)
	return v, err
}

// AddStoreMember makes the store expect a new member.
func (c *Client) AddStoreMember(ctx context.Context, spec StoreMemberSpec) (StoreJoining, error) {
	var v StoreJoining
	err := c.do(ctx, http.MethodPost, "/v1/store/members", nil, spec, &v)
	return v, err
}

// RemoveStoreMember removes a member of the store, named by its name or its peer URL.
func (c *Client) RemoveStoreMember(ctx context.Context, which string) (StoreMember, error) {
	var v StoreMember
	err := c.do(ctx, http.MethodDelete, "/v1/store/members", url.Values{"member": {which}}, nil, &v)
	return v, err
}

// Backup writes the whole store to w. If it fails, discard what it wrote.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/store/backup", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return c.failed(ctx, http.MethodGet, err)
		}
		return answered(resp, b, nil)
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return c.failed(ctx, http.MethodGet, fmt.Errorf("after %d bytes: %w", n, err))
	}
	return nil
}
