package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Validity of certificates.
const (
	CAYears   = 10
	HostYears = 1

	clockSkew = time.Hour
)

// Files are the paths of the files for one side of a connection, in PEM.
type Files struct {
	CA   string // the authority to trust
	Cert string // the certificate to present
	Key  string // its private key
}

// HostFiles returns the paths of a host's files in dir, whether they exist or not.
func HostFiles(dir, name string) Files {
	return Files{
		CA:   filepath.Join(dir, "ca.crt"),
		Cert: filepath.Join(dir, name+".crt"),
		Key:  filepath.Join(dir, name+".key"),
	}
}

func caFiles(dir string) Files { return HostFiles(dir, "ca") }

// CreateCA makes a certificate authority in dir, and dir if necessary. It does not
// replace an existing one (kind Conflict), which would invalidate every certificate
// signed with it.
func CreateCA(dir string) (Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Files{}, fmt.Errorf("make folder for the CA: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("make CA key: %w", err)
	}
	cert, err := template("ovloom CA", CAYears)
	if err != nil {
		return Files{}, err
	}
	cert.IsCA = true
	cert.BasicConstraintsValid = true
	cert.MaxPathLenZero = true // it signs hosts, no other authorities
	cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return Files{}, fmt.Errorf("make CA certificate: %w", err)
	}
	f := caFiles(dir)
	if err := writePair(f, der, key, "a CA exists already in "+dir, "use it; a new one needs a folder of its own (--dir), and new files for every host"); err != nil {
		return Files{}, err
	}
	return f, nil
}

// CreateHost makes the key and certificate of a host, signed by the authority in dir.
// addrs are the addresses under which others reach its store. It does not replace
// existing files (kind Conflict).
func CreateHost(dir, name string, addrs ...netip.Addr) (Files, error) {
	if err := validate(name, addrs); err != nil {
		return Files{}, err
	}
	ca, caKey, err := loadCA(dir)
	if err != nil {
		return Files{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("make key of host %s: %w", name, err)
	}
	der, err := hostCert(ca, caKey, key.Public(), name, addrs)
	if err != nil {
		return Files{}, err
	}
	f := HostFiles(dir, name)
	if err := writePair(f, der, key, "files of host "+name+" exist already in "+dir, "renew the certificate: ovloom cert renew "+name+"; or move the old files away first"); err != nil {
		return Files{}, err
	}
	return f, nil
}

// RenewHost replaces a host's certificate with one valid from now on, with the same key
// and, if addrs is empty, the same addresses.
func RenewHost(dir, name string, addrs ...netip.Addr) (Files, error) {
	if err := validate(name, addrs); err != nil {
		return Files{}, err
	}
	ca, caKey, err := loadCA(dir)
	if err != nil {
		return Files{}, err
	}
	f := HostFiles(dir, name)
	old, err := readCert(f.Cert)
	if err != nil {
		return Files{}, err
	}
	if len(addrs) == 0 {
		for _, ip := range old.IPAddresses {
			if a, ok := netip.AddrFromSlice(ip); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	der, err := hostCert(ca, caKey, old.PublicKey, name, addrs)
	if err != nil {
		return Files{}, err
	}
	if err := replaceCert(f.Cert, der); err != nil {
		return Files{}, err
	}
	return f, nil
}

func validate(name string, addrs []netip.Addr) error {
	if err := intent.ValidateName("host", name); err != nil {
		return err
	}
	if name == "ca" {
		return intent.Invalidf("host name ca would overwrite the CA's files").WithHint("make them in a folder of their own under another name")
	}
	for _, a := range addrs {
		if !a.IsValid() || a.IsUnspecified() || a.Zone() != "" {
			return intent.Invalidf("address %s cannot be in a certificate", a).WithHint("give an address under which others reach the host")
		}
	}
	return nil
}

func hostCert(ca *x509.Certificate, caKey *ecdsa.PrivateKey, public any, name string, addrs []netip.Addr) ([]byte, error) {
	cert, err := template(name, HostYears)
	if err != nil {
		return nil, err
	}
	if cert.NotAfter.After(ca.NotAfter) {
		cert.NotAfter = ca.NotAfter
	}
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert.DNSNames = []string{name, "localhost"}
	seen := map[netip.Addr]bool{}
	for _, a := range slices.Concat(addrs, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}) {
		if a = a.Unmap(); !seen[a] {
			seen[a] = true
			cert.IPAddresses = append(cert.IPAddresses, net.IP(a.AsSlice()))
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, public, caKey)
	if err != nil {
		return nil, fmt.Errorf("make certificate of host %s: %w", name, err)
	}
	return der, nil
}

func template(name string, years int) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"ovloom"}},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.AddDate(years, 0, 0),
	}, nil
}

// writePair writes a new key and its certificate, both or neither.
func writePair(f Files, der []byte, key *ecdsa.PrivateKey, exists, hint string) (err error) {
	for _, path := range []string{f.Key, f.Cert} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return intent.Conflictf("%s: %s", exists, path).WithHint("%s", hint)
		}
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	if err := create(f.Key, "PRIVATE KEY", secret, 0o600); err != nil {
		return err
	}
	if err := create(f.Cert, "CERTIFICATE", der, 0o644); err != nil {
		return errors.Join(err, os.Remove(f.Key))
	}
	return nil
}

// create writes a file that must not exist.
func create(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// replaceCert replaces a certificate atomically: a reader sees the old or the new one.
func replaceCert(path string, der []byte) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", next, err)
	}
	if err := create(next, "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), os.Remove(next))
	}
	return nil
}
