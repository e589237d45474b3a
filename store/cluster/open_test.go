package cluster

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pki"
)

func TestConfigurationsThatAreRefused(t *testing.T) {
	certs := stateDir(t)
	if _, err := pki.CreateCA(certs); err != nil {
		t.Fatal(err)
	}
	one, err := pki.CreateHost(certs, "host1")
	if err != nil {
		t.Fatal(err)
	}
	foreign := stateDir(t)
	if _, err := pki.CreateCA(foreign); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  Config
		text string
	}{
		{"no folder", Config{StateDir: "-"}, "no state directory"},
		{"beyond loopback without TLS", Config{Listen: []string{"http://10.0.0.1:2379"}}, "is beyond this machine and without TLS: whoever reaches it controls every tenant"},
		{"every address without TLS", Config{Listen: []string{"http://0.0.0.0:2379"}}, "without TLS"},
		{"every IPv6 address without TLS", Config{Listen: []string{"http://[::]:2379"}}, "without TLS"},
		{"a name without TLS", Config{Endpoints: []string{"http://host1:2379"}}, "without TLS"},
		{"TLS without files", Config{Listen: []string{"https://10.0.0.1:2379"}}, "needs a CA, a certificate and a key; make them with: ovloom cert ca, ovloom cert host NAME"},
		{"TLS without a key", Config{Endpoints: []string{"https://10.0.0.1:2379"}, CA: one.CA, Cert: one.Cert}, "needs a CA, a certificate and a key"},
		{"a file that is missing", Config{Endpoints: []string{"https://10.0.0.1:2379"}, CA: one.CA, Cert: one.Cert + "x", Key: one.Key}, "does not exist"},
		{"a certificate of another CA", Config{Listen: []string{"https://127.0.0.1:0"}, CA: pki.HostFiles(foreign, "ca").CA, Cert: one.Cert, Key: one.Key}, "is not of the CA"},
		{"an unknown scheme", Config{Endpoints: []string{"ftp://10.0.0.1:2379"}}, "neither https, http nor unix"},
		{"no port", Config{Endpoints: []string{"http://127.0.0.1"}}, "is not a host and port"},
		{"a path", Config{Endpoints: []string{"http://127.0.0.1:2379/x"}}, "is not a host and port"},
		{"with and without TLS", Config{Endpoints: []string{"https://127.0.0.1:2379", "http://127.0.0.1:2379"}, CA: one.CA, Cert: one.Cert, Key: one.Key}, "are with and without TLS; use https for all of them"},
		{"no URL", Config{Endpoints: []string{"http://%"}}, "malformed"},
		{"client and listener", Config{Endpoints: []string{"http://127.0.0.1:2379"}, Listen: []string{"http://127.0.0.1:2380"}}, "not both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cfg.StateDir == "-" {
				c.cfg.StateDir = ""
			} else {
				c.cfg.StateDir = stateDir(t)
			}
			s, err := Open(t.Context(), c.cfg)
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			if k := intent.KindOf(err); k != intent.Invalid && k != intent.NotFound || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %q: %v\nwant ...%s...", k, err, c.text)
			}
		})
	}
}

func TestListenerWithTLS(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	certs := stateDir(t)
	if _, err := pki.CreateCA(certs); err != nil {
		t.Fatal(err)
	}
	files := func(dir, name string, addrs ...netip.Addr) Config {
		t.Helper()
		f, err := pki.CreateHost(dir, name, addrs...)
		if err != nil {
			t.Fatal(err)
		}
		return Config{CA: f.CA, Cert: f.Cert, Key: f.Key}
	}
	c := files(certs, "host1")
	c.Listen = []string{"https://127.0.0.1:0"}
	server := open(t, c)
	added(t, server, "acme")
	var url string
	for _, u := range server.URLs() {
		if strings.HasPrefix(u, "https://127.0.0.1:") {
			url = u
		}
	}

	good := files(certs, "host2")
	good.Endpoints = []string{url}
	far := open(t, good)
	if err := read(t.Context(), far, "acme"); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	added(t, far, "c1")
	if err := read(t.Context(), server, "c1"); err != nil {
		t.Errorf("a key that was added over TLS: %v", err)
	}

	// A client that trusts our CA and has a certificate from another one is refused by the
	// server, which speaks first (HTTP/2).
	other := stateDir(t)
	if _, err := pki.CreateCA(other); err != nil {
		t.Fatal(err)
	}
	bad := files(other, "host3")
	config, err := pki.LoadClient(good.files())
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"h2"}
	greeting := func() error {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), config)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	if err := greeting(); err != nil {
		t.Errorf("a client of our CA: %v", err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(bad.Cert, bad.Key)
		return &pair, err
	}
	if err := greeting(); err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a client of another CA: %v", err)
	}
	// A client that trusts another CA refuses the server, and says so.
	bad.Endpoints, bad.Timeout = []string{url}, 1e9
	foreign := open(t, bad)
	if err := read(t.Context(), foreign, "acme"); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "the store does not answer: tls: failed to verify certificate") {
		t.Errorf("a server of another CA: %v", err)
	}
	// Without TLS there is no answer.
	plain := open(t, Config{Endpoints: []string{"http" + strings.TrimPrefix(url, "https")}, Timeout: 1e9})
	if err := read(t.Context(), plain, "acme"); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("a client without TLS: %v", err)
	}
}

func TestStateDirectoryIsPrivateAndOfOneProcess(t *testing.T) {
	dir := stateDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{StateDir: dir})
	for _, d := range []string{dir, filepath.Join(dir, "etcd")} {
		if fi, err := os.Stat(d); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v", d, fi.Mode(), err)
		}
	}
	second, err := Open(t.Context(), Config{StateDir: dir})
	if intent.KindOf(err) != intent.Conflict || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("opened twice: %v, %v", second, err)
	}
	first := s.Instance()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, Config{StateDir: dir}); again.Instance() != first {
		t.Errorf("instance changed from %s to %s", first, again.Instance())
	}
}

func TestTwoMembersOnOneMachine(t *testing.T) {
	one, two := open(t, Config{}), open(t, Config{})
	added(t, one, "acme")
	if err := read(t.Context(), two, "acme"); intent.KindOf(err) != intent.NotFound {
		t.Errorf("the second store: %v", err)
	}
}

func TestListeningWhereItCannot(t *testing.T) {
	one := open(t, Config{Listen: []string{"http://127.0.0.1:0"}})
	dir := stateDir(t)
	_, err := Open(t.Context(), Config{StateDir: dir, Listen: one.URLs()[1:]})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port that is taken: %v", err)
	}
	again := open(t, Config{StateDir: dir}) // the attempt left nothing in the way
	eventually(t, "a change", func() error { return add(t.Context(), again, "acme") })
}

func TestPathTooLongForASocket(t *testing.T) {
	s := open(t, Config{StateDir: filepath.Join(stateDir(t), strings.Repeat("x", 100))})
	added(t, s, "acme")
	if urls := s.URLs(); len(urls) != 0 {
		t.Errorf("listens on %v", urls)
	}
}

// Calls to a store that is known to be unreachable fail soon, with the reason.
func TestFailsSoonWhenTheStoreIsAway(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	nobody := freeURL(t)
	s := open(t, Config{Endpoints: []string{nobody.String()}, Timeout: 4 * time.Second})
	for _, limit := range []time.Duration{time.Minute, 3 * time.Second} { // the first call finds out
		began := time.Now()
		err := add(t.Context(), s, "acme")
		if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > limit {
			t.Errorf("it took %s", took)
		}
	}
	// A backup may take minutes, but the store has to answer.
	began := time.Now()
	if err := s.Backup(t.Context(), io.Discard); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a backup: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a backup took %s", took)
	}
}

// A client that does not stop must not keep the process from ending.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		start := time.Now()
		if err := inTime(closeTimeout, func() error { <-hangs; return nil }); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != closeTimeout {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		close(hangs)
		failed := errors.New("failed")
		if err := inTime(closeTimeout, func() error { return failed }); err != failed {
			t.Errorf("the error is %v", err)
		}
	})
}
