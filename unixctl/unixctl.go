// Package unixctl calls ovs-vswitchd through its control socket, as ovs-appctl does:
// JSON-RPC 1.0 over a unix socket, JSON values one after the other without framing
// (ovs-appctl(8), RFC 7047 section 4).
//
// A call takes a tenth of a millisecond, running ovs-appctl several. Each call has its
// own connection: a slow one does not delay others.
package unixctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// callTimeout bounds a call whose context has no deadline.
	callTimeout = 5 * time.Second
	// replyMax bounds an answer, in bytes; a dump of all megaflows is the longest.
	replyMax = 256 << 20
)

// ErrNoDaemon is wrapped in the error of a call when the daemon is not running.
var ErrNoDaemon = errors.New("the daemon does not run")

// CommandError is a command's refusal by the daemon.
type CommandError struct {
	Method string
	Text   string // the daemon's text
}

// Error returns the command and the daemon's text.
func (e *CommandError) Error() string { return e.Method + ": " + e.Text }

// Client calls one daemon. Its zero value is not usable; see New.
type Client struct {
	runDir, daemon string
}

// New returns a client of a daemon, such as ovs-vswitchd, whose sockets are in runDir.
// It finds the daemon's socket at each call, so that it survives a restart of the
// daemon.
func New(runDir, daemon string) *Client { return &Client{runDir: runDir, daemon: daemon} }

// Call calls a method, such as ofproto/trace, and returns its result. If the daemon
// refuses the command, the error is a *CommandError. Without a deadline in ctx it waits
// five seconds at most.
func (c *Client) Call(ctx context.Context, method string, params ...string) (string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	result, err := c.call(ctx, method, params)
	var refused *CommandError
	if err != nil && !errors.As(err, &refused) {
		return "", fmt.Errorf("call %s of %s: %w", method, c.daemon, err)
	}
	return result, err
}

func (c *Client) call(ctx context.Context, method string, params []string) (string, error) {
	path, err := c.socket()
	if err != nil {
		return "", err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// When ctx ends, a deadline in the past wakes whatever waits.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	request, err := encode(method, params)
	if err != nil {
		return "", err
	}
	if _, err := conn.Write(request); err != nil {
		return "", ended(ctx, err)
	}
	result, err := decode(conn, method)
	return result, ended(ctx, err)
}

// ended returns ctx's error, if that is why a call failed.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// socket returns the control socket of the running daemon. Its name includes the
// process id from the pid file; without a pid file, the only socket is used.
func (c *Client) socket() (string, error) {
	raw, err := os.ReadFile(filepath.Join(c.runDir, c.daemon+".pid"))
	if err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			return "", fmt.Errorf("%s.pid in %s holds no number", c.daemon, c.runDir)
		}
		return filepath.Join(c.runDir, fmt.Sprintf("%s.%d.ctl", c.daemon, pid)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(c.runDir, c.daemon+".*.ctl"))
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("%w: %s has neither a pid file nor a control socket of it", ErrNoDaemon, c.runDir)
	case len(found) > 1:
		return "", fmt.Errorf("%s has %d control sockets of %s and no pid file that says which is in use", c.runDir, len(found), c.daemon)
	}
	return found[0], nil
}

// request and reply are messages of JSON-RPC 1.0.
type request struct {
	ID     int      `json:"id"`
	Method string   `json:"method"`
	Params []string `json:"params"`
}

type reply struct {
	ID     *int    `json:"id"`
	Result *string `json:"result"`
	Error  *string `json:"error"`
}

func encode(method string, params []string) ([]byte, error) {
	if params == nil {
		params = []string{} // the daemon does not accept null for a list
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(request{0, method, params})
	return b.Bytes(), err
}

// decode reads the answer to a call of method: the first JSON value that comes.
func decode(r io.Reader, method string) (string, error) {
	var answer reply
	if err := json.NewDecoder(io.LimitReader(r, replyMax)).Decode(&answer); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", fmt.Errorf("the connection ended before the answer: %w", err)
		}
		return "", fmt.Errorf("the answer is not understood: %w", err)
	}
	switch {
	case answer.ID == nil || *answer.ID != 0:
		return "", errors.New("the answer is to another call")
	case answer.Error != nil:
		return "", &CommandError{method, strings.TrimSpace(*answer.Error)}
	case answer.Result == nil:
		return "", errors.New("the answer has neither a result nor an error")
	}
	return *answer.Result, nil
}
