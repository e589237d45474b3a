package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// send hands the server one request and returns status and body.
func send(h http.Handler, method, target, body string) (*httptest.ResponseRecorder, intent.Error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, target, r))
	var e intent.Error
	_ = json.Unmarshal(rec.Body.Bytes(), &e)
	return rec, e
}

func TestBadRequests(t *testing.T) {
	o := hosttest.New(t)
	srv := api.NewServer(o.Backend(), quiet())
	if rec, _ := send(srv, "POST", "/v1/tenants", `{"name":"acme"}`); rec.Code != http.StatusCreated {
		t.Fatal(rec.Code, rec.Body)
	}
	send(srv, "POST", "/v1/tenants/acme/networks", `{"name":"web"}`)
	send(srv, "POST", "/v1/tenants/acme/networks/web/ports", `{"name":"c1"}`)
	before := must(o.Store.Ping(t.Context()))(t)
	defer func() {
		if after := must(o.Store.Ping(t.Context()))(t); after != before {
			t.Errorf("bad requests have changed the store, from revision %d to %d", before, after)
		}
	}()
	const nets, ports = "/v1/tenants/acme/networks", "/v1/tenants/acme/networks/web/ports"
	for _, tc := range []struct {
		name, method, target, body string
		status                     int
		says                       string
	}{
		{"unknown path", "GET", "/v1/tenant", "", 404, "the API has no path /v1/tenant"},
		{"trailing slash", "GET", "/v1/tenants/", "", 404, "no path"},
		{"root", "GET", "/", "", 404, "no path"},
		{"another version", "GET", "/v2/tenants", "", 404, "no path"},
		{"wrong method", "PUT", "/v1/tenants", "{}", 405, "/v1/tenants does not take PUT; it takes GET, POST"},
		{"HEAD", "HEAD", "/v1/tenants", "", 405, "does not take HEAD"},
		{"unknown parameter", "DELETE", "/v1/tenants/acme?cascad=true", "", 400, `unknown parameter "cascad"; the parameters are cascade, dry-run`},
		{"parameter where there is none", "GET", "/v1/tenants?x=1", "", 400, `unknown parameter "x"`},
		{"parameter twice", "DELETE", "/v1/tenants/acme?cascade=true&cascade=false", "", 400, "given 2 times"},
		{"malformed bool", "DELETE", "/v1/tenants/acme?cascade=yes", "", 400, `cascade="yes" is malformed; give true or false`},
		{"malformed dry run", "DELETE", "/v1/tenants/acme?dry-run=1", "", 400, `dry-run="1" is malformed`},
		{"malformed query", "GET", "/v1/tenants?%zz", "", 400, "query is malformed"},
		{"malformed revision", "GET", "/v1/tenants/acme/applied?revision=-1", "", 400, `revision="-1" is malformed`},
		{"no revision", "GET", "/v1/tenants/acme/applied", "", 400, `revision="" is malformed`},
		{"malformed time-out", "GET", "/v1/tenants/acme/applied?revision=1&timeout=30", "", 400, `timeout="30" is malformed`},
		{"endless time-out", "GET", "/v1/tenants/acme/applied?revision=1&timeout=1000h", "", 400, "at most 1h"},
		{"body where there is none", "DELETE", "/v1/tenants/acme", "{}", 400, "takes no body"},
		{"no body", "POST", "/v1/tenants", "", 400, "no body; send a JSON object with name"},
		{"not JSON", "POST", "/v1/tenants", "name: acme", 400, "is not JSON"},
		{"cut short", "POST", "/v1/tenants", `{"name":"ac`, 400, "cut short"},
		{"an array", "POST", "/v1/tenants", `["acme"]`, 400, "is a JSON array; send a JSON object with name"},
		{"null", "POST", "/v1/tenants", `null`, 400, "tenant name is empty"},
		{"trailing data", "POST", "/v1/tenants", `{"name":"a"}{"name":"b"}`, 400, "goes on after its JSON value"},
		{"trailing garbage", "POST", "/v1/tenants", `{"name":"a"} x`, 400, "goes on after its JSON value"},
		{"unknown field", "POST", nets, `{"name":"web","subnet":"10.0.0.0/24"}`, 400, `unknown field "subnet"; the fields are name, subnets, vni, mtu, unknown, learning`},
		{"field of the store", "POST", ports, `{"name":"c1","id":7}`, 400, `unknown field "id"`},
		{"number as text", "POST", nets, `{"name":"web","vni":"7"}`, 400, `field "vni": a JSON string does not fit; it must be a whole number`},
		{"negative VNI", "POST", nets, `{"name":"web","vni":-1}`, 400, `field "vni": a JSON number -1 does not fit; it must be a whole number, not negative`},
		{"VNI beyond 32 bits", "POST", nets, `{"name":"web","vni":4294967296}`, 400, `field "vni"`},
		{"VNI beyond 24 bits", "POST", nets, `{"name":"web","vni":16777216}`, 400, "VNI 16777216 is out of range"},
		{"text as bool", "POST", nets, `{"name":"web","learning":"yes"}`, 400, "it must be true or false"},
		{"object as list", "POST", nets, `{"name":"web","subnets":{}}`, 400, "it must be a list"},
		{"text as subnet", "POST", nets, `{"name":"web","subnets":["10.0.0.0/24"]}`, 400, "it must be an object"},
		{"number as prefix", "POST", nets, `{"name":"web","subnets":[{"prefix":10}]}`, 400, "it must be a string"},
		{"malformed prefix", "POST", nets, `{"name":"web","subnets":[{"prefix":"10.0.0.0/40"}]}`, 400, "10.0.0.0/40"},
		{"overlapping prefixes", "POST", nets, `{"name":"web","subnets":[{"prefix":"10.0.0.0/24"},{"prefix":"10.0.0.0/16"}]}`, 400, "overlap"},
		{"unknown policy", "POST", nets, `{"name":"web","unknown":"maybe"}`, 400, `policy "maybe"`},
		{"malformed address", "POST", ports, `{"name":"c1","addresses":["10.0.0.300"]}`, 400, "10.0.0.300"},
		{"malformed MAC", "POST", ports, `{"name":"c1","mac":"02:00"}`, 400, `MAC address "02:00" is malformed`},
		{"group MAC", "POST", ports, `{"name":"c1","mac":"01:00:5e:00:00:01"}`, 400, "group address"},
		{"malformed tenant name", "POST", "/v1/tenants", `{"name":"ACME"}`, 400, `tenant name "ACME" is malformed`},
		{"slash in a name", "POST", "/v1/tenants", `{"name":"acme/web"}`, 400, "has a slash"},
		{"escaped slash in the path", "GET", "/v1/tenants/a%2Fb", "", 400, "has a slash"},
		{"malformed name in the path", "GET", "/v1/tenants/A", "", 400, `"A" is malformed`},
		{"malformed network in the path", "GET", nets + "/_", "", 400, `network name "_"`},
		{"malformed tenant of a list", "GET", "/v1/tenants/A/networks", "", 400, `tenant name "A"`},
		{"escaped slash in the tenant of a list", "GET", "/v1/tenants/a%2Fb/routes", "", 400, "has a slash"},
		{"malformed network of a list", "GET", nets + "/_/peers", "", 400, `network name "_"`},
		{"malformed host", "GET", "/v1/hosts/Host1", "", 400, `host name "Host1"`},
		{"nothing to change about a network", "PATCH", nets + "/web", "{}", 400, "nothing is given to change about network acme/web; give at least one of subnets, mtu, unknown, learning"},
		{"nothing to change about a port", "PATCH", ports + "/c1", `{}`, 400, "nothing is given to change about port acme/web/c1"},
		{"no VTEP of a peer", "POST", nets + "/web/peers", `{"name":"tor1"}`, 400, "the VTEP address is missing"},
		{"malformed VTEP of a peer", "POST", nets + "/web/peers", `{"name":"tor1","vtep":"192.0.2"}`, 400, "192.0.2"},
		{"malformed peer in the path", "GET", nets + "/web/peers/_", "", 400, `peer name "_"`},
		{"plug nowhere", "PUT", ports + "/c1/plug", "{}", 400, "exactly one of"},
		{"plug at two places", "PUT", ports + "/c1/plug", `{"netns":"a","pid":1}`, 400, "exactly one of"},
		{"plug into a malformed namespace", "PUT", ports + "/c1/plug", `{"netns":"../x"}`, 400, `"../x" is malformed`},
		{"plug as a malformed interface", "PUT", ports + "/c1/plug", `{"netns":"a","ifname":"a b"}`, 400, `interface name "a b"`},
		{"plug by a long tap", "PUT", ports + "/c1/plug", `{"tap":"sixteen-bytes-xx"}`, 400, "at most 15 bytes"},
		{"plug by a tap with another name", "PUT", ports + "/c1/plug", `{"tap":"tap0","ifname":"eth0"}`, 400, "a tap keeps its name"},
		{"plug into a negative process", "PUT", ports + "/c1/plug", `{"pid":-1}`, 400, "negative"},
		{"flows of a malformed object", "GET", "/v1/flows?object=a/b/c/d", "", 400, "is no name of"},
		{"no next hop", "POST", "/v1/tenants/acme/routes", `{"prefix":"10.9.0.0/16"}`, 400, "has no next hop"},
		{"no prefix", "POST", "/v1/tenants/acme/routes", `{"via":["10.0.0.7"]}`, 400, "destination is empty"},
		{"malformed route in the path", "GET", "/v1/tenants/acme/routes/10.9.0.0/33", "", 400, `"10.9.0.0/33" is malformed`},
		{"route with bits behind its prefix in the path", "GET", "/v1/tenants/acme/routes/10.9.0.1/16", "", 400, "write 10.9.0.0/16"},
		{"nothing to change about a route", "PATCH", "/v1/tenants/acme/routes/10.9.0.0/16", "{}", 400, "give at least one of via"},
		{"no next hop left", "PATCH", "/v1/tenants/acme/routes/10.9.0.0/16", `{"via":[]}`, 400, "has no next hop"},
		{"no kind of external", "POST", "/v1/externals", `{"name":"internet"}`, 400, `kind "" of external internet does not exist; choose host or bridge`},
		{"IPv6 of an external", "POST", "/v1/externals", `{"name":"x","kind":"host","subnet":"fd00::/64"}`, 400, "NAT is for IPv4 only"},
		{"text as pool", "POST", "/v1/externals", `{"name":"x","kind":"bridge","pool":"203.0.113.10-203.0.113.20"}`, 400, `field "pool"`},
		{"nothing to change about an external", "PATCH", "/v1/externals/internet", "{}", 400, "give at least one of allow, no_allow, pool, mtu"},
		{"malformed external in the path", "GET", "/v1/externals/_", "", 400, `external name "_"`},
		{"no external of a snat", "POST", "/v1/tenants/acme/snats", "{}", 400, "external name is empty"},
		{"nothing to change about a snat", "PATCH", "/v1/tenants/acme/snats/internet", "{}", 400, "give at least one of max_connections"},
		{"negative limit of connections", "PATCH", "/v1/tenants/acme/snats/internet", `{"max_connections":-1}`, 400, "not negative"},
		{"IPv6 floating address", "POST", ports + "/c1/floatings", `{"external":"campus","address":"fd00::1"}`, 400, "NAT is for IPv4 only"},
		{"protocol without ports", "POST", "/v1/tenants/acme/forwards", `{"external":"x","protocol":"icmp","port":1,"to":"acme/web/c1","to_port":1}`, 400, `protocol "icmp" cannot be forwarded`},
		{"port beyond 16 bits", "POST", "/v1/tenants/acme/forwards", `{"external":"x","protocol":"tcp","port":65536}`, 400, "of at most 16 bits"},
		{"forward to another tenant", "POST", "/v1/tenants/acme/forwards", `{"external":"x","protocol":"tcp","port":1,"to":"other/web/c1","to_port":1}`, 400, "not of tenant acme"},
		{"forward to no port", "POST", "/v1/tenants/acme/forwards", `{"external":"x","protocol":"tcp","port":1,"to":"acme/web","to_port":1}`, 400, "is no name of"},
		{"malformed forward in the path", "GET", "/v1/tenants/acme/forwards/internet/tcp/0", "", 400, `tcp port "0" is malformed`},
		{"unknown protocol in the path", "DELETE", "/v1/tenants/acme/forwards/internet/icmp/8", "", 400, `protocol "icmp"`},
		{"huge body", "POST", "/v1/tenants", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "more than 1048576 bytes"},
		{"deep body", "POST", "/v1/tenants", strings.Repeat("[", 1<<19), 400, "body"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec, e := send(srv, tc.method, tc.target, tc.body)
			if rec.Code != tc.status {
				t.Errorf("status %d, want %d: %s", rec.Code, tc.status, rec.Body)
			}
			if !strings.Contains(e.Error(), tc.says) {
				t.Errorf("error %q does not say %q", e.Error(), tc.says)
			}
			kind := intent.Invalid
			if tc.status == 404 {
				kind = intent.NotFound
			}
			if e.Kind != kind {
				t.Errorf("kind %q, want %q", e.Kind, kind)
			}
		})
	}
}

func TestEveryKindHasItsStatus(t *testing.T) {
	o := hosttest.New(t)
	srv := api.NewServer(o.Backend(), quiet())
	for _, tc := range []struct {
		err    error
		status int
		kind   intent.Kind
	}{
		{intent.Invalidf("x"), 400, intent.Invalid},
		{intent.NotFoundf("x"), 404, intent.NotFound},
		{intent.Conflictf("x"), 409, intent.Conflict},
		{intent.InUseBy("x", nil), 409, intent.InUse},
		{intent.Unavailablef("x"), 503, intent.Unavailable},
		{fmt.Errorf("get key: %w", context.DeadlineExceeded), 503, intent.Unavailable},
		{fmt.Errorf("get key: %w", context.Canceled), 503, intent.Unavailable},
		{errors.New("bug"), 500, "internal"},
	} {
		o.FailWith(func(string) error { return tc.err })
		for _, target := range []string{"/v1/tenants", "/v1/networks", "/v1/ports", "/v1/hosts", "/v1/hosts/host1", "/v1/status", "/v1/flows",
			"/v1/tenants/a", "/v1/tenants/a/networks", "/v1/tenants/a/networks/b", "/v1/tenants/a/networks/b/ports", "/v1/tenants/a/networks/b/ports/c"} {
			rec, e := send(srv, "GET", target, "")
			if rec.Code != tc.status || e.Kind != tc.kind {
				t.Errorf("%s with %v: status %d, kind %q", target, tc.err, rec.Code, e.Kind)
			}
		}
		for _, target := range []string{"/v1/hosts/host1", "/v1/local", "/v1/tenants/a", "/v1/tenants/a/networks/b", "/v1/tenants/a/networks/b/ports/c"} {
			for _, query := range []string{"", "?dry-run=true"} {
				rec, e := send(srv, "DELETE", target+query, "")
				if rec.Code != tc.status || e.Kind != tc.kind {
					t.Errorf("DELETE %s%s with %v: status %d, kind %q", target, query, tc.err, rec.Code, e.Kind)
				}
			}
		}
	}
}

// serve starts a server of o that the test may end, and returns its socket and
// a function that stops it and returns what Serve returned.
func serve(t *testing.T, srv *api.Server) (socket string, stop func() error) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := api.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ctx, ln) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return socket, stop
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestPanicIsAnErrorAndTheServerLives(t *testing.T) {
	var log buffer
	o := hosttest.New(t)
	socket, _ := serve(t, api.NewServer(o.Backend(), slog.New(slog.NewTextHandler(&log, nil))))
	c := dial(t, socket)
	o.FailWith(func(string) error { panic("lost my head") })
	_, err := api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil)
	wantError(t, err, "internal", "ovloomd failed on GET /v1/tenants", "lost my head")
	// After the header of a stream is out, only a cut tells the client.
	err = c.WaitApplied(background(t), "acme", 1, time.Second, nil)
	wantError(t, err, intent.Unavailable, "did not answer")
	o.FailWith(func(string) error { return nil })
	must(api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil))(t)
	if !strings.Contains(log.String(), "API handler panicked") || !strings.Contains(log.String(), "hosttest.(*Host)") {
		t.Errorf("the log does not show the panic with its stack:\n%s", log.String())
	}
}

func TestRequestsAreLoggedAtDebug(t *testing.T) {
	var log buffer
	o := hosttest.New(t)
	socket, stop := serve(t, api.NewServer(o.Backend(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	c := dial(t, socket)
	must(api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil))(t)
	_, err := c.Delete(background(t), intent.TenantRef{Tenant: "acme"}, api.DeleteMode{Cascade: true})
	wantError(t, err, intent.NotFound)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"method=GET path=/v1/tenants status=200", "path=\"/v1/tenants/acme?cascade=true\" status=404", "tenant acme does not exist"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no %q:\n%s", line, log.String())
		}
	}
}

func TestShutdownEndsWaitsAndFinishesWrites(t *testing.T) {
	o := hosttest.New(t)
	socket, stop := serve(t, api.NewServer(o.Backend(), quiet()))
	c := dial(t, socket)
	o.SetPending("host2")
	entered, leave := make(chan bool), make(chan bool)
	o.FailWith(func(op string) error {
		if op == "Add" {
			entered <- true
			<-leave
		}
		return nil
	})
	waiting, waited, written := make(chan bool), make(chan error, 1), make(chan error, 1)
	go func() {
		waited <- c.WaitApplied(background(t), "acme", 1, 10*time.Second, func([]string) { close(waiting) })
	}()
	go func() {
		_, err := c.Add(background(t), intent.Tenant{Name: "acme"})
		written <- err
	}()
	<-waiting
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	wantError(t, <-waited, intent.Unavailable, "host2", "ovloomd is stopping")
	select {
	case err := <-stopped:
		t.Fatalf("the server stopped (%v) in the middle of a write", err)
	default:
	}
	close(leave)
	if err := <-written; err != nil {
		t.Errorf("a write under way at shutdown: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	_, err := api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil)
	wantError(t, err, intent.Unavailable, "not running")
}

func TestSlowClientsAreGivenUp(t *testing.T) {
	o := hosttest.New(t)
	var log buffer
	srv := api.NewServer(o.Backend(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	srv.Hurry(100 * time.Millisecond)
	socket, _ := serve(t, srv)
	for _, tc := range []struct{ name, sent, answer string }{
		{"sends nothing", "", ""},
		{"stops in the header", "GET /v1/tenants HTTP/1.1\r\nHost: x\r\n", ""},
		{"stops in the body", "POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"name\"", "HTTP/1.1 400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tc.sent); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(conn)
			if err != nil {
				t.Fatalf("the server does not close the connection: %v", err)
			}
			if !strings.HasPrefix(string(b), tc.answer) {
				t.Errorf("answer %q", b)
			}
		})
	}
	t.Run("does not read", func(t *testing.T) {
		var fs []api.Flow
		for range 1000 { // more than a socket holds
			fs = append(fs, api.Flow{Text: strings.Repeat("x", 1000)})
		}
		o.Flows = fs
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/flows HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		// The client does not read until the server has given up; then the answer is cut.
		poll(t, "the server has given up", func() bool { return strings.Contains(log.String(), "API answer not delivered") })
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		// On a slow machine the time may be over before the first byte is written.
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("reading the answer late: %v, want an end before the end", err)
		}
	})
	t.Run("a wait may last", func(t *testing.T) {
		o.SetPending("host2")
		lift := time.AfterFunc(500*time.Millisecond, func() { o.SetPending() })
		defer lift.Stop()
		if err := dial(t, socket).WaitApplied(background(t), "acme", 1, 10*time.Second, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("work has an end", func(t *testing.T) {
		// The host looks at its context only when an operation begins: the one
		// after the slow one is refused.
		o.FailWith(func(op string) error {
			if op == "List" {
				time.Sleep(200 * time.Millisecond)
			}
			return nil
		})
		_, err := dial(t, socket).Delete(background(t), intent.HostRef{Host: "host2"}, api.DeleteMode{DryRun: true})
		wantError(t, err, intent.Unavailable, "in time")
	})
}

// While this host's switch is not there, what concerns the store is answered, and what
// concerns the switch waits, at most until the server ends.
func TestOnlyTheSwitchIsWaitedFor(t *testing.T) {
	o := hosttest.New(t)
	b := o.Backend()
	there := make(chan struct{})
	b.Started = func(ctx context.Context) error {
		select {
		case <-there:
			return nil
		case <-ctx.Done():
			return intent.Unavailablef("there is no switch: %w", ctx.Err())
		}
	}
	srv := api.NewServer(b, quiet())
	if rec, _ := send(srv, "POST", "/v1/tenants", `{"name":"acme"}`); rec.Code != http.StatusCreated {
		t.Fatalf("adding a tenant without a switch: %d, %s", rec.Code, rec.Body)
	}
	answered := make(chan int, 1)
	ask := func(ctx context.Context) {
		rec := httptest.NewRecorder()
		srv.ServeHTTP(rec, httptest.NewRequest("GET", "/v1/status", nil).WithContext(ctx))
		answered <- rec.Code
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if ask(ctx); <-answered != http.StatusServiceUnavailable {
		t.Error("the status of a host without switch was answered")
	}
	go ask(t.Context())
	close(there)
	if code := <-answered; code != http.StatusOK {
		t.Errorf("the status with a switch: %d", code)
	}
}

// What machines must follow that ovloom does not configure, whoever changes it is told:
// as far as their hosts answer in time.
func TestChangesSayWhatIsLeftToDo(t *testing.T) {
	o := hosttest.New(t)
	b := o.Backend()
	var asked []string
	b.ByHand = func(_ context.Context, host string, ports []intent.PortRef) ([]api.ByHand, error) {
		asked = append(asked, host)
		if len(asked) == 3 {
			return nil, errors.New("it hangs")
		}
		return []api.ByHand{{Port: ports[0], Interface: "tap0"}}, nil
	}
	srv := api.NewServer(b, quiet())
	for path, body := range map[string]string{"/v1/tenants": `{"name":"acme"}`} {
		send(srv, "POST", path, body)
	}
	send(srv, "POST", "/v1/tenants/acme/networks", `{"name":"web","subnets":[{"prefix":"10.0.0.0/24","gateway":"10.0.0.1"}]}`)
	send(srv, "POST", "/v1/tenants/acme/networks/web/ports", `{"name":"c1"}`)
	change := func(path, body string) api.Written {
		t.Helper()
		rec, _ := send(srv, "PATCH", path, body)
		var w api.Written
		if err := json.Unmarshal(rec.Body.Bytes(), &w); rec.Code != http.StatusOK || err != nil {
			t.Fatalf("%d %s, %v", rec.Code, rec.Body, err)
		}
		return w
	}
	const port = "/v1/tenants/acme/networks/web/ports/c1"
	if w := change(port, `{"addresses":["10.0.0.9"]}`); len(w.LeftToDo) != 0 || len(asked) != 0 {
		t.Errorf("of a port that is plugged nowhere it says %q", w.LeftToDo)
	}
	o.Claim(c1, hosttest.This, true)
	if w := change(port, `{"addresses":["10.0.0.10"]}`); len(w.LeftToDo) != 1 || !strings.HasPrefix(w.LeftToDo[0], "port acme/web/c1 is tap0 of host1, which ovloom does not configure: its machine must have MAC ") ||
		!strings.HasSuffix(w.LeftToDo[0], ", 10.0.0.10/24 with gateway 10.0.0.1") {
		t.Errorf("it says %q", w.LeftToDo)
	}
	if w := change("/v1/tenants/acme/networks/web", `{"storm_limit":100}`); len(w.LeftToDo) != 0 {
		t.Errorf("of what no machine must follow it says %q", w.LeftToDo)
	}
	if w := change("/v1/tenants/acme/networks/web", `{"mtu":1400}`); len(w.LeftToDo) != 1 || !strings.HasSuffix(w.LeftToDo[0], "an MTU of 1400 bytes") {
		t.Errorf("it says %q", w.LeftToDo)
	}
	if w := change("/v1/tenants/acme/networks/web", `{"mtu":1300}`); len(w.LeftToDo) != 1 || !strings.HasPrefix(w.LeftToDo[0], "host1 does not say") {
		t.Errorf("it says %q", w.LeftToDo)
	}
}
