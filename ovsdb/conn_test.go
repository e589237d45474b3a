package ovsdb

// ovsdb-server dies, hangs and returns.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

func TestServerKilledAndStarted(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	for i := range 3 {
		must(t, db.AddPort(ctx, "br-int", PortSpec{Name: fmt.Sprintf("p%d", i), Type: "internal"}))
	}
	watch := db.Watch()
	s.KillDB()
	awaitWatch(t, watch, "the lost connection", func() bool { return !db.State().Connected })
	if st := db.State(); st.LastError == nil || st.Sessions != 1 || time.Since(st.Since) > 10*time.Second {
		t.Errorf("state %+v", st)
	}
	if names := interfaceNames(db); names != "p0 p1 p2 vx0" {
		t.Errorf("the replica lost rows: %s", names)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	p0 := db.Interfaces("br-int")[0].UUID
	wantError(t, db.SetInstalled(short, p0, true), intent.Unavailable, s.Socket, "ovsdb-server")
	wantError(t, db.EnsureBridge(short, brInt), intent.Unavailable, s.Socket)
	_, err := db.Version(short)
	wantError(t, err, intent.Unavailable, s.Socket)

	// Rows change without a notification: another server works on the file.
	other := ovstest.Offline(t, s)
	other("del-port", "br-int", "p1")
	other("set", "interface", "p2", "external_ids:iface-id=uuid-2")
	// A call made while the server is down succeeds if the server returns in time.
	done := make(chan error, 1)
	go func() { done <- db.SetInstalled(ctx, p0, true) }()
	s.StartServer()
	must(t, <-done)
	awaitWatch(t, watch, "the new connection", func() bool { return db.State().Connected })
	got := db.Interfaces("br-int")
	if len(got) != 3 || got[0].Name != "p0" || !got[0].Installed || got[1].Name != "p2" || got[1].IfaceID != "uuid-2" {
		t.Errorf("after the restart: %+v", got)
	}
	if st := db.State(); st.Sessions != 2 {
		t.Errorf("state %+v", st)
	}
	s.VsctlNoWait("del-port", "br-int", "p2")
	awaitWatch(t, watch, "a deletion after the restart", func() bool { return interfaceNames(db) == "p0 vx0" })
	must(t, db.EnsureBridge(ctx, brInt))
}

func TestServerRestartedOften(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	for i := range 5 {
		s.KillDB()
		s.StartServer()
		must(t, db.AddPort(ctx, "br-int", PortSpec{Name: fmt.Sprintf("p%d", i), Type: "internal"}))
	}
	if names := interfaceNames(db); names != "p0 p1 p2 p3 p4 vx0" {
		t.Errorf("interfaces %s", names)
	}
}

func TestServerHangs(t *testing.T) {
	s := ovstest.Start(t)
	ctx := ovstest.Context(t)
	db, err := Connect(ctx, Config{Socket: s.Socket, Owner: "host1", Timeout: 500 * time.Millisecond})
	must(t, err)
	t.Cleanup(db.Close)
	must(t, db.EnsureBridge(ctx, brInt))
	must(t, db.AddPort(ctx, "br-int", PortSpec{Name: "p1", Type: "internal"}))
	p1 := db.Interfaces("br-int")[0].UUID

	s.PauseDB()
	resumed := false
	defer func() {
		if !resumed {
			s.ResumeDB()
		}
	}()
	// Even a request that is larger than the socket's buffer must not hang.
	big := make([]keyChange, 20_000)
	for i := range big {
		big[i] = keyChange{uuid: p1, set: map[string]string{keyGeneration: strconv.Itoa(i + 1)}}
	}
	for name, call := range map[string]func() error{
		"small request": func() error { return db.SetInstalled(ctx, p1, true) },
		"large request": func() error { return db.changeKeys(ctx, "mark interfaces", big) },
		"bridge": func() error {
			return db.EnsureBridge(ctx, Bridge{Name: "br-two", Datapath: DatapathNetdev, VXLANPort: "vx1", VXLANUDPPort: 4790})
		},
	} {
		start := time.Now()
		wantError(t, call(), intent.Unavailable, s.Socket)
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
	s.Until("the state reports the lost connection", func() bool { return !db.State().Connected })
	s.ResumeDB()
	resumed = true
	s.Until("it is connected again", func() bool { return db.State().Connected })
	s.Until("calls work again", func() bool { return db.SetInstalled(ctx, p1, true) == nil })
	must(t, db.SetGeneration(ctx, p1, 7))
	if i := db.Interfaces("br-int")[0]; i.Generation != 7 || !i.Installed {
		t.Errorf("got %+v", i)
	}
}

func TestSilentServerIsNoticed(t *testing.T) {
	s := ovstest.StartDB(t)
	db, err := Connect(ovstest.Context(t), Config{Socket: s.Socket, Timeout: 200 * time.Millisecond})
	must(t, err)
	t.Cleanup(db.Close)
	s.PauseDB()
	s.Until("the connection is given up without any call", func() bool { return !db.State().Connected })
	s.ResumeDB()
	s.Until("it is connected again", func() bool { return db.State().Connected })
}

func TestConnectWaitsForTheServer(t *testing.T) {
	s := ovstest.StartDB(t)
	s.KillDB()
	short, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	_, err := Connect(short, Config{Socket: s.Socket})
	wantError(t, err, intent.Unavailable, s.Socket, "connection refused")
	other, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	_, err = Connect(other, Config{Socket: s.Dir + "/nowhere.sock"})
	wantError(t, err, intent.Unavailable, "nowhere.sock", "no such file", "start ovsdb-server")

	type result struct {
		db  *DB
		err error
	}
	done := make(chan result, 1)
	ctx, cancelConnect := context.WithTimeout(context.Background(), 20*time.Second)
	go func() {
		db, err := Connect(ctx, Config{Socket: s.Socket})
		done <- result{db, err}
	}()
	s.StartServer()
	r := <-done
	must(t, r.err)
	cancelConnect() // it bounds only the first connection
	v, err := r.db.Version(context.Background())
	must(t, err)
	if v.Schema == "" {
		t.Errorf("version %+v", v)
	}
	must(t, v.Check())
	r.db.Close()
	if st := r.db.State(); st.Connected {
		t.Errorf("state after Close: %+v", st)
	}
	err = r.db.EnsureBridge(short, brInt)
	wantError(t, err, intent.Unavailable)
	if !errors.As(err, new(*intent.Error)) {
		t.Errorf("%v", err)
	}
}

func TestVersionCheck(t *testing.T) {
	for _, c := range []struct {
		v    Version
		kind intent.Kind
	}{
		{Version{OVS: "3.1.0", Schema: "8.3.1"}, ""},
		{Version{OVS: "3.10.1"}, ""},
		{Version{OVS: "4.0.0-rc1"}, ""},
		{Version{Schema: "8.8.0"}, ""},
		{Version{OVS: "2.17.9", Schema: "8.3.1"}, intent.Invalid},
		{Version{OVS: "3.0.5", Schema: "8.3.0"}, intent.Invalid},
		{Version{Schema: "8.3.0"}, intent.Invalid},
	} {
		if err := c.v.Check(); intent.KindOf(err) != c.kind {
			t.Errorf("%+v: %v", c.v, err)
		}
	}
}
