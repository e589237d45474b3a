package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
)

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// authority makes a CA in a folder of its own.
func authority(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	must[Files](t)(CreateCA(dir))
	return dir
}

// asServer returns the configuration of a server with these files, as the store's
// members have it: clients must have a certificate of the authority.
func asServer(t testing.TB, f Files) *tls.Config {
	t.Helper()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: must[*x509.CertPool](t)(f.load()), Certificates: []tls.Certificate{*must[*tls.Certificate](t)(f.pair())},
	}
}

// talk connects a client to a server that is reached as name and returns what
// each side says of it.
func talk(t testing.TB, server, client Files, name string) (serverErr, clientErr error) {
	t.Helper()
	sc, cc := asServer(t, server), must[*tls.Config](t)(LoadClient(client))
	cc.ServerName = name
	a, b := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, sc)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("hello"))
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, cc)
	buf := make([]byte, 5)
	_, clientErr = c.Read(buf)
	if clientErr == nil && c.ConnectionState().Version != tls.VersionTLS13 {
		t.Errorf("TLS version %x", c.ConnectionState().Version)
	}
	b.Close()
	return <-done, clientErr
}

func TestHostsOfOneCATalk(t *testing.T) {
	dir := authority(t)
	one := must[Files](t)(CreateHost(dir, "host1", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")))
	two := must[Files](t)(CreateHost(dir, "host2"))
	for _, name := range []string{"host1", "localhost", "127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"} {
		if s, c := talk(t, one, two, name); s != nil || c != nil {
			t.Errorf("%s: server %v, client %v", name, s, c)
		}
	}
	if _, c := talk(t, one, two, "host2"); c == nil || !strings.Contains(c.Error(), "host2") {
		t.Errorf("a server under a name that it has not: %v", c)
	}
}

func TestHostsOfTwoCAsDoNotTalk(t *testing.T) {
	one := must[Files](t)(CreateHost(authority(t), "host1"))
	two := must[Files](t)(CreateHost(authority(t), "host2"))
	if s, c := talk(t, one, two, "host1"); s == nil || c == nil {
		t.Errorf("strangers: server %v, client %v", s, c)
	}
	two.CA = one.CA
	if err := two.Check(); intent.KindOf(err) != intent.Invalid || !strings.Contains(err.Error(), "is not of the CA") {
		t.Errorf("mixed files: %v", err)
	}
}

func TestFilesAsDocumented(t *testing.T) {
	dir := authority(t)
	host := must[Files](t)(CreateHost(dir, "host1", netip.MustParseAddr("127.0.0.1")))
	for path, mode := range map[string]os.FileMode{
		dir: 0o700, filepath.Join(dir, "ca.key"): 0o600, filepath.Join(dir, "ca.crt"): 0o644, host.Key: 0o600, host.Cert: 0o644,
	} {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", path, fi.Mode(), err, mode)
		}
	}
	ca := must[*x509.Certificate](t)(readCert(host.CA))
	cert := must[*x509.Certificate](t)(readCert(host.Cert))
	for _, c := range []struct {
		cert  *x509.Certificate
		years int
	}{{ca, CAYears}, {cert, HostYears}} {
		now := time.Now()
		if d := c.cert.NotAfter.Sub(now.AddDate(c.years, 0, 0)).Abs(); d > time.Minute {
			t.Errorf("%s is valid until %v", c.cert.Subject, c.cert.NotAfter)
		}
		if d := now.Sub(c.cert.NotBefore) - clockSkew; d.Abs() > time.Minute {
			t.Errorf("%s is valid from %v", c.cert.Subject, c.cert.NotBefore)
		}
		if key, ok := c.cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s has key %T", c.cert.Subject, c.cert.PublicKey)
		}
	}
	if !ca.IsCA || cert.IsCA {
		t.Errorf("CA: %v and %v", ca.IsCA, cert.IsCA)
	}
	if got := fmt.Sprint(cert.DNSNames, cert.IPAddresses); got != "[host1 localhost] [127.0.0.1 ::1]" {
		t.Errorf("names: %s", got)
	}
	if want := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}; !slices.Equal(cert.ExtKeyUsage, want) {
		t.Errorf("usage: %v", cert.ExtKeyUsage)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := authority(t)
	must[Files](t)(CreateHost(dir, "host1"))
	before := contents(t, dir)
	if _, err := CreateCA(dir); intent.KindOf(err) != intent.Conflict || !strings.Contains(err.Error(), "a CA exists already") {
		t.Errorf("second CA: %v", err)
	}
	if _, err := CreateHost(dir, "host1"); intent.KindOf(err) != intent.Conflict || !strings.Contains(err.Error(), "files of host host1 exist already") {
		t.Errorf("second host1: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "host1.crt")); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateHost(dir, "host1"); intent.KindOf(err) != intent.Conflict {
		t.Errorf("a key without certificate: %v", err)
	}
	after := contents(t, dir)
	delete(before, "host1.crt")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("files have changed")
	}
}

func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, e := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		m[e.Name()] = string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, e.Name()))))
	}
	return m
}

// A client that runs uses the renewed certificate for its next connection.
func TestRenewedCertificateIsUsed(t *testing.T) {
	dir := authority(t)
	one := must[Files](t)(CreateHost(dir, "host1", netip.MustParseAddr("192.0.2.1")))
	cc := must[*tls.Config](t)(LoadClient(one))
	old := must[*x509.Certificate](t)(readCert(one.Cert))
	key := must[[]byte](t)(os.ReadFile(one.Key))
	must[Files](t)(RenewHost(dir, "host1"))
	renewed := must[*x509.Certificate](t)(readCert(one.Cert))
	if renewed.SerialNumber.Cmp(old.SerialNumber) == 0 || fmt.Sprint(renewed.IPAddresses) != fmt.Sprint(old.IPAddresses) {
		t.Errorf("renewed %v for %v", renewed.SerialNumber, renewed.IPAddresses)
	}
	if string(must[[]byte](t)(os.ReadFile(one.Key))) != string(key) {
		t.Error("the key has changed")
	}
	if c := must[*tls.Certificate](t)(cc.GetClientCertificate(nil)); c.Leaf.SerialNumber.Cmp(renewed.SerialNumber) != 0 {
		t.Errorf("certificate %v is used", c.Leaf.SerialNumber)
	}
	must[Files](t)(RenewHost(dir, "host1", netip.MustParseAddr("192.0.2.9")))
	if got := fmt.Sprint(must[*x509.Certificate](t)(readCert(one.Cert)).IPAddresses); got != "[192.0.2.9 127.0.0.1 ::1]" {
		t.Errorf("renewed for %s", got)
	}
}

func TestRefusals(t *testing.T) {
	dir := authority(t)
	one := must[Files](t)(CreateHost(dir, "host1"))
	two := must[Files](t)(CreateHost(dir, "host2"))
	garbage := filepath.Join(dir, "garbage.crt")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	keyless := filepath.Join(t.TempDir(), "keyless")
	must[Files](t)(CreateCA(keyless))
	if err := os.Remove(filepath.Join(keyless, "ca.key")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		err  error
		kind intent.Kind
		text string
	}{
		{"no CA", second(CreateHost(t.TempDir(), "host1")), intent.NotFound, "make it with: ovloom cert ca"},
		{"a CA without its key", second(CreateHost(keyless, "host1")), intent.Invalid, "where the CA was made"},
		{"a malformed name", second(CreateHost(dir, "Host_1")), intent.Invalid, "malformed"},
		{"the CA's name", second(CreateHost(dir, "ca")), intent.Invalid, "would overwrite the CA's files"},
		{"a path as name", second(CreateHost(dir, "../host1")), intent.Invalid, "malformed"},
		{"no address", second(CreateHost(dir, "host3", netip.Addr{})), intent.Invalid, "cannot be in a certificate"},
		{"every address", second(CreateHost(dir, "host3", netip.IPv4Unspecified())), intent.Invalid, "cannot be in a certificate"},
		{"renewing nothing", second(RenewHost(dir, "host3")), intent.NotFound, "does not exist"},
		{"a missing certificate", Files{CA: one.CA, Cert: one.Cert + "x", Key: one.Key}.Check(), intent.NotFound, "does not exist"},
		{"a missing key", Files{CA: one.CA, Cert: one.Cert, Key: one.Key + "x"}.Check(), intent.Invalid, "no such file"},
		{"a key of another", Files{CA: one.CA, Cert: one.Cert, Key: two.Key}.Check(), intent.Invalid, "of one host, made together"},
		{"a CA that is none", Files{CA: garbage, Cert: one.Cert, Key: one.Key}.Check(), intent.Invalid, "not a certificate in PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if intent.KindOf(c.err) != c.kind || !strings.Contains(fmt.Sprint(c.err), c.text) {
				t.Errorf("got %q: %v\nwant %q: ...%s...", intent.KindOf(c.err), c.err, c.kind, c.text)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "host3.key")); err == nil {
		t.Error("a refused host has left a key")
	}
}

func second[T any](_ T, err error) error { return err }

func TestExpiredAndFutureCertificates(t *testing.T) {
	dir := authority(t)
	ca, caKey, err := loadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	one := must[Files](t)(CreateHost(dir, "host1"))
	pair := must[*tls.Certificate](t)(one.pair())
	for _, c := range []struct {
		name     string
		from, to time.Time
		text     string
	}{
		{"expired", time.Now().Add(-20 * time.Minute), time.Now().Add(-10 * time.Minute), "is valid until"},
		{"not yet valid", time.Now().Add(10 * time.Minute), time.Now().Add(20 * time.Minute), "is not valid before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := must[*x509.Certificate](t)(template("host1", 1))
			cert.NotBefore, cert.NotAfter = c.from, c.to
			der, err := x509.CreateCertificate(rand.Reader, cert, ca, pair.Leaf.PublicKey, caKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := replaceCert(one.Cert, der); err != nil {
				t.Fatal(err)
			}
			if err := one.Valid(time.Now()); intent.KindOf(err) != intent.Invalid || !strings.Contains(err.Error(), c.text) {
				t.Errorf("valid: %v", err)
			}
			if s, c := talk(t, one, one, "host1"); s == nil || c == nil {
				t.Errorf("server %v, client %v", s, c)
			}
		})
	}
	// Renewing is the cure.
	must[Files](t)(RenewHost(dir, "host1"))
	if err := one.Valid(time.Now()); err != nil {
		t.Error(err)
	}
	if s, c := talk(t, one, one, "host1"); s != nil || c != nil {
		t.Errorf("server %v, client %v", s, c)
	}
}

func FuzzParseCert(f *testing.F) {
	dir := authority(f)
	f.Add(must[[]byte](f)(os.ReadFile(filepath.Join(dir, "ca.crt"))))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if cert, err := parseCert("file", b); (cert == nil) == (err == nil) {
			t.Errorf("certificate %v with error %v", cert, err)
		}
	})
}
