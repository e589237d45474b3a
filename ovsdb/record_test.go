package ovsdb

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

// connectWith is connect with a record of bridges.
func connectWith(t *testing.T, s *ovstest.Switch, file string) *DB {
	t.Helper()
	db, err := Connect(ovstest.Context(t), Config{Socket: s.Socket, Owner: "host1", Version: "test", Record: file, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// kept calls KeepBridge once db has read the command's changes, and returns what was changed.
func kept(t *testing.T, s *ovstest.Switch, db *DB, command string) string {
	t.Helper()
	before, _ := db.view().bridge("br-int")
	s.VsctlNoWait(strings.Fields(command)...)
	awaitWatch(t, db.Watch(), command, func() bool {
		now, _ := db.view().bridge("br-int")
		_, what := db.repairBridge(db.view(), now, func() wantedBridge {
			w := brInt.withDefaults().wanted()
			w.ours, w.notes = true, db.keptNotes("br-int")
			return w
		}())
		return now.UUID != before.UUID || len(what) > 0
	})
	what, err := db.KeepBridge(ovstest.Context(t), brInt)
	if err != nil {
		t.Errorf("after %s: %v", command, err)
	}
	if got := bridgeText(s, "br-int"); got != wantBridgeText {
		t.Errorf("after %s:\n%s\nwant\n%s", command, got, wantBridgeText)
	}
	return strings.Join(what, "; ")
}

func TestBridgeIsKept(t *testing.T) {
	s := ovstest.Start(t)
	db := connectWith(t, s, filepath.Join(t.TempDir(), "bridges"))
	must(t, db.EnsureBridge(ovstest.Context(t), brInt))
	for command, says := range map[string]string{
		"clear bridge br-int external_ids":        "external_ids lacked",
		"set-controller br-int tcp:127.0.0.1:9":   "controller was set",
		"set bridge br-int stp_enable=true":       "stp_enable",
		"set bridge br-int rstp_enable=true":      "rstp_enable",
		"del-br br-int":                           "bridge br-int was missing",
		"del-br br-int -- add-br br-int":          "port vx0 was missing",
		"set bridge br-int protocols=OpenFlow10":  "OpenFlow15",
		"set bridge br-int fail_mode=standalone":  "fail_mode",
		"set bridge br-int datapath_type=system":  "datapath_type",
		"-- set interface vx0 options:dst_port=9": "options of vx0",
		"-- --id=@t create Flow_Table flow_limit=1 overflow_policy=evict -- set bridge br-int flow_tables:24=@t": "flow_tables:24 had flow_limit=1",
	} {
		if what := kept(t, s, db, command); !strings.Contains(what, says) {
			t.Errorf("after %s it reports %q", command, what)
		}
	}
}

// A controller that another program sets again and again is left alone, and reported.
func TestControllerThatComesBack(t *testing.T) {
	s := ovstest.Start(t)
	db := connectWith(t, s, "")
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	var err error
	for range controllerDrops + 1 {
		s.VsctlNoWait("set-controller", "br-int", "tcp:127.0.0.1:9")
		awaitWatch(t, db.Watch(), "the controller", func() bool {
			b, _ := db.view().bridge("br-int")
			return len(b.Controller) > 0
		})
		_, err = db.KeepBridge(ctx, brInt)
	}
	wantError(t, err, intent.Conflict, "again and again", "del-controller br-int")
}

// The record tells the next process which bridges are ovloom's.
func TestRecordOutlivesTheProcess(t *testing.T) {
	s := ovstest.Start(t)
	ctx := ovstest.Context(t)
	file := filepath.Join(t.TempDir(), "bridges")
	first := connectWith(t, s, file)
	must(t, first.EnsureBridge(ctx, brInt))
	must(t, first.SetBridgeNote(ctx, "br-int", "zones", "acme=1"))
	first.Close()

	s.VsctlNoWait("clear", "bridge", "br-int", "external_ids", "--", "set-controller", "br-int", "tcp:127.0.0.1:9")
	unrecorded := connectWith(t, s, "")
	wantError(t, unrecorded.CheckBridge(ctx, brInt), intent.Conflict, "not made by ovloom")

	second := connectWith(t, s, file)
	must(t, second.CheckBridge(ctx, brInt))
	if text, err := second.BridgeNote("br-int", "zones"); text != "acme=1" || err != nil {
		t.Errorf("the mark is %q, %v", text, err)
	}
	must(t, second.EnsureBridge(ctx, brInt))
	if got := bridgeText(s, "br-int"); !strings.Contains(got, `ovloom=host1`) || !strings.Contains(got, `ovloom-zones="acme=1"`) || !strings.Contains(got, "controller          : []") {
		t.Errorf("the bridge is\n%s", got)
	}
	second.Close()

	// An older ovloom, which writes no record, changed the mark in the meantime.
	s.VsctlNoWait("set", "bridge", "br-int", "external_ids:ovloom-zones=acme=2")
	third := connectWith(t, s, file)
	must(t, third.EnsureBridge(ctx, brInt))
	if text, err := third.BridgeNote("br-int", "zones"); text != "acme=2" || err != nil {
		t.Errorf("the mark is %q, %v", text, err)
	}
	must(t, third.SetBridgeNote(ctx, "br-int", "zones", ""))
	third.Close()

	// A bridge that only has the name is not ovloom's.
	s.VsctlNoWait("del-br", "br-int", "--", "add-br", "br-int")
	fourth := connectWith(t, s, file)
	wantError(t, fourth.EnsureBridge(ctx, brInt), intent.Conflict, "not made by ovloom")

	must(t, os.WriteFile(file, []byte("{"), 0o600))
	fifth := connectWith(t, s, file)
	wantError(t, fifth.CheckBridge(ctx, brInt), intent.Conflict, "not made by ovloom")
}

// A mark that is being written was not removed by another program.
func TestNotesAreWrittenWhileTheBridgeIsKept(t *testing.T) {
	s := ovstest.Start(t)
	db := connectWith(t, s, filepath.Join(t.TempDir(), "bridges"))
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	written := make(chan error)
	go func() {
		var err error
		for n := 0; n < 100 && err == nil; n++ {
			err = db.SetBridgeNote(ctx, "br-int", "zones", strconv.Itoa(n))
		}
		written <- err
	}()
	for {
		what, err := db.KeepBridge(ctx, brInt)
		if err != nil || len(what) > 0 {
			t.Fatalf("put back %q, %v", what, err)
		}
		select {
		case err := <-written:
			must(t, err)
			return
		default:
		}
	}
}
