// Looking after the store itself: its health, backups, compacting.

package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Upkeep looks after the store.
type Upkeep interface {
	StoreHealth(ctx context.Context) (StoreHealth, error)
	// Backup writes the whole store to w. A backup that ends in an error is none.
	Backup(ctx context.Context, w io.Writer) error
	// Compact drops the store's history and returns the earliest revision left.
	Compact(ctx context.Context) (revision int64, err error)
}

// StoreHealth is the state of the store.
type StoreHealth struct {
	URLs     []string      `json:"urls"` // where this host asks
	Embedded bool          `json:"embedded"`
	Revision int64         `json:"revision"`
	Etcd     string        `json:"etcd"`   // its version
	Size     int64         `json:"size"`   // bytes on disk
	InUse    int64         `json:"in_use"` // of those; compacting gives the rest back
	Members  []StoreMember `json:"members"`
	Faults   []string      `json:"faults"`
}

// StoreMember is one member of the store's cluster.
type StoreMember struct {
	Name   string   `json:"name"`
	URLs   []string `json:"urls"` // where it serves hosts
	Leader bool     `json:"leader"`
}

// Compacted is the answer to compacting.
type Compacted struct {
	Revision int64 `json:"revision"` // the earliest that is left
}

// backupTimeout bounds a whole backup.
const backupTimeout = 10 * time.Minute

func (s *Server) storeHealth(c *call) (any, error) {
	h, err := s.backend.Upkeep.StoreHealth(c.r.Context())
	h.URLs, h.Members, h.Faults = list(h.URLs), list(h.Members), list(h.Faults)
	return h, err
}

func (s *Server) compact(c *call) (any, error) {
	revision, err := s.backend.Upkeep.Compact(c.r.Context())
	return Compacted{revision}, err
}

// backup streams; an error after the first byte cuts the answer off, which the
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
		s.log.Warn("backup cut off", "err", err)
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

// CompactStore drops the store's history.
func (c *Client) CompactStore(ctx context.Context) (Compacted, error) {
	var v Compacted
	err := c.do(ctx, http.MethodPost, "/v1/store/compact", nil, nil, &v)
	return v, err
}

// Backup writes the whole store to w. A backup that ends in an error is none.
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
