package cluster

import (
	"context"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/raft/v3/raftpb"
)

// electEvery is the time between two looks whether the member can be elected.
const electEvery = time.Millisecond

// electFounder has a member that founds a store elect itself as soon as it has taken in
// what its log says about its members. Its timer would have it wait for a leader
// first, for up to twice the time of an election.
//
// A member with older data waits for its timer: while it reads back its log, etcd may
// drop the part of it that raft is about to look at before an election, and raft
// panics. The log of a new store is too short for that.
//
// It does so by telling the member what a leader that retires tells its successor.
// That is a regular election: one of several could be told so too, and would need
// the votes of most.
func electFounder(ctx context.Context, e *embed.Etcd) {
	self := uint64(e.Server.MemberID())
	ticker := time.NewTicker(electEvery)
	defer ticker.Stop()
	for e.Server.Leader() == 0 {
		if at := e.Server.AppliedIndex(); at > 0 && at >= e.Server.CommittedIndex() && len(e.Server.Cluster().Members()) == 1 {
			now := &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &self, To: &self}
			if err := e.Server.Process(ctx, now); err != nil {
				return // it ends, or ctx does
			}
		}
		select {
		case <-ticker.C:
		case <-e.Server.StoppingNotify():
			return
		case <-ctx.Done():
			return
		}
	}
}
