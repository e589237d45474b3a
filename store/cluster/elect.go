package cluster

import (
	"context"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/raft/v3/raftpb"
)

// electEvery is the time between checks whether the member can be elected.
const electEvery = time.Millisecond

// electFounder makes a member that founds a store elect itself as soon as it has read its
// members from its log. By default it would first wait for a leader, for up to twice the
// election timeout.
//
// A member with older data waits for the timeout: while it reads back its log, etcd may
// drop the part of it that raft needs before an election, and raft panics. The log of a
// new store is too short for that.
//
// electFounder sends the member the message by which a retiring leader starts its
// successor's election. That is a regular election: with several members, one could get
// the message too, and would need a majority of the votes.
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
