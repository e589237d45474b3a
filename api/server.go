// One request from its first byte to its log line; time-outs and shutdown.

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Server answers the API's requests. Make it with NewServer.
type Server struct {
	// Set by NewServer.
	backend  Backend
	log      *slog.Logger
	mux      *http.ServeMux
	timeouts timeouts
	stopping context.Context // done: waits end
	stop     context.CancelFunc
}

// timeouts bound how long one client can hold up the server.
type timeouts struct {
	header time.Duration // reading a request's header
	read   time.Duration // reading a whole request
	work   time.Duration // a handler, except waits
	write  time.Duration // writing a complete answer
	drain  time.Duration // requests in progress at shutdown
}

// Drain is how long a Server may take to end: the time for requests in progress.
const Drain = 5 * time.Second

var defaultTimeouts = timeouts{
	header: 5 * time.Second,
	read:   10 * time.Second,
	work:   25 * time.Second, // less than the client's 30 s, so that the client learns the cause
	write:  30 * time.Second,
	drain:  Drain,
}

// NewServer returns a server of b that logs requests at debug level.
func NewServer(b Backend, log *slog.Logger) *Server {
	s := &Server{backend: b, log: log, mux: http.NewServeMux(), timeouts: defaultTimeouts}
	s.stopping, s.stop = context.WithCancel(context.Background())
	methods := map[string][]route{}
	for _, r := range routes() {
		methods[r.path] = append(methods[r.path], r)
	}
	for path, rs := range methods {
		s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.dispatch(w, r, rs) })
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, intent.NotFoundf("the API has no path %s", r.URL.Path).
			WithHint("this ovloomd has version %s: docs/api.md of that version lists its paths", BuildVersion()), nil)
	})
	return s
}

// Serve answers requests on ln until ctx ends. Then it closes ln, ends waits, lets other
// requests finish within Drain, and returns nil.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.timeouts.header,
		ReadTimeout:       s.timeouts.read,
		WriteTimeout:      s.timeouts.work + s.timeouts.write,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the API on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.drain)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		s.log.Warn("API requests cut off by shutdown", "error", err)
		_ = srv.Close()
	}
	<-failed
	return nil
}

// call is one request in its handler.
type call struct {
	w     *response
	r     *http.Request
	query url.Values
	note  *copyNote // nil: a stream
}

// response records the status for the log, and whether it can still be set.
type response struct {
	http.ResponseWriter
	status int
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &response{ResponseWriter: rw}
	start := time.Now()
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			s.log.Error("API handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			if w.status != 0 {
				panic(http.ErrAbortHandler) // abort the connection, so that the client does not take the answer for complete
			}
			s.fail(w, r, fmt.Errorf("ovloomd failed on %s %s: %v", r.Method, r.URL.Path, p), nil)
		}
		s.log.Debug("API request", "method", r.Method, "path", r.URL.RequestURI(), "status", w.status, "took", time.Since(start))
	}()
	s.mux.ServeHTTP(w, r)
}

// dispatch chooses the route of a path by method and writes what its handler returns.
func (s *Server) dispatch(rw http.ResponseWriter, r *http.Request, rs []route) {
	w := rw.(*response)
	i := slices.IndexFunc(rs, func(x route) bool { return x.method == r.Method })
	if i < 0 {
		var allowed []string
		for _, x := range rs {
			allowed = append(allowed, x.method)
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, &statusError{http.StatusMethodNotAllowed,
			intent.Invalidf("%s does not take %s", r.URL.Path, r.Method).WithHint("it takes %s", strings.Join(allowed, ", "))}, nil)
		return
	}
	route := rs[i]
	c := &call{w: w, r: r}
	if err := c.open(route); err != nil {
		s.fail(w, r, err, nil)
		return
	}
	if !route.stream {
		ctx := r.Context()
		if r.Method != http.MethodGet {
			// A client that disconnects must not interrupt a change half-way.
			ctx = context.WithoutCancel(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, s.timeouts.work)
		defer cancel()
		ctx, note := withCopyNote(ctx)
		c.r, c.note = r.WithContext(ctx), note
	}
	if route.local {
		if err := s.started(c.r.Context()); err != nil {
			s.fail(w, r, err, nil)
			return
		}
	}
	v, err := route.serve(s, c)
	if err != nil {
		var deleted []string
		if wr, ok := v.(Written); ok {
			deleted = wr.Deleted
		}
		s.fail(w, r, err, deleted)
		return
	}
	if route.stream {
		return
	}
	c.note.set(w.Header())
	s.reply(w, r, max(route.status, http.StatusOK), v)
}

// started waits for this host's switch, but ends with the server.
func (s *Server) started(ctx context.Context) error {
	if s.backend.Started == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	return s.backend.Started(ctx)
}

// open does the checks that all routes share.
func (c *call) open(route route) error {
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return intent.Invalidf("the query is malformed: %w", err)
	}
	c.query = q
	if err := checkQuery(q, route.query); err != nil {
		return err
	}
	if route.body == nil {
		if c.r.ContentLength != 0 {
			return intent.Invalidf("%s %s takes no body", c.r.Method, c.r.URL.Path)
		}
		// The read deadline would end the request's context.
		return c.endReading()
	}
	return nil
}

func (c *call) endReading() error {
	err := http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	if errors.Is(err, http.ErrNotSupported) { // a test's ResponseRecorder
		return nil
	}
	return err
}

// body reads the request's body into v.
func (c *call) body(v any) error {
	if err := decode(c.r.Body, v); err != nil {
		return err
	}
	return c.endReading()
}

// reply sends v as JSON.
func (s *Server) reply(w *response, r *http.Request, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // flows have ->, and people read them
	if err := e.Encode(v); err != nil {
		s.fail(w, r, fmt.Errorf("encode the answer: %w", err), nil)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		s.log.Debug("API answer not delivered", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}

// fail sends err as JSON, with what a delete deleted before it.
func (s *Server) fail(rw http.ResponseWriter, r *http.Request, err error, deleted []string) {
	e := asError(err)
	status := statusOf(e.Kind)
	var se *statusError
	if errors.As(err, &se) {
		status = se.status
	}
	s.log.Debug("API request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(failure{Error: *e, Deleted: deleted})
}
