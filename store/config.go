package store

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pki"
)

// Config says which store to open, and how.
type Config struct {
	// StateDir is the folder of everything that outlives the process: the data of
	// an embedded member, copies of what the host follows, the instance. It is
	// made if it is not there, and used by one process at a time. Required.
	StateDir string

	// Endpoints are the URLs of a store elsewhere, such as https://10.0.0.1:2379
	// or unix:///var/lib/other/etcd/etcd.sock. None: this process runs a member.
	Endpoints []string

	// Listen are the URLs on which the embedded member also serves other hosts,
	// such as https://10.0.0.1:2379. It always listens on etcd/etcd.sock in
	// StateDir, as far as the length of that path allows.
	Listen []string

	// CA, Cert and Key are files in PEM: whom to trust, and as whom to appear,
	// towards clients that use Listen and towards Endpoints. A client without a
	// certificate of that CA is refused.
	CA, Cert, Key string

	// Insecure allows Listen and Endpoints beyond this machine without TLS:
	// whoever reaches them controls every tenant.
	Insecure bool

	// Instance tells two processes with the same host name apart. Empty: one is
	// made and kept in StateDir.
	Instance string

	// Timeout is the deadline of each call. Zero: 5 s.
	Timeout time.Duration

	// Logger is where the store and etcd log. Nil: nowhere.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns what would keep the store from opening, as far as c and the
// files it names tell. It changes nothing.
func (c Config) Validate() error {
	if c.StateDir == "" {
		return intent.Invalidf("the store has no state directory").WithHint("give one, such as /var/lib/ovloom")
	}
	if len(c.Endpoints) > 0 && len(c.Listen) > 0 {
		return intent.Invalidf("a client of a store elsewhere cannot listen").WithHint("give the store's URLs or the URLs to listen on, not both")
	}
	for _, s := range c.Endpoints {
		if err := c.validateURL("store URL", s); err != nil {
			return err
		}
	}
	if usesTLS(c.Endpoints) && slices.ContainsFunc(c.Endpoints, func(s string) bool { return !usesTLS([]string{s}) }) {
		return intent.Invalidf("store URLs %s are with and without TLS", strings.Join(c.Endpoints, ", ")).WithHint("use https for all of them")
	}
	for _, s := range c.Listen {
		if err := c.validateURL("listen URL", s); err != nil {
			return err
		}
	}
	if usesTLS(c.Endpoints) || usesTLS(c.Listen) {
		return c.files().Check()
	}
	return nil
}

// validateURL refuses what would be open to the network without TLS.
func (c Config) validateURL(what, s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return intent.Invalidf("%s %q is malformed", what, s).WithHint("write a URL such as https://10.0.0.1:2379")
	}
	switch u.Scheme {
	case "unix":
		return nil
	case "http", "https":
	default:
		return intent.Invalidf("%s %q is neither https, http nor unix", what, s).WithHint("write a URL such as https://10.0.0.1:2379")
	}
	host, _, err := net.SplitHostPort(u.Host)
	if err != nil || u.Path != "" && u.Path != "/" {
		return intent.Invalidf("%s %q is not a host and port", what, s).WithHint("write a URL such as https://10.0.0.1:2379")
	}
	if u.Scheme == "https" {
		if c.CA == "" || c.Cert == "" || c.Key == "" {
			return intent.Invalidf("%s %s needs a CA, a certificate and a key", what, s).
				WithHint("make them with: ovloom cert ca, ovloom cert host NAME")
		}
		return nil
	}
	if loopback(host) || c.Insecure {
		return nil
	}
	return intent.Invalidf("%s %s is beyond this machine and without TLS: whoever reaches it controls every tenant", what, s).
		WithHint("use https with the files of: ovloom cert ca, ovloom cert host NAME; or say --store-insecure")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// warnOfExpiry warns of a certificate that has expired or soon will. That is no
// reason not to open: forwarding goes on from the copy on disk, and the member
// serves its own process.
func (c Config) warnOfExpiry() {
	if err := c.files().Valid(time.Now().Add(certNotice)); err != nil {
		c.Logger.Warn("store's certificate needs attention", "err", err)
	}
}

// certNotice is how long before it expires a certificate is warned of.
const certNotice = 30 * 24 * time.Hour

func (c Config) files() pki.Files { return pki.Files{CA: c.CA, Cert: c.Cert, Key: c.Key} }

// usesTLS says whether any of the URLs needs the certificates.
func usesTLS(urls []string) bool {
	for _, s := range urls {
		if u, err := url.Parse(s); err == nil && u.Scheme == "https" {
			return true
		}
	}
	return false
}

var errClosed = errors.New("the store was closed")
