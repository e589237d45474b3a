package cluster

// Errors of clients and members when too few members are left, and members that use TLS among
// themselves.

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pki"
)

// A member without a quorum reports it soon, and so do its clients.
func TestTooFewMembers(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	c := &three{t: t}
	for _, name := range []string{"host1", "host2", "host3"} {
		config := memberConfig(t, name)
		config.Timeout = patience // longer than the test waits
		c.configs = append(c.configs, config)
	}
	c.startAll()
	far := open(t, Config{Endpoints: c.configs[2].Listen, Timeout: patience})
	if _, err := far.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.stop(0)
	c.stop(1)
	for name, s := range map[string]*Node{"a member": c.nodes[2], "a client": far} {
		eventually(t, name+" to know it", func() error {
			if !s.leaderless() {
				// A client finds out by a call, which ovloomd makes every two seconds.
				go func() { _, _ = s.Ping(t.Context()) }()
				time.Sleep(100 * time.Millisecond)
				return intent.Unavailablef("it does not")
			}
			return nil
		})
		began := time.Now()
		for op, err := range map[string]error{
			"write": add(t.Context(), s, "umbrella"),
			"read":  read(t.Context(), s, "acme"),
		} {
			if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "the store does not answer: too few of its members are up") {
				t.Errorf("%s, %s: %v", name, op, err)
			}
		}
		if took := time.Since(began); took > patience/2 {
			t.Errorf("%s fails after %s", name, took)
		}
	}

	// A member that started without a quorum, and so does not know yet which store this is, can
	// still list the members. (It serves no client before.)
	c.stop(2)
	c.start(2)
	list, err := c.nodes[2].Members(t.Context())
	var up []string
	for _, m := range list {
		if m.State == MemberUp {
			up = append(up, m.Name)
		}
	}
	if err != nil || len(list) != 3 || len(up) != 1 || up[0] != "host3" {
		t.Errorf("members listed by a restarted member: %+v, %v", list, err)
	}
	// With one more member it continues. (Without it, etcd would stop the last one only after
	// 20 s.)
	c.start(1)
	c.writes(2, "back")
}

// Members use TLS among themselves, and refuse programs without a certificate from their
// authority.
func TestMembersOverTLS(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	certs := stateDir(t)
	if _, err := pki.CreateCA(certs); err != nil {
		t.Fatal(err)
	}
	secure := func(config Config) Config {
		f, err := pki.CreateHost(certs, config.Name)
		if err != nil {
			t.Fatal(err)
		}
		config.CA, config.Cert, config.Key = f.CA, f.Cert, f.Key
		for _, u := range []*string{&config.Peer, &config.Listen[0]} {
			*u = strings.Replace(*u, "http:", "https:", 1)
		}
		return config
	}
	c := &three{t: t}
	for _, name := range []string{"host1", "host2", "host3"} {
		c.configs = append(c.configs, secure(memberConfig(t, name)))
	}
	c.startAll()
	list, err := c.nodes[2].Members(t.Context())
	for _, m := range list {
		if !strings.HasPrefix(m.Peer, "https://") {
			t.Errorf("member %s is reached at %s", m.Name, m.Peer)
		}
	}
	if err != nil || len(list) != 3 {
		t.Errorf("%+v, %v", list, err)
	}

	// One member may be lost, and return.
	c.stop(0)
	eventually(t, "a change without the first member", func() error {
		err := add(t.Context(), c.nodes[1], "c1")
		if intent.KindOf(err) == intent.Conflict {
			return nil // stored, and the answer was lost
		}
		return err
	})
	c.nodes[0] = open(t, c.configs[0])
	eventually(t, "the first member to have caught up", func() error {
		err := read(t.Context(), c.nodes[0], "c1")
		return err
	})

	// A program that trusts our authority but has no certificate from it is refused.
	config, err := pki.LoadClient(c.configs[0].files())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(c.configs[0].Peer, "https://"), config)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET /version HTTP/1.0\r\n\r\n")); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	if err := ask(); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	config.GetClientCertificate = nil
	if err := ask(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a certificate: %v", err)
	}
}
