package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, socket string) *api.Client {
	c := api.NewClient(socket)
	t.Cleanup(c.Close)
	return c
}

// must returns v if err is nil.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// wantError checks an error's kind and that its text has every one of parts.
func wantError(t *testing.T, err error, kind intent.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := intent.KindOf(err); got != kind {
		t.Errorf("kind %q, want %q: %v", got, kind, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

var (
	web = intent.NetworkRef{Tenant: "acme", Network: "web"}
	c1  = intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}
)

// addC1 adds tenant acme, network acme/web and port acme/web/c1.
func addC1(t *testing.T, c *api.Client) {
	t.Helper()
	ctx := background(t)
	must(c.Add(ctx, intent.Tenant{Name: "acme"}))(t)
	must(c.Add(ctx, intent.Network{Tenant: "acme", Name: "web", Subnets: []intent.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}}))(t)
	must(c.Add(ctx, intent.Port{Tenant: "acme", Network: "web", Name: "c1"}))(t)
}

func TestEveryCallReachesTheBackend(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	ctx := background(t)
	addC1(t, c)
	must(c.Add(ctx, intent.Tenant{Name: "aardvark"}))(t)
	must(c.Add(ctx, intent.Network{Tenant: "acme", Name: "db", VNI: 77, MTU: 1400, Unknown: intent.UnknownFlood, Learning: true}))(t)

	var names []string
	for _, x := range must(api.List[intent.Tenant](ctx, c, intent.ClassTenant, nil))(t) {
		names = append(names, x.Name)
	}
	want(t, "tenants", names, []string{"aardvark", "acme"})
	names = nil
	for _, x := range must(api.List[intent.Network](ctx, c, intent.ClassNetwork, nil))(t) {
		names = append(names, x.Ref().String())
	}
	want(t, "networks", names, []string{"acme/db", "acme/web"})
	want(t, "networks of a tenant without", len(must(api.List[intent.Network](ctx, c, intent.ClassNetwork, intent.TenantRef{Tenant: "aardvark"}))(t)), 0)

	db := must(api.Get[api.Network](ctx, c, intent.NetworkRef{Tenant: "acme", Network: "db"}))(t)
	db.ID = 0
	want(t, "network", db, api.Network{Network: intent.Network{Tenant: "acme", Name: "db", VNI: 77, MTU: 1400, Unknown: intent.UnknownFlood, Learning: true}, Hosts: []string{}, Routes: []netip.Prefix{}})

	addr := []netip.Addr{netip.MustParseAddr("10.0.0.9")}
	want(t, "changed MTU", must(c.Set(ctx, web, map[string]any{"mtu": 1300}))(t).Object.(intent.Network).MTU, 1300)
	must(c.Set(ctx, web, map[string]any{"learning": true}))(t)
	w := must(c.Set(ctx, c1, map[string]any{"addresses": addr, "learn": 3}))(t)
	want(t, "changed addresses", w.Object.(intent.Port).Addrs, addr)
	want(t, "changed limit", w.Object.(intent.Port).Learn, 3)
	want(t, "revisions grow", w.Revision > 0, true)

	must(c.Plug(ctx, api.PlugRequest{Ref: c1, Netns: "ns1"}))(t)
	if err := c.WaitUp(ctx, c1, time.Second); err != nil {
		t.Error(err)
	}
	r, _ := o.Plugged(c1)
	want(t, "plug request", r, api.PlugRequest{Ref: c1, Netns: "ns1", Ifname: "eth0"})
	o.Claim(c1, "host2", false)
	p := must(api.Get[api.Port](ctx, c, c1))(t)
	want(t, "host in force", p.Host, "host2")
	want(t, "claims", []string{p.Claims[0].Host, p.Claims[1].Host}, []string{"host2", "host1"})
	want(t, "ports of a network", must(api.List[api.Port](ctx, c, intent.ClassPort, intent.NetworkRef{Tenant: "acme", Network: "web"}))(t), []api.Port{p})
	want(t, "ports of a tenant", must(api.List[api.Port](ctx, c, intent.ClassPort, intent.TenantRef{Tenant: "acme"}))(t), []api.Port{p})
	want(t, "ports of all tenants", must(api.List[api.Port](ctx, c, intent.ClassPort, nil))(t), []api.Port{p})
	want(t, "ports of a network without", len(must(api.List[api.Port](ctx, c, intent.ClassPort, intent.NetworkRef{Tenant: "acme", Network: "db"}))(t)), 0)

	ten := must(api.Get[api.Tenant](ctx, c, intent.TenantRef{Tenant: "acme"}))(t)
	want(t, "tenant's networks", ten.Networks, []string{"db", "web"})
	want(t, "tenant's ports", ten.Ports, 1)
	want(t, "tenant's hosts", ten.Hosts, []string{"host2"})

	want(t, "hosts", len(must(api.List[intent.HostState](ctx, c, intent.ClassHost, nil))(t)), 2)
	want(t, "host's users", must(api.Get[api.Host](ctx, c, intent.HostRef{Host: "host2"}))(t).Users, []string{"binding acme/web/c1 on host2"})
	o.Flows = []api.Flow{{Table: "fdb", Object: "port acme/web/c1", Text: "a"}, {Table: "flood", Object: "network acme/web", Text: "b"}}
	want(t, "flows", len(must(c.Flows(ctx, api.FlowQuery{}))(t)), 2)
	want(t, "flows of a port", len(must(c.Flows(ctx, api.FlowQuery{Object: "acme/web/c1", Table: "fdb"}))(t)), 1)
	want(t, "diff of a right switch", must(c.FlowsDiff(ctx))(t), []string{})
	o.Diff = []string{"flow add table=40,actions=drop"}
	want(t, "diff", must(c.FlowsDiff(ctx))(t), []string{"flow add table=40,actions=drop"})
	want(t, "no health list is null", must(c.Health(ctx))(t), intent.Health{Hosts: []string{}, Paths: []intent.Path{}, Findings: []intent.Finding{}})
	want(t, "flows of an empty table", must(c.Flows(ctx, api.FlowQuery{Table: "drop"}))(t), []api.Flow{})
	st := must(c.Status(ctx))(t)
	want(t, "status: port", st.Ports[0].Port, "acme/web/c1")
	want(t, "status: no list is null", st.Warnings, []api.Warning{})
	want(t, "version", must(c.Version(ctx))(t), api.Version{Version: api.BuildVersion()})

	if err := c.Unplug(ctx, c1); err != nil {
		t.Error(err)
	}
	_, err := c.Delete(ctx, c1, api.DeleteMode{})
	wantError(t, err, intent.InUse, "binding acme/web/c1 on host2")
	_, err = c.Delete(ctx, c1, api.DeleteMode{DryRun: true})
	wantError(t, err, intent.InUse, "binding acme/web/c1 on host2")
	all := []string{"binding acme/web/c1 on host2", "port acme/web/c1", "network acme/db", "network acme/web", "tenant acme"}
	w = must(c.Delete(ctx, intent.TenantRef{Tenant: "acme"}, api.DeleteMode{Cascade: true, DryRun: true}))(t)
	want(t, "plan", w, api.Written{Deleted: all})
	want(t, "a dry run deletes nothing", must(api.Get[api.Port](ctx, c, c1))(t), p2(p))
	want(t, "deleted port", must(c.Delete(ctx, c1, api.DeleteMode{Cascade: true}))(t).Deleted, all[:2])
	want(t, "deleted network", must(c.Delete(ctx, web, api.DeleteMode{}))(t).Deleted, all[3:4])
	want(t, "deleted tenant", must(c.Delete(ctx, intent.TenantRef{Tenant: "acme"}, api.DeleteMode{Cascade: true}))(t).Deleted, []string{"network acme/db", "tenant acme"})

	for _, m := range []api.DeleteMode{{}, {DryRun: true}} {
		_, err = c.Delete(ctx, intent.HostRef{Host: "host2"}, m)
		wantError(t, err, intent.InUse, "its running ovloomd")
	}
	want(t, "plan to remove", must(c.Delete(ctx, intent.HostRef{Host: "host2"}, api.DeleteMode{Cascade: true, DryRun: true}))(t).Deleted, []string{"host host2"})
	o.Kill("host2")
	want(t, "removed host", must(c.Delete(ctx, intent.HostRef{Host: "host2"}, api.DeleteMode{}))(t).Deleted, []string{"host host2"})
	_, err = c.Delete(ctx, intent.HostRef{Host: "host2"}, api.DeleteMode{DryRun: true})
	wantError(t, err, intent.NotFound, "host2")
	want(t, "plan to leave", must(c.Leave(ctx, api.DeleteMode{DryRun: true}))(t).Deleted, []string{"bridge br-int", "host host1"})
	want(t, "a dry run does not leave", o.Left(), false)
	must(c.Leave(ctx, api.DeleteMode{}))(t)
	want(t, "left", o.Left(), true)
}

// p2 is p after host1's claim is gone.
func p2(p api.Port) api.Port {
	p.Claims = p.Claims[:1]
	return p
}

func TestKindsSurviveTheWire(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	for _, kind := range []intent.Kind{intent.Invalid, intent.NotFound, intent.Conflict, intent.InUse, intent.Unavailable} {
		sent := &intent.Error{Kind: kind, What: "what <&>", Hint: "hint", Used: []string{"port a/b/c"}}
		o.FailWith(func(string) error { return fmt.Errorf("wrapped: %w", sent) })
		_, err := api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil)
		var got *intent.Error
		if !errors.As(err, &got) {
			t.Fatalf("%v is no *intent.Error", err)
		}
		want(t, string(kind), *got, *sent)
	}
	o.FailWith(func(string) error { return errors.New("disk on fire") })
	_, err := api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil)
	wantError(t, err, "internal", "disk on fire")
}

func TestPartialDeleteTellsWhatIsGone(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	addC1(t, c)
	o.Halfway(c1, intent.Unavailablef("the store does not answer"))
	w, err := c.Delete(background(t), intent.TenantRef{Tenant: "acme"}, api.DeleteMode{Cascade: true})
	wantError(t, err, intent.Unavailable, "the store does not answer")
	want(t, "deleted", w.Deleted, []string{"port acme/web/c1"})
}

func TestWaitTellsWhoIsPending(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	o.SetPending("host1", "host2")
	var mu sync.Mutex
	var seen [][]string
	err := c.WaitApplied(background(t), "acme", 7, 10*time.Second, func(pending []string) {
		mu.Lock()
		seen = append(seen, pending)
		n := len(seen)
		mu.Unlock()
		if n == 1 {
			o.SetPending("host2")
		} else {
			o.SetPending()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "progress", seen, [][]string{{"host1", "host2"}, {"host2"}})

	o.SetPending("host2")
	err = c.WaitApplied(background(t), "acme", 7, 50*time.Millisecond, nil)
	wantError(t, err, intent.Unavailable, "revision 7 of tenant acme is stored", "not yet applied by host2", "50ms")
	err = c.WaitUp(background(t), c1, 50*time.Millisecond)
	wantError(t, err, intent.Unavailable, "port acme/web/c1 is plugged", "not installed")

	o.FailWith(func(op string) error { return intent.NotFoundf("nothing of that sort") })
	err = c.WaitApplied(background(t), "acme", 7, time.Second, nil)
	wantError(t, err, intent.NotFound, "nothing of that sort")
}

func TestInterruptedWait(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	o.SetPending("host2")
	ctx, cancel := context.WithCancel(background(t))
	err := c.WaitApplied(ctx, "acme", 7, 10*time.Second, func([]string) { cancel() })
	wantError(t, err, intent.Unavailable, "interrupted")
}

func TestClientSaysWhyThereIsNoAnswer(t *testing.T) {
	dir := t.TempDir()
	listen := func(name string, serve func(net.Conn)) string {
		path := filepath.Join(dir, name)
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { conn.Close() })
				go serve(conn)
			}
		}()
		return path
	}
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()

	answer := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			buf := make([]byte, 4096)
			if _, err := c.Read(buf); err != nil {
				return
			}
			io.WriteString(c, s)
			c.Close()
		}
	}
	for _, tc := range []struct {
		name, socket string
		kind         intent.Kind
		parts        []string
	}{
		{"no socket", filepath.Join(dir, "none"), intent.Unavailable, []string{"ovloomd is not running on this host", "/none", "systemctl start ovloomd", "--socket"}},
		{"stale socket", stale, intent.Unavailable, []string{"not running", "nothing answers"}},
		{"hangs up", listen("hangs-up", func(c net.Conn) { c.Close() }), intent.Unavailable, []string{"did not answer", "the change may have been made"}},
		{"never answers", listen("silent", func(net.Conn) {}), intent.Unavailable, []string{"did not answer in time", "the change may have been made"}},
		{"is not HTTP", listen("ssh", answer("SSH-2.0-x\r\n")), intent.Unavailable, []string{"did not answer", "malformed HTTP"}},
		{"is not ovloomd", listen("html", answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")), "internal", []string{"is not ovloomd's"}},
		{"fails like another server", listen("502", answer("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad")), "internal", []string{"502", "bad"}},
		{"stops in the middle", listen("cut", answer("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{")), intent.Unavailable, []string{"did not answer"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			_, err := dial(t, tc.socket).Add(ctx, intent.Tenant{Name: "acme"})
			wantError(t, err, tc.kind, tc.parts...)
		})
	}
	// A stream that ends without a last line is no success.
	cut := listen("cut-stream", answer("HTTP/1.1 200 OK\r\n\r\n{\"pending\":[\"host2\"]}\n"))
	err = dial(t, cut).WaitApplied(background(t), "acme", 1, time.Second, nil)
	wantError(t, err, intent.Unavailable, "did not answer")
}

func TestWriteOutlivesItsClient(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	entered, leave := make(chan bool), make(chan bool)
	o.FailWith(func(op string) error {
		if op == "Add" {
			entered <- true
			<-leave
		}
		return nil
	})
	ctx, cancel := context.WithCancel(background(t))
	failed := make(chan error, 1)
	go func() {
		_, err := c.Add(ctx, intent.Tenant{Name: "acme"})
		failed <- err
	}()
	<-entered
	cancel()
	wantError(t, <-failed, intent.Unavailable, "interrupted", "may have been made")
	close(leave)
	o.FailWith(func(string) error { return nil })
	poll(t, "the tenant is there", func() bool {
		ts, err := api.List[intent.Tenant](background(t), c, intent.ClassTenant, nil)
		return err == nil && slices.ContainsFunc(ts, func(t intent.Tenant) bool { return t.Name == "acme" })
	})
}

// poll waits until is returns true.
func poll(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestClientNamesArePathSafe(t *testing.T) {
	o := hosttest.New(t)
	c := dial(t, o.Serve())
	for _, name := range []string{"a/b", "..", ".", "", "a b", "%2e", "ä", "a?b=c", "A"} {
		_, err := c.Delete(background(t), intent.TenantRef{Tenant: name}, api.DeleteMode{Cascade: true})
		if kind := intent.KindOf(err); kind != intent.Invalid && kind != intent.NotFound {
			t.Errorf("tenant %q: kind %q, %v", name, kind, err)
		}
	}
}

func TestPlainHTTPClient(t *testing.T) {
	// A plain HTTP client, as curl is one, can use the API.
	o := hosttest.New(t)
	socket := o.Serve()
	plain := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(plain.CloseIdleConnections)
	resp, err := plain.Get("http://localhost/v1/hosts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "content type", resp.Header.Get("Content-Type"), "application/json")
	if !strings.HasPrefix(string(b), `[{"name":"host1",`) {
		t.Errorf("hosts: %s", b)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Error(err)
	}
}
