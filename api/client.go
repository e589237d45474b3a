// One request of a client, and the meaning of its failure.

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// callTimeout is how long the client waits for an answer when the caller's context has no
// deadline.
const callTimeout = 30 * time.Second

// Client calls the ovloomd of this host. Its methods return *intent.Error. If a deadline
// passes during a change, the change may or may not have been made.
type Client struct {
	// Copied, unless nil, is called when the store is unreachable and the answer comes
	// from the host's cached copy, with the revision of the copy.
	Copied func(revision int64)

	socket string
	http   *http.Client
}

// NewClient returns a client of the ovloomd that listens on socket. It connects at the
// first call.
func NewClient(socket string) *Client {
	return &Client{socket: socket, http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			},
			MaxIdleConns:    4,
			IdleConnTimeout: time.Minute,
		},
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends body, unless it is nil, and decodes the answer into reply. If reply is a
// Written, a failed delete puts the objects that it deleted there.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, reply any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	resp, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.failed(ctx, method, err)
	}
	if resp.StatusCode >= 300 {
		return answered(resp, b, reply)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return notUnderstood(resp, err)
	}
	c.heard(resp.Header)
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		r = bytes.NewReader(b)
	}
	u := url.URL{Scheme: "http", Host: "ovloomd", RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	// Opaque paths keep an escaped slash inside a name from becoming a separator.
	req.URL.Path, err = url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.URL.RawPath = path
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(ctx, method, err)
	}
	return resp, nil
}

// failed returns the user's error for err, which kept an answer from coming.
func (c *Client) failed(ctx context.Context, method string, err error) error {
	unavailable := func(hint, format string, args ...any) error {
		return &intent.Error{Kind: intent.Unavailable, What: fmt.Sprintf(format, args...), Hint: hint, Err: err}
	}
	var dial *net.OpError
	dialing := errors.As(err, &dial) && dial.Op == "dial"
	switch {
	case dialing && errors.Is(err, fs.ErrNotExist):
		return unavailable("start it with `systemctl start ovloomd`, or say with --socket where it listens",
			"ovloomd is not running on this host: there is no socket %s", c.socket)
	case dialing && errors.Is(err, syscall.ECONNREFUSED):
		return unavailable("start it with `systemctl start ovloomd`, or say with --socket where it listens",
			"ovloomd is not running on this host: nothing answers on %s", c.socket)
	case dialing && errors.Is(err, fs.ErrPermission):
		return unavailable("become root, or a member of group "+Group+" (`usermod -aG "+Group+" USER`, then log in again)",
			"no permission to open %s", c.socket)
	case errors.Is(context.Cause(ctx), context.Canceled):
		return unavailable(doubt(method), "interrupted")
	case ctx.Err() != nil:
		return unavailable(doubt(method), "ovloomd did not answer in time")
	}
	return unavailable(doubt(method), "ovloomd did not answer: %v", root(err))
}

// doubt is the hint about a change that may or may not have been made.
func doubt(method string) string {
	if method == http.MethodGet {
		return ""
	}
	return "the change may have been made all the same: look before you repeat it"
}

// root unwraps net/http's mention of a URL that the user did not type.
func root(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// answered turns an answer that is not a success into an error.
func answered(resp *http.Response, body []byte, reply any) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil || f.What == "" {
		return notUnderstood(resp, errors.New(strings.TrimSpace(string(body[:min(len(body), 200)]))))
	}
	if w, ok := reply.(*Written); ok {
		w.Deleted = f.Deleted
	}
	return &f.Error
}

func notUnderstood(resp *http.Response, err error) error {
	return &intent.Error{Kind: internal, What: fmt.Sprintf("the answer (%s) is not ovloomd's: %v", resp.Status, err),
		Hint: "is it ovloomd that listens there, of this version?", Err: err}
}

// waitGrace is how much longer than the server a waiting client waits, so that the
// server's answer says which hosts are late.
const waitGrace = 3 * time.Second

// waitFor reads a stream until its last line. It calls progress, unless nil, with the
// hosts that are waited for.
func (c *Client) waitFor(ctx context.Context, path string, query url.Values, timeout time.Duration, progress func(pending []string)) error {
	query.Set("timeout", timeout.String())
	ctx, cancel := context.WithTimeout(ctx, timeout+waitGrace)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, path, query, nil)
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
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		var l WaitLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return notUnderstood(resp, err)
		}
		switch {
		case l.Error != nil:
			return l.Error
		case l.Done:
			return nil
		case progress != nil:
			progress(l.Pending)
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return c.failed(ctx, http.MethodGet, err)
}
