package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/pki"
)

// A certificate is reported if it has expired, expires soon, or is not valid yet by this host's
// clock.
func TestCertificateThatEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	ca, err := pki.CreateCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pki.CreateHost(dir, "host1", netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	e := NewExaminer(Config{Name: "host1", Certificate: pki.Files{CA: ca.Cert, Cert: f.Cert, Key: f.Key}})
	const day = 24 * time.Hour
	end := certificateEnd(t, f)
	for _, c := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"as it was made", time.Now().Add(time.Minute), ""},
		{"31 days before its end", end.Add(-31 * day), ""},
		{"29 days before its end", end.Add(-29 * day), "is valid until"},
		{"after its end", end.Add(day), "is valid until"},
		{"by a clock that is years behind", end.Add(-30 * 365 * day), "is not valid before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			e.examineCertificate(c.at, func(do, what string, args ...any) {
				got = append(got, fmt.Sprintf(what, args...)+"; to do: "+do)
			})
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("found %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want) || !strings.HasPrefix(got[0], "on host1: ") || strings.HasSuffix(got[0], "to do: ")):
				t.Errorf("found %q, want %q with a remedy", got, c.want)
			}
		})
	}
}

// certificateEnd returns when a certificate ends.
func certificateEnd(t *testing.T, f pki.Files) time.Time {
	t.Helper()
	b, err := os.ReadFile(f.Cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s is not PEM", f.Cert)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert.NotAfter
}
