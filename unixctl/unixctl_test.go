package unixctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startDaemon runs a real ovs-vswitchd without a database: it answers on its control
// socket all the same.
func startDaemon(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("ovs-vswitchd", append([]string{"unix:" + filepath.Join(dir, "none.sock"), "--disable-system",
		"-vconsole:off", "-vsyslog:off"}, args...)...)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir, "OVS_SYSCONFDIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, func() error {
		_, err := New(dir, "ovs-vswitchd").Call(t.Context(), "version")
		return err
	})
	return dir
}

func eventually(t *testing.T, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestCallsOfARealDaemon(t *testing.T) {
	for _, files := range [][]string{{"--pidfile"}, nil} {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			c := New(startDaemon(t, files...), "ovs-vswitchd")
			version, err := c.Call(t.Context(), "version")
			if err != nil || !strings.Contains(version, "Open vSwitch") {
				t.Errorf("version %q, %v", version, err)
			}
			var refused *CommandError
			_, err = c.Call(t.Context(), "vlog/set", "nonsense")
			if !errors.As(err, &refused) || !strings.Contains(refused.Text, "nonsense") {
				t.Errorf("an argument that makes no sense: %v", err)
			}
			_, err = c.Call(t.Context(), "no/such-command")
			if !errors.As(err, &refused) || refused.Method != "no/such-command" {
				t.Errorf("a command that does not exist: %v", err)
			}
		})
	}
}

func TestDaemonThatDoesNotRun(t *testing.T) {
	_, err := New(t.TempDir(), "ovs-vswitchd").Call(t.Context(), "version")
	if !errors.Is(err, ErrNoDaemon) {
		t.Error(err)
	}
}

// listen plays a daemon, and returns its directory.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "ovs-vswitchd.1.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return dir
}

func TestDaemonThatHangs(t *testing.T) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	c := New(listen(t, func(conn net.Conn) {
		defer conn.Close()
		<-done
	}), "ovs-vswitchd")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, "version"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Call(ctx, "version"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":          "",
		"half a value":     `{"id":0,"result":"`,
		"no object":        `[]`,
		"another call's":   `{"id":1,"result":"x","error":null}`,
		"no id":            `{"result":"x"}`,
		"neither":          `{"id":0,"result":null,"error":null}`,
		"a result by kind": `{"id":0,"result":5,"error":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := New(listen(t, func(conn net.Conn) {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = conn.Write([]byte(answer))
			}), "ovs-vswitchd")
			_, err := c.Call(t.Context(), "version")
			if err == nil || !strings.Contains(err.Error(), "call version of ovs-vswitchd: ") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"id":0,"result":"ok","error":null}`, `{"id":0,"error":"no"}`, `{"id":null}`, `[`, `{"id":0,"result":{}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		result, err := decode(strings.NewReader(answer), "version")
		if err != nil && result != "" {
			t.Errorf("%q has both the result %q and the error %v", answer, result, err)
		}
	})
}
