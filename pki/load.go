package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Check returns any error in the files that would make every connection fail: a missing
// or malformed file, a key that does not match its certificate, a certificate from
// another authority. It ignores the clock: see Valid.
func (f Files) Check() error {
	_, err := f.load()
	return err
}

// Valid returns an error if the certificate has expired by then, or is not valid yet.
func (f Files) Valid(at time.Time) error {
	cert, err := readCert(f.Cert)
	switch {
	case err != nil:
		return err
	case at.Before(cert.NotBefore):
		return intent.Invalidf("certificate %s is not valid before %s", f.Cert, cert.NotBefore.Format(time.DateTime)).WithHint("set this machine's clock")
	case at.After(cert.NotAfter):
		e := intent.Invalidf("certificate %s is valid until %s", f.Cert, cert.NotAfter.Format(time.DateTime))
		if ca, err := readCert(f.CA); err == nil && !ca.NotAfter.After(cert.NotAfter) { // a renewed one would expire on the same day
			return e.WithHint("its CA ends then, too: make a new one, `ovloom cert ca --dir DIRECTORY`, and with it files for every host, `ovloom cert host NAME --dir DIRECTORY`")
		}
		return e.WithHint("where the CA is, renew it: `ovloom cert renew %s`", cert.Subject.CommonName)
	}
	return nil
}

// LoadClient returns a client's TLS configuration: TLS 1.3, and a server certificate
// from the authority. A renewed certificate is used without a restart.
func LoadClient(f Files) (*tls.Config, error) {
	pool, err := f.load()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return f.pair()
		},
	}, nil
}

func (f Files) pair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	return &pair, nil
}

// load checks the files and returns the authority.
func (f Files) load() (*x509.CertPool, error) {
	ca, err := readCert(f.CA)
	if err != nil {
		return nil, err
	}
	cert, err := readCert(f.Cert)
	if err != nil {
		return nil, err
	}
	if _, err := f.pair(); err != nil {
		return nil, intent.Invalidf("%w", err).WithHint("take certificate and key of one host, made together")
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	// The signature does not depend on the clock; connections check the dates.
	if err := cert.CheckSignatureFrom(ca); err != nil {
		return nil, intent.Invalidf("certificate %s is not of the CA %s: %w", f.Cert, f.CA, err).WithHint("take files that were made by one CA")
	}
	return pool, nil
}

// loadCA reads the authority in dir with its private key.
func loadCA(dir string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	f := caFiles(dir)
	cert, err := readCert(f.Cert)
	if err != nil {
		return nil, nil, err
	}
	pair, err := f.pair()
	if err != nil {
		return nil, nil, intent.Invalidf("%w", err).WithHint("make certificates in the folder where the CA was made")
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, intent.Invalidf("CA key %s is not ECDSA", f.Key).WithHint("make a CA with: ovloom cert ca")
	}
	if !cert.IsCA {
		return nil, nil, intent.Invalidf("certificate %s is not that of a CA", f.Cert).WithHint("make a CA with: ovloom cert ca")
	}
	return cert, key, nil
}

func readCert(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, intent.NotFoundf("certificate %s does not exist", path).WithHint("make it with: ovloom cert ca, ovloom cert host NAME")
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return parseCert(path, b)
}

// parseCert reads the first certificate of a PEM file.
func parseCert(path string, b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, intent.Invalidf("file %s is not a certificate in PEM", path).WithHint("make one with: ovloom cert ca, ovloom cert host NAME")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, intent.Invalidf("certificate %s is malformed: %w", path, err).WithHint("make one with: ovloom cert ca, ovloom cert host NAME")
	}
	return cert, nil
}
