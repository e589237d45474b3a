package store_test

// The store over TLS, with the certificates that the CLI makes.

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/pki"
)

// certificates makes an authority and a certificate per host, in a folder of its
// own, and returns the folder. The first host's certificate has the address of its
// store.
func certificates(t *testing.T, l *lab.Lab, name string) string {
	t.Helper()
	h := l.Hosts[0]
	dir := filepath.Join(l.Dir, name)
	commands := [][]string{{"cert", "ca", "--dir", dir}}
	for _, h := range l.Hosts {
		commands = append(commands, []string{"cert", "host", h.Name, "--address", h.Mgmt.String(), "--dir", dir})
	}
	for _, c := range commands {
		out, err := h.Ovloom(t.Context(), c...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, dir) {
			t.Errorf("ovloom %v does not say what it made: %s", c, out)
		}
	}
	return dir
}

// tlsFlags are the flags by which a host reaches the store, or serves it, with its
// certificate from dir, in place of those without TLS.
func tlsFlags(l *lab.Lab, h *lab.Host, dir string) []string {
	flags := h.OvloomdFlags()
	i := slices.Index(flags, "--store-insecure")
	flags = slices.Delete(flags, i, i+1)
	for i, f := range flags {
		if f == l.StoreURL() {
			flags[i] = strings.Replace(f, "http:", "https:", 1)
		}
	}
	return append(flags, "--store-ca", filepath.Join(dir, "ca.crt"),
		"--store-cert", filepath.Join(dir, h.Name+".crt"), "--store-key", filepath.Join(dir, h.Name+".key"))
}

// startOvloomd starts a host's daemon with flags of the test's own, and returns when it answers.
func startOvloomd(t *testing.T, h *lab.Host, flags []string) {
	t.Helper()
	p, err := h.Start(t.Context(), "ovloomd", append([]string{filepath.Join(lab.Programs(), "ovloomd")}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	h.Ovloomd = p
	lab.Eventually(t, overlay.PollTime, "ovloomd of "+h.Name+" to answer", func() error {
		_, err := h.Ovloom(t.Context(), "status")
		return err
	})
}

func TestStoreOverTLS(t *testing.T) {
	l := lab.New(t, lab.Config{AllowLog: []string{
		`certificate`, `store does not answer`, `cannot reach`, // of the host that is refused
	}})
	o := overlay.Of(l, t)
	dir := certificates(t, l, "pki")
	for _, h := range l.Hosts {
		startOvloomd(t, h, tlsFlags(l, h, dir))
	}
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	var machines []*overlay.Machine
	for i, h := range l.Hosts {
		machines = append(machines, o.Plug(h, fmt.Sprintf("acme/web/c%d", i+1)))
	}
	for i, m := range machines {
		o.Reaches(m, machines[(i+1)%3].V4())
	}

	t.Run("a host with a certificate of another authority", func(t *testing.T) {
		o := overlay.Of(l, t)
		h := l.Hosts[2]
		other := certificates(t, l, "other-pki")
		if err := h.Ovloomd.Stop(); err != nil {
			t.Fatal(err)
		}
		startOvloomd(t, h, tlsFlags(l, h, other))
		// It cannot change anything, and says so in time.
		out, err := h.Ovloom(t.Context(), "tenant", "add", "umbrella")
		overlay.MustFail(t, err, 5, "store", "certificate")
		if out != "" {
			t.Errorf("it says %s", out)
		}
		lab.Eventually(t, overlay.PollTime, "status to say why there is no store", func() error {
			s := o.Status(h)
			i := slices.IndexFunc(s.Connections, func(c api.Connection) bool { return c.Name == "store" })
			if c := s.Connections[i]; c.Connected || !strings.Contains(c.Error, "certificate") {
				return fmt.Errorf("%+v", c)
			}
			if !slices.ContainsFunc(s.Warnings, func(w api.Warning) bool { return strings.Contains(w.What, "certificate") }) {
				return fmt.Errorf("no warning: %v", s.Warnings)
			}
			return nil
		})
		// It goes on forwarding as before.
		o.Reaches(machines[2], machines[0].V4())
		if out := o.Run("tenant", "list", "-o", "json"); strings.Contains(out, "umbrella") {
			t.Errorf("a refused host has added a tenant: %s", out)
		}
		lab.Eventually(t, overlay.PollTime, "the host to count as gone", func() error {
			return o.HostAlive(h.Name, false)
		})

		// With its own certificate it is back.
		if err := h.Ovloomd.Stop(); err != nil {
			t.Fatal(err)
		}
		startOvloomd(t, h, tlsFlags(l, h, dir))
		lab.Eventually(t, overlay.PollTime, "the host to be alive", func() error { return o.HostAlive(h.Name, true) })
		o.Reaches(machines[0], machines[2].V4())
	})

	t.Run("a client without a certificate", func(t *testing.T) {
		config, err := pki.LoadClient(pki.HostFiles(dir, "host2"))
		if err != nil {
			t.Fatal(err)
		}
		if err := greeting(l, config); err != nil {
			t.Fatalf("with a certificate: %v", err)
		}
		config.GetClientCertificate = nil
		if err := greeting(l, config); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("without a certificate: %v", err)
		}
	})

	t.Run("files that do not fit", func(t *testing.T) {
		h := l.Hosts[1]
		other := filepath.Join(l.Dir, "other-pki")
		flags := tlsFlags(l, h, dir)
		for _, c := range []struct {
			name  string
			flags []string
			code  int
			words []string
		}{
			{"a key of another host", []string{"--store-key", filepath.Join(dir, "host1.key")}, 2, overlay.Words("host2.crt", "host1.key", "made together")},
			{"an authority that did not sign", []string{"--store-ca", filepath.Join(other, "ca.crt")}, 2, overlay.Words("host2.crt is not of the CA", "one CA")},
			{"no such file", []string{"--store-cert", "/nowhere.crt"}, 3, overlay.Words("/nowhere.crt does not exist", "ovloom cert host")},
		} {
			t.Run(c.name, func(t *testing.T) {
				args := append([]string{filepath.Join(lab.Programs(), "ovloomd")}, flags...)
				args = append(args, "--socket", filepath.Join(h.Dir, "another.sock"), "--state-dir", filepath.Join(h.Dir, "another"))
				_, err := h.Exec(t.Context(), append(args, c.flags...)...)
				overlay.MustFail(t, err, c.code, c.words...)
			})
		}
	})
}

// greeting connects to the store from the second host and returns nil if the store
// speaks: a server of HTTP/2 speaks first.
func greeting(l *lab.Lab, config *tls.Config) error {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	return l.Hosts[1].InNetNS(func() error {
		d := &net.Dialer{Timeout: overlay.PollTime}
		conn, err := tls.DialWithDialer(d, "tcp", netip.AddrPortFrom(l.Hosts[0].Mgmt, lab.StorePort).String(), config)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(overlay.PollTime)); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	})
}

// Without TLS the store serves this machine only, unless --store-insecure is given.
func TestStoreWithoutTLSIsRefused(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2})
	for _, h := range l.Hosts {
		if _, err := h.Ovloom(t.Context(), "--help"); err != nil { // the programs are built by now
			t.Fatal(err)
		}
		flags := h.OvloomdFlags()
		i := slices.Index(flags, "--store-insecure")
		flags = slices.Delete(flags, i, i+1)
		began := time.Now()
		_, err := h.Exec(t.Context(), append([]string{filepath.Join(lab.Programs(), "ovloomd")}, flags...)...)
		overlay.MustFail(t, err, 2, l.StoreURL(), "without TLS", "controls every tenant", "ovloom cert ca", "--store-insecure")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v to say so", took)
		}
	}
}
