package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// The members of the store, and adding and removing them.

// Member is one member of the store's cluster.
type Member struct {
	Name   string   // "" until it has joined
	URLs   []string // where it serves hosts
	Peer   string   // where the other members reach it
	Leader bool
	State  MemberState

	id uint64
}

// MemberState is the state of a member.
type MemberState string

// The states of a member.
const (
	MemberUp       MemberState = "up"
	MemberAway     MemberState = "away"     // does not answer
	MemberJoining  MemberState = "joining"  // copies the store's content, and has no vote yet
	MemberExpected MemberState = "expected" // was added, but has not joined
)

// Joining is what the ovloomd of a new member has to be given.
type Joining struct {
	Name   string
	Peer   string   // where the others will reach it
	Listen string   // where it will serve hosts
	Join   []string // URLs of the store
}

const (
	memberProbe  = time.Second      // time for a running member to answer
	memberLimit  = 20 * time.Second // for a change of the members: etcd demands that they were connected for 5 s
	memberPause  = 250 * time.Millisecond
	membersLimit = 7 // more do not make a store safer, but slow down every change
)

// Members returns the members of the store by name, and asks each whether it answers. It
// works even while too few do.
func (n *Node) Members(ctx context.Context) ([]Member, error) {
	const op = "list the members of the store"
	if err := n.faulty(op); err != nil {
		return nil, err
	}
	var list []Member
	// Not Call, which first asks which store this is: too few members cannot answer that.
	err := n.kv.Exchange(ctx, op, func(ctx context.Context) (err error) {
		if err := n.Refusal(); err != nil {
			return err
		}
		list, err = n.members(ctx)
		return err
	})
	return list, err
}

func (n *Node) members(ctx context.Context) ([]Member, error) {
	r, err := n.memberList(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Member, len(r.Members))
	var probes sync.WaitGroup
	for i, m := range r.Members {
		list[i] = memberOf(m)
		if list[i].State == MemberExpected {
			continue
		}
		probes.Go(func() {
			st, err := n.probe(ctx, m)
			switch {
			case err != nil:
				list[i].State = MemberAway
			default:
				list[i].Leader = st.Leader == m.ID
			}
		})
	}
	probes.Wait()
	slices.SortFunc(list, func(a, b Member) int {
		return strings.Compare(a.Name+" "+a.Peer, b.Name+" "+b.Peer)
	})
	return list, nil
}

// memberList asks for the members; while too few answer, it returns the list that the
// member asked remembers.
func (n *Node) memberList(ctx context.Context) (*clientv3.MemberListResponse, error) {
	limited, cancel := context.WithTimeout(ctx, n.cfg.Timeout/3)
	defer cancel()
	if r, err := n.client.MemberList(limited); err == nil {
		return r, nil
	}
	return n.client.MemberList(ctx, clientv3.WithSerializable())
}

func memberOf(m *pb.Member) Member {
	v := Member{Name: m.Name, URLs: slices.Sorted(slices.Values(m.ClientURLs)), State: MemberUp, id: m.ID}
	if len(m.PeerURLs) > 0 {
		v.Peer = m.PeerURLs[0]
	}
	switch {
	case m.Name == "":
		v.State = MemberExpected
	case m.IsLearner:
		v.State = MemberJoining
	}
	return v
}

// probe asks one member for its state.
func (n *Node) probe(ctx context.Context, m *pb.Member) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, memberProbe)
	defer cancel()
	if n.server != nil && m.ID == uint64(n.server.Server.MemberID()) {
		return n.client.Status(ctx, "") // the own member, whatever the name
	}
	c := n.cfg
	if c.Endpoints = callable(memberOf(m)); len(c.Endpoints) == 0 {
		return nil, intent.Unavailablef("member %s serves no other host", m.Name)
	}
	var why reason
	client, err := dial(n.closed, c, &why)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Status(ctx, c.Endpoints[0])
}

// callable returns the URLs of a member that other hosts can reach.
func callable(m Member) []string {
	var urls []string
	for _, s := range m.URLs {
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "unix" {
			continue
		}
		if _, _, ok := hostPort(u); ok {
			urls = append(urls, s)
		} else if peer, err := url.Parse(m.Peer); err == nil && u.Port() != "" {
			urls = append(urls, u.Scheme+"://"+net.JoinHostPort(peer.Hostname(), u.Port())) // it listens on all addresses
		}
	}
	return urls
}

// AddMember makes the store expect a new member, and returns what its ovloomd has to be
// given. peer is the URL where the others will reach it; empty: at the address that host
// returns for the host with that name, with the scheme and port of the other members. The
// member has no vote until it has joined, so nothing waits for it. AddMember refuses (kind
// Conflict) a member that would be in the way or of no use.
func (n *Node) AddMember(ctx context.Context, name, peer string, host func(context.Context) (address netip.Addr, known bool, err error)) (Joining, error) {
	if err := intent.ValidateName("member", name); err != nil {
		return Joining{}, err
	}
	if peer != "" {
		if err := n.cfg.validateNewPeer(peer); err != nil {
			return Joining{}, err
		}
	}
	list, err := n.Members(ctx)
	if err != nil {
		return Joining{}, err
	}
	if err := mayGrow(list, name); err != nil {
		return Joining{}, err
	}
	if peer == "" {
		if peer, err = peerOfHost(ctx, name, list[0].Peer, host); err != nil {
			return Joining{}, err
		}
	}
	if err := fits(list, peer); err != nil {
		return Joining{}, err
	}
	j := Joining{Name: name, Peer: peer}
	j.Listen, _ = neighbour(peer, -1)
	for _, m := range list {
		j.Join = append(j.Join, callable(m)...)
	}
	err = n.changeMembers(ctx, "add member "+name, func(ctx context.Context) error {
		_, err := n.client.MemberAddAsLearner(ctx, []string{peer})
		return err
	})
	return j, err
}

// validateNewPeer checks the URL of a new member.
func (c Config) validateNewPeer(peer string) error {
	u, err := url.Parse(peer)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && (u.Path == "" || u.Path == "/") {
		if _, ok := neighbour(peer, -1); ok {
			return nil
		}
	}
	return intent.Invalidf("peer URL %q is not one address and port, where other members can reach the new one", peer).
		WithHint("write a URL such as https://10.0.0.1:2380")
}

// mayGrow refuses a new member that would be in the way, or of no use.
func mayGrow(list []Member, name string) error {
	for _, m := range list {
		switch {
		case m.Name == name:
			return intent.Conflictf("the store has a member %s already, at %s", name, m.Peer).
				WithHint("if its data is lost, remove it first: ovloom store member remove %s", name)
		case m.State == MemberExpected:
			return intent.Conflictf("the store still expects a member at %s", m.Peer).
				WithHint("have that one join first, or take it back: ovloom store member remove %s", m.Peer)
		case m.State == MemberJoining:
			return intent.Conflictf("member %s is still joining", m.Name).WithHint("it takes part as soon as it has caught up: see ovloom store member list")
		case m.State == MemberAway:
			return intent.Conflictf("member %s of the store does not answer", m.Name).
				WithHint("bring it back, or remove it first: ovloom store member remove %s", m.Name)
		}
	}
	if len(list) >= membersLimit {
		return intent.Conflictf("the store has %d members", len(list)).WithHint("more do not make it safer; three or five are usual")
	}
	return nil
}

// fits refuses a URL that does not match the other members' URLs.
func fits(list []Member, peer string) error {
	u, err := url.Parse(peer)
	if err != nil {
		return intent.Invalidf("peer URL %q is malformed", peer)
	}
	for _, m := range list {
		other, err := url.Parse(m.Peer)
		switch {
		case m.Peer == peer:
			return intent.Conflictf("member %s is at %s", m.Name, peer).WithHint("give the new member's own address")
		case err != nil || m.Peer == alonePeerURL || loopback(other.Hostname()) && !loopback(u.Hostname()):
			return intent.Conflictf("other hosts cannot reach member %s, at %s", m.Name, m.Peer).
				WithHint("give its ovloomd --store-listen with an address of that host, such as https://10.0.0.1:2379, and restart it; packets keep flowing")
		case other.Scheme != u.Scheme:
			return intent.Conflictf("member %s is reached by %s, and %s by %s", m.Name, other.Scheme, peer, u.Scheme).
				WithHint("all members talk with TLS or none: write %s://%s", other.Scheme, u.Host)
		}
	}
	return nil
}

// peerOfHost returns the URL of the member that a registered host will run.
func peerOfHost(ctx context.Context, name, like string, host func(context.Context) (netip.Addr, bool, error)) (string, error) {
	u, err := url.Parse(like)
	if err != nil {
		return "", fmt.Errorf("read the URL of a member: %w", err)
	}
	address, known, err := host(ctx)
	switch {
	case err != nil:
		return "", err
	case known:
		return u.Scheme + "://" + net.JoinHostPort(address.String(), u.Port()), nil
	}
	return "", intent.NotFoundf("host %s does not exist, so its address is not known", name).
		WithHint("say where the other members will reach it: --url %s://ADDRESS:%s", u.Scheme, u.Port())
}

// RemoveMember removes a member, identified by its name or the URL where the others reach
// it, from the store for good. It refuses (kind Conflict) if the store would lose its
// quorum.
func (n *Node) RemoveMember(ctx context.Context, which string) (Member, error) {
	list, err := n.Members(ctx)
	if err != nil {
		return Member{}, err
	}
	i := slices.IndexFunc(list, func(m Member) bool { return m.Name == which || m.Peer == which })
	if i < 0 || which == "" {
		return Member{}, intent.NotFoundf("the store has no member %s", which).WithHint("see: ovloom store member list")
	}
	m := list[i]
	if err := mayShrink(list, m); err != nil {
		return Member{}, err
	}
	return m, n.changeMembers(ctx, "remove member "+which, func(ctx context.Context) error {
		_, err := n.client.MemberRemove(ctx, m.id)
		return err
	})
}

// mayShrink refuses to remove a member without which the quorum would be lost.
func mayShrink(list []Member, m Member) error {
	if m.State == MemberExpected || m.State == MemberJoining {
		return nil // it has no vote
	}
	var left, away []string
	for _, o := range list {
		switch {
		case o.Name == m.Name:
		case o.State == MemberUp:
			left = append(left, o.Name)
		case o.State == MemberAway:
			away = append(away, o.Name)
		}
	}
	switch {
	case len(left)+len(away) == 0:
		return intent.Conflictf("member %s is the only one of the store", m.Name).WithHint("add another first: ovloom store member add HOST")
	case len(left) <= len(away):
		return intent.Conflictf("without member %s too few would answer: of %d that are left, %s away", m.Name, len(left)+len(away), areOrIs(away)).
			WithHint("bring it back, or remove it first: ovloom store member remove %s", away[0])
	}
	return nil
}

func areOrIs(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

// changeMembers makes a change, and repeats it while etcd demands that the members be
// connected for longer.
func (n *Node) changeMembers(ctx context.Context, op string, change func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, memberLimit)
	defer cancel()
	defer context.AfterFunc(n.closed, cancel)()
	for {
		err := change(limited)
		switch rpctypes.Error(err) {
		case rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotEnoughStarted:
		default:
			return n.kv.Failure(ctx, op, err)
		}
		select {
		case <-time.After(memberPause):
		case <-limited.Done():
			return intent.Unavailablef("%s: too few members of the store are up, or not for long enough: %w", op, err).
				WithHint("see: ovloom store member list")
		}
	}
}
