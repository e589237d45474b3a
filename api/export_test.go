package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Hurry makes the server's time-outs fit for a test of what happens after them.
func (s *Server) Hurry(d time.Duration) {
	s.timeouts = timeouts{header: d, read: d, work: d, write: 5 * d, drain: d}
}

// canned answers every request alike.
type canned struct {
	status int
	body   string
}

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: c.status, Status: http.StatusText(c.status), Body: io.NopCloser(strings.NewReader(c.body))}, nil
}

func cannedClient(status int, body string) *Client {
	return &Client{socket: "none", http: &http.Client{Transport: canned{status, body}}}
}

// ReadAnswer reads an answer as the client does.
func ReadAnswer(status int, body string, reply any) error {
	return cannedClient(status, body).do(context.Background(), http.MethodGet, "/", nil, nil, reply)
}

// ReadStream reads a stream as the client does.
func ReadStream(status int, body string) error {
	return cannedClient(status, body).waitFor(context.Background(), "/", url.Values{}, time.Second, nil)
}

// Changeable returns a reference to an object of each class that users may change.
func Changeable() (refs []intent.Reference) {
	for _, o := range objects {
		if r := o.class.(interface{ changeable() intent.Reference }).changeable(); r != nil {
			refs = append(refs, r)
		}
	}
	return refs
}

func (d *declared[T, R]) changeable() intent.Reference {
	if d.set == nil {
		return nil
	}
	return d.docs.example.Reference()
}
