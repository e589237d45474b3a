package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
)

// How the embedded member starts: alone, as one of several, or as a new member that joins
// others.

const (
	memberName   = "ovloom"                // the default name of a member
	alonePeerURL = "http://127.0.0.1:2380" // names a member that no other can reach; nothing listens there

	tendEvery    = time.Second
	promoteLimit = 10 * time.Second
)

// record is kept beside etcd's data, and identifies the store that the member belongs to.
// Data without a record is from a time when every member was alone.
type record struct {
	Cluster uint64 `json:"cluster"`
	Member  uint64 `json:"member"`
	Peer    string `json:"peer"`    // where the others reach it
	Several bool   `json:"several"` // there are others
	Removed bool   `json:"removed"` // they have removed it
}

func recordFile(stateDir string) string { return filepath.Join(dataDir(stateDir), "ovloom.json") }

func readRecord(stateDir string) (record, error) {
	var r record
	b, err := os.ReadFile(recordFile(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read what member of the store this is: %w", err)
	}
	return r, nil
}

func (r record) write(stateDir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := recordFile(stateDir)
	if err = os.WriteFile(file+".new", b, 0o600); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("write what member of the store this is: %w", err)
	}
	return nil
}

// place is how a member starts.
type place struct {
	record  record
	joins   bool         // others, without data
	founds  bool         // a store: it has no data, and no store to join
	cluster string       // etcd's initial cluster
	prepare func() error // creates the folder of a joining member; nil: nothing to create
}

// findPlace decides how the embedded member starts. A joined member also asks the others,
// but not for long: they may be away, or starting at the same time. It changes nothing.
func findPlace(ctx, closing context.Context, c Config) (place, error) {
	r, err := readRecord(c.StateDir)
	if err != nil {
		return place{}, err
	}
	has := hasData(c.StateDir)
	own := place{record: r, cluster: c.Name + "=" + c.advertisedPeer()}
	switch {
	case len(c.Join) == 0 && r.Removed:
		return place{}, errRemoved(c)
	case len(c.Join) == 0:
		if !has {
			if err := c.mayFound(); err != nil {
				return place{}, err
			}
		}
		own.founds = !has
		return own, nil
	}
	limit := c.Timeout
	if has && r.Several && !r.Removed {
		limit = min(limit, memberProbe)
	}
	list, err := expected(ctx, closing, c, limit)
	switch {
	case err != nil && has && !r.Removed:
		c.Logger.Info("the store to join does not answer; continuing with this host's state", "join", strings.Join(c.Join, ", "), "error", err)
		return own, nil
	case err != nil:
		return place{}, intent.Unavailablef("join the store at %s: %w", strings.Join(c.Join, ", "), err).
			WithHint("see whether it runs, and whether this host reaches it")
	}
	return c.placeAmong(list, r, has, own)
}

// expected asks the store to be joined for its members.
func expected(ctx, closing context.Context, c Config, limit time.Duration) (*clientv3.MemberListResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	far := c
	far.Endpoints = c.Join
	var why reason
	client, err := dial(closing, far, &why)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	return list, why.of(err)
}

// placeAmong finds this host among the members of the store to be joined.
func (c Config) placeAmong(list *clientv3.MemberListResponse, r record, has bool, own place) (place, error) {
	peer := c.advertisedPeer()
	var self *pb.Member
	known := false // the data on disk is of this member
	for _, m := range list.Members {
		if slices.Contains(m.PeerURLs, peer) {
			self = m
		}
		known = known || has && r.Member == m.ID && r.Cluster == list.Header.ClusterId && slices.Contains(m.PeerURLs, r.Peer)
	}
	switch {
	case known:
		return own, nil // readdress corrects a changed address once the member runs
	case self != nil && self.Name == "":
		return c.join(list, self, has)
	case self != nil:
		return place{}, c.memberLost(intent.Conflictf("the store has a member %s at %s, and its data is not on this host", self.Name, peer).
			WithHint("if it was this host's and is lost, replace it, on another host: ovloom store member remove %s, and then: %s", self.Name, addCommand(c.Name, peer)))
	case has && r.Cluster == list.Header.ClusterId && r.Member != 0:
		return place{}, errRemoved(c)
	case has:
		return place{}, intent.Conflictf("this host has a store of its own, in %s, and that at %s does not expect it as a member", dataDir(c.StateDir), strings.Join(c.Join, ", ")).
			WithHint("to join it, and set what is in this one aside, say on a host of that one: %s", addCommand(c.Name, peer))
	}
	return place{}, intent.NotFoundf("the store at %s does not expect a member at %s", strings.Join(c.Join, ", "), peer).
		WithHint("say on one of its hosts first: %s", addCommand(c.Name, peer))
}

// join returns the place of the member that the others expect.
func (c Config) join(list *clientv3.MemberListResponse, self *pb.Member, has bool) (place, error) {
	var initial []string
	for _, m := range list.Members {
		name := m.Name
		switch {
		case m.ID == self.ID:
			name = c.Name
		case name == c.Name:
			return place{}, intent.Conflictf("the store has a member %s already, at %s", name, strings.Join(m.PeerURLs, ", ")).
				WithHint("give this host another name (--host-name), or remove that member: ovloom store member remove %s", name)
		case name == "":
			name = fmt.Sprintf("%x", m.ID)
		}
		for _, u := range m.PeerURLs {
			initial = append(initial, name+"="+u)
		}
	}
	r := record{Cluster: list.Header.ClusterId, Member: self.ID, Peer: c.advertisedPeer(), Several: true}
	return place{record: r, joins: true, cluster: strings.Join(initial, ","), prepare: func() error { return c.prepareJoin(r, has) }}, nil
}

// prepareJoin creates the folder of a member that joins others. It sets data of an earlier
// member aside.
func (c Config) prepareJoin(r record, has bool) error {
	if has {
		kept, err := setAside(c.StateDir)
		if err != nil {
			return err
		}
		c.Logger.Warn("joining another store; this host's state is set aside", "kept", kept)
	}
	if err := durable.PrivateDir(dataDir(c.StateDir)); err != nil {
		return err
	}
	return r.write(c.StateDir)
}

// memberLost lets a member without its data start as a failed one, where there are copies
// to go on from.
func (c Config) memberLost(e *intent.Error) *intent.Error {
	if c.mayFound() != nil {
		e.Kind = intent.Unavailable
	}
	return e
}

// errRemoved is the error for a host whose member was removed.
func errRemoved(c Config) error {
	return intent.Conflictf("this host's member was removed from the store").
		WithHint("either be a client of it, with --store and without --store-listen; or join anew, with --store-join, after on one of its hosts: %s; "+
			"or begin with an empty store of its own: move %s away", addCommand(c.Name, c.advertisedPeer()), dataDir(c.StateDir))
}

func addCommand(name, peer string) string {
	return "ovloom store member add " + name + " --url " + peer
}

// apply sets etcd's configuration to the place.
func (p place) apply(ec *embed.Config) {
	ec.InitialCluster = p.cluster
	if p.joins {
		ec.ClusterState = embed.ClusterStateFlagExisting
	} else {
		// Two stores that began alike would take each other's members for their own.
		ec.InitialClusterToken = uuid.NewString()
	}
	if !p.founds && !p.joins && !p.record.Several {
		ec.TickMs, ec.ElectionMs = uint(aloneTick.Milliseconds()), uint(aloneElection.Milliseconds())
	}
}

// settle records which member was started, and corrects its address or refuses it: a
// single member may move, but the others would not find one of several.
func (p place) settle(c Config, e *embed.Etcd) (record, error) {
	r := record{Cluster: uint64(e.Server.Cluster().ID()), Member: uint64(e.Server.MemberID()), Peer: c.advertisedPeer()}
	r.Several = p.joins || len(e.Server.Cluster().Members()) > 1
	if self := e.Server.Cluster().Member(e.Server.MemberID()); r.Several && self != nil && !slices.Contains(self.PeerURLs, r.Peer) {
		was := strings.Join(self.PeerURLs, ", ")
		return r, intent.Conflictf("the other members of the store look for this one at %s, and it would be at %s", was, r.Peer).
			WithHint("give it that address again (--store-peer %s); or, on another host: ovloom store member remove %s, then: %s, and here --store-join",
				was, c.Name, addCommand(c.Name, r.Peer))
	}
	return r, r.write(c.StateDir)
}

// tend maintains the embedded member until the store is closed: it gives a vote to a newly
// joined member once it has caught up, and notices when the others have removed it.
func (n *Node) tend(r record) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		cluster := n.server.Server.Cluster()
		if several := len(cluster.Members()) > 1; several != r.Several {
			r.Several = several
			if err := r.write(n.cfg.StateDir); err != nil {
				n.log.Warn("cannot save that the store has several members", "error", err)
			}
		}
		self := cluster.Member(n.server.Server.MemberID())
		if self != nil && self.IsLearner {
			n.promote()
		}
		select {
		case <-ticker.C:
		case <-n.closed.Done():
			return
		case <-n.server.Server.StopNotify():
			if n.closed.Err() != nil || n.fault.Load() != nil {
				return
			}
			r.Removed = true
			n.removed.Store(true)
			n.log.Error("this host's member was removed from the store")
			if err := r.write(n.cfg.StateDir); err != nil {
				n.log.Warn("cannot note that this host's member was removed", "error", err)
			}
			return
		}
	}
}

// promote asks for a vote for this member; that fails until it has caught up.
func (n *Node) promote() {
	ctx, cancel := context.WithTimeout(n.closed, promoteLimit)
	defer cancel()
	if _, err := n.server.Server.PromoteMember(ctx, uint64(n.server.Server.MemberID())); err != nil {
		n.log.Debug("member of the store has not caught up yet", "error", err)
		return
	}
	n.log.Info("joined the store", "member", n.cfg.Name)
}

// readdress records the new address of a member that is alone.
func (n *Node) readdress(ctx context.Context, r record) error {
	self := n.server.Server.Cluster().Member(n.server.Server.MemberID())
	if r.Several || self == nil || slices.Contains(self.PeerURLs, r.Peer) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	if _, err := n.client.MemberUpdate(ctx, uint64(n.server.Server.MemberID()), []string{r.Peer}); err != nil {
		return fmt.Errorf("note where the member of the store is reached: %w", err)
	}
	return nil
}

// setAside moves a member's data away, and returns where to; "" if there is none.
func setAside(stateDir string) (kept string, err error) {
	now := dataDir(stateDir)
	if _, err := os.Stat(now); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	kept = now + time.Now().UTC().Format("-before-20060102T150405.000Z")
	if err := os.Rename(now, kept); err != nil {
		return "", fmt.Errorf("keep what was there: %w", err)
	}
	return kept, nil
}

// advertisedPeer returns the URL at which other members reach the embedded one.
func (c Config) advertisedPeer() string {
	if p := c.peer(); p != "" {
		return p
	}
	return alonePeerURL
}

// peer returns the URL on which the embedded member listens for others; "" if it does not.
func (c Config) peer() string {
	if c.Peer != "" {
		return c.Peer
	}
	for _, s := range c.Listen {
		if u, ok := neighbour(s, 1); ok {
			return u
		}
	}
	return ""
}

// neighbour returns a URL with the same address and another port. A socket's URL, or that
// of all addresses, has no neighbour.
func neighbour(s string, by int) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "unix" {
		return "", false
	}
	host, port, ok := hostPort(u)
	if !ok || port+by < 1 || port+by > 65535 {
		return "", false
	}
	return u.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port+by)), true
}

// hostPort returns the address of a URL, if others can reach it.
func hostPort(u *url.URL) (host string, port int, ok bool) {
	host, p, err := net.SplitHostPort(u.Host)
	if err != nil {
		return "", 0, false
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		return "", 0, false
	}
	port, err = strconv.Atoi(p)
	return host, port, err == nil && port > 0
}
