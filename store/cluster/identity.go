package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/connectivity"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Which store this is, and which store this host follows. A host follows one store,
// through its growing revisions; if another store answers, or an older state of its own,
// the host goes on from its copies. Only a restore changes that: it begins a new epoch.

// clusterValue is the value of clusterKey.
type clusterValue struct {
	ID    string `json:"id"`
	Epoch uint64 `json:"epoch"` // incremented by every restore

	// Nameless: restored from a backup made before this key existed, on a host that did
	// not know the store's name.
	Nameless bool `json:"nameless,omitempty"`
}

// identity is what a host keeps of its store.
type identity struct {
	Cluster  string `json:"cluster"`
	Epoch    uint64 `json:"epoch"`
	Etcd     string `json:"etcd"`     // etcd's own id of the cluster, hexadecimal
	Revision int64  `json:"revision"` // the highest seen
	New      bool   `json:"new"`      // a user has accepted another store

	// Refused is the refused epoch of a store whose state was older than this host had
	// seen.
	Refused string `json:"refused,omitempty"`
}

// identityEvery bounds how often the revision is written.
const identityEvery = 3 * time.Second

func identityFile(stateDir string) string { return filepath.Join(stateDir, "identity") }

// readIdentity returns the identity that a host has kept; the zero value if none.
func readIdentity(stateDir string) (identity, error) {
	var id identity
	b, err := os.ReadFile(identityFile(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &id)
	}
	if err != nil {
		return id, fmt.Errorf("read which store this host follows: %w", err)
	}
	return id, nil
}

// write saves the identity so that a crash leaves the old file or the new one.
func (id identity) write(stateDir string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("note which store this host follows: %w", err)
		}
	}()
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return durable.Write(identityFile(stateDir), append(b, '\n'))
}

// trust is the store that this process follows, and whether that store is the one that
// answers.
type trust struct {
	verifying chan struct{} // holds a token during verification

	mu sync.Mutex
	// Guarded by mu.
	known     identity
	loaded    bool
	written   time.Time
	writing   bool
	etcd      uint64             // etcd's id of the verified cluster; 0: none
	value     []byte             // of its clusterKey
	named     bool               // this process has named the store
	refusal   *intent.Error      // why the store that answers is not this host's; nil: it is, or none answers
	streams   context.Context    // ends when another store, or none, is verified
	endStream context.CancelFunc //
}

// ready initializes the fields that open needs.
func (t *trust) ready(closed context.Context) {
	t.streams, t.endStream = context.WithCancel(closed)
	t.verifying = make(chan struct{}, 1)
}

// Refusal returns why this host does not follow the store that answers; nil if it does.
func (n *Node) Refusal() error {
	n.trust.mu.Lock()
	defer n.trust.mu.Unlock()
	if n.trust.refusal == nil {
		return nil
	}
	return n.trust.refusal
}

// ensure returns nil if the store that answers is this host's.
func (n *Node) ensure(ctx context.Context, op string) error {
	if err := n.faulty(op); err != nil {
		return err
	}
	if n.verified() != 0 {
		return nil
	}
	return n.verify(ctx, op)
}

// verify asks the store which one it is, and keeps the result.
func (n *Node) verify(ctx context.Context, op string) error {
	select {
	case n.trust.verifying <- struct{}{}:
		defer func() { <-n.trust.verifying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if n.verified() != 0 {
		return nil // another call has done it
	}
	if err := n.loadIdentity(); err != nil {
		return err
	}
	for range 3 { // another host may name it at the same time
		floor := n.seen() // read before the question: others advance it meanwhile
		r, err := n.client.Get(ctx, kv.NameKey)
		if err != nil {
			return err
		}
		var value []byte
		if len(r.Kvs) > 0 {
			value = append([]byte{}, r.Kvs[0].Value...)
		}
		name, refusal := n.judge(r.Header, value, floor)
		switch {
		case refusal != nil:
			n.refuse(refusal, r.Header, value)
			e := intent.Unavailablef("%s: %s", op, refusal.What)
			e.Hint, e.Err = refusal.Hint, refusal
			return e
		case name != nil:
			if err := n.nameStore(ctx, *name, r.Kvs); err != nil {
				return err
			}
		default:
			return n.accept(r.Header, value)
		}
	}
	return intent.Unavailablef("%s: the store could not be given a name", op)
}

// judge decides whether a store is this host's. name, unless nil, is the name to write to
// the store, which has no (valid) name yet.
func (n *Node) judge(h *pb.ResponseHeader, value []byte, floor int64) (name *clusterValue, refusal *intent.Error) {
	n.trust.mu.Lock()
	known := n.trust.known
	n.trust.mu.Unlock()
	etcd := strconv.FormatUint(h.ClusterId, 16)
	const restore = "if it was put back on purpose, say on the host that runs it: ovloom store restore FILE"
	const forget = "; to have this host follow it from now on: systemctl stop ovloomd, ovloom store init, systemctl start ovloomd"
	var c clusterValue
	if value != nil {
		var err error
		if c, err = kv.Decode[clusterValue](value); err == nil && !intent.IsUUID(c.ID) {
			err = fmt.Errorf("id %q is malformed", c.ID)
		}
		switch {
		case err == nil:
		case known.Etcd == etcd: // another program damaged its name, which this host knows
			return &clusterValue{ID: known.Cluster, Epoch: known.Epoch}, nil
		default:
			return nil, intent.Unavailablef("the store's name cannot be read: %w", err).WithHint(restore)
		}
	}
	older := func() *intent.Error {
		return intent.Unavailablef("the store is at an older state, revision %d, than this host has seen, %d: it was not put back by ovloom store restore", h.Revision, floor).
			WithHint("on the host that runs it: ovloom store backup FILE, systemctl stop ovloomd, ovloom store restore FILE, systemctl start ovloomd")
	}
	switch {
	case known.New && value == nil:
		return &clusterValue{ID: uuid.NewString(), Epoch: 1}, nil
	case known.New:
		return nil, nil
	case known.Cluster == "" && h.Revision < floor: // from copies of a build that kept no identity
		return nil, older()
	case known.Cluster == "" && value == nil:
		return &clusterValue{ID: uuid.NewString(), Epoch: 1}, nil
	case known.Cluster == "":
		return nil, nil
	case value == nil:
		return nil, intent.Unavailablef("the store that answers is another: it has no name, and this host knows store %s", known.Cluster).WithHint(restore + forget)
	case c.ID != known.Cluster && !(c.Nameless && c.Epoch > known.Epoch):
		return nil, intent.Unavailablef("the store that answers is another: it is %s, and this host knows store %s", c.ID, known.Cluster).
			WithHint("see whether --store names the right one" + forget)
	case c.Epoch > known.Epoch:
		return nil, nil // it was restored
	case c.Epoch < known.Epoch:
		return nil, intent.Unavailablef("the store is one of before it was restored last (epoch %d, this host has seen %d)", c.Epoch, known.Epoch).WithHint(restore)
	case known.Etcd != "" && known.Etcd != etcd:
		return nil, intent.Unavailablef("the store's data was put back by other means than ovloom store restore").WithHint(restore)
	case known.Refused == epochName(c, etcd) || h.Revision < floor:
		return nil, older()
	}
	return nil, nil
}

// epochName names the epoch of a store that is older than this host has seen.
func epochName(c clusterValue, etcd string) string {
	return fmt.Sprintf("%s/%d/%s", c.ID, c.Epoch, etcd)
}

// nameStore writes a store's name, unless another host was faster.
func (n *Node) nameStore(ctx context.Context, c clusterValue, was []*mvccpb.KeyValue) error {
	value, err := kv.Encode(c, nil)
	if err != nil {
		return err
	}
	var revision int64
	if len(was) > 0 {
		revision = was[0].ModRevision
	}
	r, err := n.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(kv.NameKey), "=", revision)).Then(clientv3.OpPut(kv.NameKey, value)).Commit()
	if err == nil {
		n.trust.mu.Lock()
		n.trust.named = r.Succeeded
		n.trust.mu.Unlock()
	}
	return err
}

// accept makes the store that has answered this host's store.
func (n *Node) accept(h *pb.ResponseHeader, value []byte) error {
	c, err := kv.Decode[clusterValue](value)
	if err != nil {
		return err
	}
	t := &n.trust
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.known
	t.known = identity{Cluster: c.ID, Epoch: c.Epoch, Etcd: strconv.FormatUint(h.ClusterId, 16), Revision: h.Revision}
	handedOver := old.Cluster != "" && (old.Epoch != c.Epoch || old.Cluster != c.ID)
	if !handedOver && !old.New {
		t.known.Revision = max(old.Revision, h.Revision)
	}
	switch {
	case handedOver:
		n.log.Warn("the store was restored; reading it again", "store", c.ID, "epoch", c.Epoch, "revision", h.Revision, "seen", old.Revision)
	case t.refusal != nil:
		n.log.Info("this host's store answers again", "store", c.ID, "revision", h.Revision)
	}
	t.etcd, t.value, t.refusal = h.ClusterId, value, nil
	t.turn(n.closed)
	if old != t.known {
		n.keepIdentity(true)
	}
	return nil
}

// refuse makes this host go on without the store that answers.
func (n *Node) refuse(why *intent.Error, h *pb.ResponseHeader, value []byte) {
	t := &n.trust
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusal == nil || t.refusal.What != why.What {
		n.log.Error("not the store that this host follows; continuing from the cached copies", "error", why.What, "hint", why.Hint)
	}
	t.refusal, t.etcd = why, 0
	etcd := strconv.FormatUint(h.ClusterId, 16)
	if c, err := kv.Decode[clusterValue](value); err == nil && t.known.Cluster == c.ID && t.known.Epoch == c.Epoch && t.known.Etcd == etcd && t.known.Refused == "" {
		// Even when it has grown beyond what this host has seen, its history differs.
		t.known.Refused = epochName(c, etcd)
		n.keepIdentity(true)
	}
	t.turn(n.closed)
}

// turn ends the streams from the previous store. mu is held.
func (t *trust) turn(closed context.Context) {
	t.endStream()
	t.streams, t.endStream = context.WithCancel(closed)
}

// verified returns etcd's id of the cluster known to be this host's store; 0: none.
func (n *Node) verified() uint64 {
	n.trust.mu.Lock()
	defer n.trust.mu.Unlock()
	return n.trust.etcd
}

// following asks the store which one it is, if that is unknown.
func (n *Node) following(ctx context.Context, op string) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	return n.ensure(ctx, op)
}

// unverify makes the next call ask the store which one it is.
func (n *Node) unverify() {
	n.trust.mu.Lock()
	defer n.trust.mu.Unlock()
	n.trust.etcd = 0
}

// watchConnection has the store verified again whenever a connection to it is
// re-established, until the store is closed: another store may answer there. etcd's client
// continues its watches as if it were the same store.
func (n *Node) watchConnection() {
	conn := n.client.ActiveConnection()
	made := false
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			if made {
				n.unverify()
			}
			made = true
			for pause := kv.FirstPause; conn.GetState() == connectivity.Ready && n.Refusal() == nil; {
				if err := n.following(n.closed, "see which store this is"); err == nil || !kv.Pause(n.closed, &pause) {
					break
				}
			}
		}
		if !conn.WaitForStateChange(n.closed, state) {
			return
		}
	}
}

// seen returns the highest revision of the store that this host has seen.
func (n *Node) seen() int64 {
	n.trust.mu.Lock()
	defer n.trust.mu.Unlock()
	return n.trust.known.Revision
}

// answered checks that an answer is from the verified store, and not older than the
// revision seen when the question was sent.
func (n *Node) answered(h *pb.ResponseHeader, floor int64) error {
	t := &n.trust
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case h == nil:
		return nil
	case t.etcd == 0 || h.ClusterId != t.etcd:
		t.etcd = 0
		return kv.ErrUnverified
	case h.Revision < floor:
		t.etcd = 0
		return kv.ErrUnverified
	}
	if h.Revision > t.known.Revision {
		t.known.Revision = h.Revision
		n.keepIdentity(false)
	}
	return nil
}

// loadIdentity reads what the host has kept, once.
func (n *Node) loadIdentity() error {
	t := &n.trust
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded {
		return nil
	}
	id, err := readIdentity(n.cfg.StateDir)
	if err != nil {
		n.log.Warn("cannot tell which store this host follows; accepting the one that answers unless the cached copies are newer", "error", err)
	}
	if !id.New && n.cfg.Copied != nil { // copies are written sooner
		id.Revision = max(id.Revision, n.cfg.Copied())
	}
	t.known, t.loaded, t.written = id, true, time.Now()
	return nil
}

// keepIdentity saves the identity a moment later; unless urgent, only if it was not saved
// lately. mu is held.
func (n *Node) keepIdentity(urgent bool) {
	t := &n.trust
	if t.writing || n.closed.Err() != nil || !urgent && time.Since(t.written) < identityEvery {
		return
	}
	t.writing, t.written = true, time.Now()
	n.tending.Go(n.writeIdentity)
}

// settle waits for a keepIdentity that found the store open: no write begins after settle,
// which is called when the store is closed.
func (t *trust) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
}

func (n *Node) writeIdentity() {
	t := &n.trust
	for {
		t.mu.Lock()
		id := t.known
		t.mu.Unlock()
		err := id.write(n.cfg.StateDir)
		if err != nil {
			n.log.Warn("cannot save which store this host follows", "error", err)
		}
		t.mu.Lock()
		now := t.known
		now.Revision = id.Revision
		if t.writing = err == nil && now != id; !t.writing {
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
	}
}

// closeIdentity saves the last revision that this process has seen.
func (n *Node) closeIdentity() error {
	t := &n.trust
	t.mu.Lock()
	id, loaded := t.known, t.loaded
	t.mu.Unlock()
	if !loaded || id.Cluster == "" {
		return nil
	}
	return id.write(n.cfg.StateDir)
}
