package cluster

import (
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
	// StateDir is the folder of everything that outlives the process: the data of an
	// embedded member, cached copies, the instance. It is created if it does not exist,
	// and used by one process at a time. Required.
	StateDir string

	// Endpoints are the URLs of a store elsewhere, such as https://10.0.0.1:2379
	// or unix:///var/lib/other/etcd/etcd.sock. None: this process runs a member.
	Endpoints []string

	// Listen are the URLs on which the embedded member also serves other hosts,
	// such as https://10.0.0.1:2379. It always listens on etcd/etcd.sock in
	// StateDir, as far as the length of that path allows.
	Listen []string

	// Name identifies the embedded member. Empty: "ovloom".
	Name string

	// Peer is the URL where other members of the store reach the embedded one. Empty:
	// the first of Listen that is an address, with the next port; without such, no
	// other can join.
	Peer string

	// Join are URLs of a store that the embedded member joins; the store must expect it
	// (AddMember). Later starts use the data on disk, even if none of the URLs answers.
	Join []string

	// CA, Cert and Key are PEM files: the trusted CA, and this host's certificate and key
	// towards clients of Listen, Endpoints and other members. A client without a
	// certificate of the CA is refused.
	CA, Cert, Key string

	// Insecure allows Listen, Peer, Join and Endpoints beyond this machine without TLS:
	// anyone who can reach them controls every tenant.
	Insecure bool

	// Instance distinguishes two processes with the same host name. Empty: one is
	// generated and kept in StateDir.
	Instance string

	// Timeout is the deadline of each call. Zero: 5 s.
	Timeout time.Duration

	// WithoutMember makes Open succeed although the embedded member cannot be run, because
	// its disk or its data is faulty or its data is gone. Then every call fails with kind
	// Unavailable and says why, and the copies on disk can be read.
	WithoutMember bool

	// Attempt is how many processes in a row were started to get the member back,
	// including this one (AwaitRepair). The more, the longer the wait until the next.
	Attempt int

	// Traces describes evidence, other than the node's own files, that this host has seen
	// a store: "copies of 3 tenants". With evidence, no store is founded. Nil: no
	// evidence.
	Traces func() []string

	// Copied returns the highest revision of this host's copies of the store. A store with
	// a lower revision is refused. Nil: no copies.
	Copied func() int64

	// Logger receives the logs of the store and etcd. Nil: no logs.
	Logger *slog.Logger

	// Unsynced makes the embedded member not wait for the disk, so that a loss of power
	// may lose stored changes: for tests (package storetest).
	Unsynced bool
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Name == "" {
		c.Name = memberName
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns what would keep the store from opening, as far as c and the files that
// it names show. It changes nothing.
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
	if err := c.validateMember(); err != nil {
		return err
	}
	if usesTLS(slices.Concat(c.Endpoints, c.Listen, c.Join, []string{c.peer()})) {
		return c.files().Check()
	}
	return nil
}

// validateMember checks the embedded member's place among others.
func (c Config) validateMember() error {
	if len(c.Endpoints) > 0 && (len(c.Join) > 0 || c.Peer != "") {
		return intent.Invalidf("a client of a store elsewhere cannot be a member of it").
			WithHint("to join, say where instead of the store's URLs: --store-join in place of --store")
	}
	for _, s := range c.Join {
		if err := c.validateURL("URL to join", s); err != nil {
			return err
		}
	}
	if c.Peer != "" {
		if err := c.validateURL("peer URL", c.Peer); err != nil {
			return err
		}
		if _, ok := neighbour(c.Peer, 0); !ok {
			return intent.Invalidf("peer URL %q is not one address and port, where other members can reach this one", c.Peer).
				WithHint("write a URL such as https://10.0.0.1:2380")
		}
	}
	if len(c.Join) > 0 && c.peer() == "" {
		return intent.Invalidf("a member that joins others must be reached by them").
			WithHint("say where, with --store-listen and an address of this host, such as https://10.0.0.1:2379")
	}
	return nil
}

// validateURL refuses a URL that would be open to the network without TLS.
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

// warnOfExpiry warns of a certificate that has expired or soon will. That is not a reason
// to refuse to open: forwarding goes on from the copy on disk, and the member serves its
// own process.
func (c Config) warnOfExpiry() {
	if err := c.files().Valid(time.Now().Add(certNotice)); err != nil {
		c.Logger.Warn("certificate of the store needs attention", "error", err)
	}
}

// certNotice is how long before its expiry to warn of a certificate.
const certNotice = 30 * 24 * time.Hour

func (c Config) files() pki.Files { return pki.Files{CA: c.CA, Cert: c.Cert, Key: c.Key} }

// usesTLS reports whether any of the URLs needs the certificates.
func usesTLS(urls []string) bool {
	for _, s := range urls {
		if u, err := url.Parse(s); err == nil && u.Scheme == "https" {
			return true
		}
	}
	return false
}
