package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// patience limits what takes a second on an idle machine.
const patience = time.Minute

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// three are the embedded members of one store on three hosts.
type three struct {
	t       *testing.T
	configs []Config
	nodes   []*Node // nil: not running
}

// freePeer returns the URL of a future member.
func freePeer(t *testing.T) string {
	u := freeURL(t)
	return u.String()
}

func memberConfig(t *testing.T, name string) Config {
	client, peer := freeURL(t), freeURL(t)
	return Config{Name: name, StateDir: stateDir(t), Listen: []string{client.String()}, Peer: peer.String()}
}

// newThree makes a store of one member, with data, and lets others join it.
func newThree(t *testing.T, members int) *three {
	c := &three{t: t}
	for n := range members {
		c.configs = append(c.configs, memberConfig(t, fmt.Sprintf("host%d", n+1)))
	}
	c.startAll()
	return c
}

// startAll opens the first member and lets the others join it.
func (c *three) startAll() {
	c.nodes = make([]*Node, len(c.configs))
	c.nodes[0] = open(c.t, c.configs[0])
	added(c.t, c.nodes[0], "acme")
	for i := 1; i < len(c.configs); i++ {
		c.join(i)
	}
}

// join makes the first member expect another, and starts it.
func (c *three) join(i int) {
	c.t.Helper()
	j, err := c.nodes[0].AddMember(c.t.Context(), c.configs[i].Name, c.configs[i].Peer, nowhere)
	if err != nil {
		c.t.Fatal(err)
	}
	c.configs[i].Join = j.Join
	c.nodes[i] = open(c.t, c.configs[i])
	c.allUp(i + 1)
}

// allUp waits until n members answer and have a vote.
func (c *three) allUp(n int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%d members to be up", n), func() error {
		list, err := c.nodes[0].Members(c.t.Context())
		up, leaders := 0, 0
		for _, m := range list {
			if m.State == MemberUp {
				up++
			}
			if m.Leader {
				leaders++
			}
		}
		if err != nil || up != n || len(list) != n || leaders != 1 {
			return fmt.Errorf("%+v, %v", list, err)
		}
		return nil
	})
}

// stop ends a member.
func (c *three) stop(i int) {
	c.t.Helper()
	if err := c.nodes[i].Close(); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = nil
}

func (c *three) start(i int) { c.t.Helper(); c.nodes[i] = open(c.t, c.configs[i]) }

// writes adds a port through a member, with retries while elections interrupt it.
func (c *three) writes(i int, name string) {
	c.t.Helper()
	eventually(c.t, "a change by way of "+c.configs[i].Name, func() error {
		err := add(c.t.Context(), c.nodes[i], name)
		if intent.KindOf(err) == intent.Conflict {
			return nil // it was stored, and the answer was lost
		}
		return err
	})
}

// has checks that a member has a port.
func (c *three) has(i int, name string) {
	c.t.Helper()
	eventually(c.t, name+" to be at "+c.configs[i].Name, func() error {
		err := read(c.t.Context(), c.nodes[i], name)
		return err
	})
}

// A store grows from one member with data to three. Any member may be lost; if two are lost,
// changes fail; all return.
func TestThreeEmbeddedMembers(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	c := newThree(t, 3)
	for lost := range 3 {
		one, other := (lost+1)%3, (lost+2)%3
		c.stop(lost)
		name := fmt.Sprintf("without%d", lost)
		c.writes(one, name)
		c.has(other, name)
		c.start(lost)
		c.has(lost, name)
		c.allUp(3)
	}

	c.stop(1)
	c.stop(2)
	eventually(t, "a change without a quorum", func() error {
		err := add(t.Context(), c.nodes[0], "umbrella")
		if intent.KindOf(err) != intent.Unavailable {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	if list, err := c.nodes[0].Members(t.Context()); err != nil || len(list) != 3 || list[0].State != MemberUp || list[1].State != MemberAway {
		t.Errorf("members as the last one knows them: %+v, %v", list, err)
	}
	// A member that starts in the meantime does not wait for the others: its host has cached copies.
	c.stop(0)
	began := time.Now()
	c.start(0)
	t.Logf("started without the others in %s", time.Since(began).Round(time.Millisecond))
	if file := backUp(t, c.nodes[0]); file == "" { // also without the others
		t.Error("no backup")
	}
	c.start(1)
	c.start(2)
	c.writes(0, "back")
	c.has(2, "back")
	c.allUp(3)
}

// refusedAs checks an error's kind and text.
func refusedAs(t *testing.T, what string, err error, kind intent.Kind, words ...string) {
	t.Helper()
	if intent.KindOf(err) != kind {
		t.Errorf("%s: %v: %v", what, intent.KindOf(err), err)
	}
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v does not say %q", what, err, w)
		}
	}
}

func TestMembersThatAreRefused(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	alone := open(t, Config{})
	added(t, alone, "acme")
	_, err := alone.AddMember(t.Context(), "host2", "http://10.0.0.2:2380", nowhere)
	refusedAs(t, "a store that nobody reaches", err, intent.Conflict, "other hosts cannot reach member ovloom", "--store-listen")
	_, err = alone.RemoveMember(t.Context(), "ovloom")
	refusedAs(t, "removing the only member", err, intent.Conflict, "the only one")

	c := newThree(t, 2)
	s := c.nodes[0]
	expect := func(name, peer string) error { _, err := s.AddMember(t.Context(), name, peer, nowhere); return err }
	refusedAs(t, "a name that is taken", expect("host2", freePeer(t)), intent.Conflict, "has a member host2 already", "member remove host2")
	refusedAs(t, "an address that is taken", expect("host3", c.configs[1].Peer), intent.Conflict, "member host2 is at "+c.configs[1].Peer)
	refusedAs(t, "TLS among those without", expect("host3", "https://127.0.0.1:1234"), intent.Conflict, "write http://127.0.0.1:1234")
	refusedAs(t, "an address beyond a store on loopback", expect("host3", "http://10.0.0.3:2380"), intent.Conflict, "cannot reach member host1")
	refusedAs(t, "a host that is not known", expect("host3", ""), intent.NotFound, "host host3 does not exist", "--url http://ADDRESS:")
	for _, bad := range []string{"10.0.0.3", "http://", "http://0.0.0.0:2380", "http://10.0.0.3", "http://10.0.0.3:0", "http://10.0.0.3:2380/x", "unix:///x"} {
		refusedAs(t, bad, expect("host3", bad), intent.Invalid, "write a URL such as https://10.0.0.1:2380")
	}
	refusedAs(t, "a name that is none", expect("Host_3", freePeer(t)), intent.Invalid)
	_, err = s.RemoveMember(t.Context(), "host9")
	refusedAs(t, "removing what is not there", err, intent.NotFound, "see: ovloom store member list")

	peer := freePeer(t)
	if err := expect("host3", peer); err != nil {
		t.Fatal(err)
	}
	refusedAs(t, "two at a time", expect("host4", freePeer(t)), intent.Conflict, "still expects a member at "+peer, "member remove "+peer)
	if m, err := s.RemoveMember(t.Context(), peer); err != nil || m.State != MemberExpected {
		t.Errorf("removing the added member: %+v, %v", m, err)
	}

	c.join2()
	c.stop(1)
	eventually(t, "the lost member to be noticed", func() error {
		list, err := s.Members(t.Context())
		if err != nil || list[1].State != MemberAway {
			return fmt.Errorf("%+v, %v", list, err)
		}
		return nil
	})
	refusedAs(t, "while a member is lost", expect("host4", freePeer(t)), intent.Conflict, "member host2 of the store does not answer", "member remove host2")
	_, err = s.RemoveMember(t.Context(), "host3")
	refusedAs(t, "removing one of the two that are left", err, intent.Conflict, "too few would answer: of 2 that are left, host2 is away", "member remove host2")
	if _, err := s.RemoveMember(t.Context(), "host2"); err != nil {
		t.Errorf("removing the lost one: %v", err)
	}
	c.writes(2, "after")
}

// join2 adds the third member.
func (c *three) join2() {
	c.t.Helper()
	c.configs, c.nodes = append(c.configs, memberConfig(c.t, "host3")), append(c.nodes, nil)
	c.join(2)
}

// A member that was removed says so, does not start again, and can join again.
func TestRemovedMember(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	c := newThree(t, 3)
	const told = "this host's member was removed from the store"
	if _, err := c.nodes[0].RemoveMember(t.Context(), "host3"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removed member to know", func() error {
		if _, err := c.nodes[2].Ping(t.Context()); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), told) {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	c.stop(2)
	_, err := Open(t.Context(), c.configs[2])
	refusedAs(t, "a removed member", err, intent.Conflict, told, "ovloom store member add host3 --url "+c.configs[2].Peer)
	c.join(2)
	c.writes(2, "again")
	if kept, err := filepath.Glob(dataDir(c.configs[2].StateDir) + "-before-*"); err != nil || len(kept) != 1 {
		t.Errorf("the removed member's data: %v, %v", kept, err)
	}

	// A member that was away learns from the others that it was removed.
	c.stop(1)
	eventually(t, "the removal", func() error {
		_, err := c.nodes[0].RemoveMember(t.Context(), "host2")
		return err
	})
	away := c.configs[1]
	away.Join = nil
	eventually(t, "a member that was removed while it was away", func() error {
		s, err := Open(t.Context(), away)
		if err == nil {
			return fmt.Errorf("the member started: %v", s.Close())
		}
		refusedAs(t, "a member that was removed while it was away", err, intent.Conflict, told)
		return nil
	})
}

func TestJoinsThatAreRefused(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	c := newThree(t, 2)
	join := c.configs[1].Join
	refused := func(what string, cfg Config, kind intent.Kind, words ...string) {
		t.Helper()
		cfg.Join = join
		s, err := Open(t.Context(), cfg)
		if err == nil {
			t.Fatal(what, s.Close())
		}
		refusedAs(t, what, err, kind, words...)
	}
	unexpected := memberConfig(t, "host3")
	refused("a member that is not expected", unexpected, intent.NotFound, "does not expect a member at "+unexpected.Peer, "ovloom store member add host3 --url "+unexpected.Peer)

	owner := memberConfig(t, "host3")
	s := open(t, owner)
	added(t, s, "acme")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused("one with a store of its own", owner, intent.Conflict, "has a store of its own", "ovloom store member add host3")
	acme2 := open(t, owner) // unchanged
	if err := read(t.Context(), acme2, "acme"); err != nil {
		t.Error(err)
	}

	c.stop(1)
	lost := c.configs[1]
	lost.StateDir = stateDir(t)
	moved := c.configs[1]
	moved.Peer = freePeer(t)
	moved.Join = nil
	c.start(1)
	c.stop(1)
	if s, err := Open(t.Context(), moved); err == nil {
		t.Error("a member that moved", s.Close())
	} else {
		refusedAs(t, "one that moved", err, intent.Conflict, "look for this one at "+c.configs[1].Peer, "--store-peer "+c.configs[1].Peer)
	}
	c.start(1)
	c.allUp(2)
	refused("one that lost its data", lost, intent.Conflict, "the store has a member host2 at", "ovloom store member remove host2")

	again := memberConfig(t, "host3")
	if _, err := c.nodes[0].AddMember(t.Context(), "host3", again.Peer, nowhere); err != nil {
		t.Fatal(err)
	}
	again.Name = "host1"
	refused("a name that is taken", again, intent.Conflict, "the store has a member host1 already", "--host-name")

	away, nobody := memberConfig(t, "host3"), freeURL(t)
	away.Join, away.Timeout = []string{nobody.String()}, time.Second
	_, err := Open(t.Context(), away)
	refusedAs(t, "a store that is not there", err, intent.Unavailable, "join the store at "+away.Join[0])
	for what, bad := range map[string]Config{
		"both client and member": {Endpoints: join, Join: join},
		"without an address":     {Join: join},
		"of all addresses":       {Join: join, Listen: []string{"http://0.0.0.0:2379"}, Insecure: true},
		"not an address":         {Peer: "http://0.0.0.0:2380", Insecure: true},
		"beyond without TLS":     {Peer: "http://10.0.0.1:2380"},
	} {
		bad.StateDir = stateDir(t)
		refusedAs(t, what, bad.Validate(), intent.Invalid)
	}
}

// A backup of several members makes a store of one member. The others join it again; their old
// data cannot be used with it by mistake.
func TestRestoreOfSeveralMembers(t *testing.T) {
	t.Parallel() // it waits for elections or leases
	c := newThree(t, 2)
	file := backUp(t, c.nodes[1])
	c.writes(1, "late")
	c.stop(1)
	c.stop(0)
	adapted := false
	adapt := func(ctx context.Context, keys *kv.Client) error {
		_, err := keys.Revision(ctx)
		adapted = err == nil
		return err
	}
	if _, err := Restore(t.Context(), c.configs[0], file, adapt); err != nil {
		t.Fatal(err)
	}
	if !adapted {
		t.Error("adapt was not called")
	}
	c.start(0)
	if err := read(t.Context(), c.nodes[0], "late"); intent.KindOf(err) != intent.NotFound {
		t.Errorf("a port added later: %v", err)
	}
	c.join(1)
	c.writes(1, "new")
	c.has(0, "new")
	if err := read(t.Context(), c.nodes[1], "late"); intent.KindOf(err) != intent.NotFound {
		t.Errorf("a port added later: %v", err)
	}
	if _, err := os.Stat(recordFile(c.configs[0].StateDir)); err != nil {
		t.Error(err)
	}
}
