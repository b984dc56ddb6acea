package raft

import (
	"time"

	hraft "github.com/hashicorp/raft"
)

// pushEvery is how often a follower that is up to date is told the commit index
// although it has not changed.
const pushEvery = 75 * time.Millisecond

// The guest tells its followers what is agreed on with the next entries, or else
// after a timeout of its own, CommitTimeout, 50 to 100 ms: so long a command of a
// follower would take on an idle cluster, and a read after any command. With a
// short timeout it would talk all the time. So the timeout is short here, and
// the transport holds a message that says nothing new until it does: something
// was applied, or appended, so that the guest can go on to send it.

// isHeartbeat tells those from messages that bring the log of a follower on.
func isHeartbeat(req *hraft.AppendEntriesRequest) bool {
	return len(req.Entries) == 0 && req.PrevLogEntry == 0
}

// hold keeps back a message without entries to a follower that knows of told,
// and brings it up to date. It returns the commit index it will know then.
func (c *confirming) hold(req *hraft.AppendEntriesRequest, told uint64) uint64 {
	known := c.commit.Load()
	if len(req.Entries) > 0 || req.PrevLogEntry == 0 || known == nil {
		return max(told, req.LeaderCommitIndex)
	}
	enough := time.NewTimer(pushEvery)
	defer enough.Stop()
	for {
		applied, appended := c.applied.rising(), c.tail.rising()
		// Not more than the follower's log is known to hold of ours: it would take
		// its own entries behind that for agreed.
		commit := min((*known)(), req.PrevLogEntry)
		if commit > told {
			req.LeaderCommitIndex = max(req.LeaderCommitIndex, commit)
			return req.LeaderCommitIndex
		}
		if c.tail.index.Load() > req.PrevLogEntry {
			return told
		}
		select {
		case <-applied:
		case <-appended:
		case <-c.closing:
			return told
		case <-enough.C:
			return told
		}
	}
}
