package process

import (
	"net"
	"path/filepath"
	"testing"
)

func TestNotifyReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := NotifyReady(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	n, err := l.Read(b)
	if string(b[:n]) != "READY=1" || err != nil {
		t.Errorf("systemd is told %q, %v", b[:n], err)
	}

	t.Setenv("NOTIFY_SOCKET", path+".gone")
	if err := NotifyReady(); err == nil {
		t.Error("a socket that is gone was told")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := NotifyReady(); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}

func TestAttempts(t *testing.T) {
	for text, want := range map[string]int{"": 0, "3": 3, "-1": 0, "many": 0} {
		t.Setenv(attemptsEnv, text)
		if got := Attempts(); got != want {
			t.Errorf("%s=%q is %d attempts, want %d", attemptsEnv, text, got, want)
		}
	}
}
