package raft

import (
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A confirming transport remembers when those heartbeats were sent that other
// nodes answered. The guest's own VerifyLeader counts any answer that comes in
// after the question, also to a heartbeat sent before it: after a pause of this
// process, answers may lie there from a time before others elected a new leader.
type confirming struct {
	*hraft.NetworkTransport
	applied *watermark
	tail    *watermark    // of the log
	closing chan struct{} // closed by Close
	guest   atomic.Pointer[hraft.Raft]

	mu   sync.Mutex // guards last
	last map[hraft.ServerID]heartbeat
}

// A heartbeat is one that was answered by a node that knew no later term.
type heartbeat struct {
	term uint64
	sent time.Time
}

// AppendEntries implements hraft.Transport; heartbeats are such without entries.
func (c *confirming) AppendEntries(id hraft.ServerID, target hraft.ServerAddress,
	req *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse,
) error {
	sent := time.Now()
	if err := c.NetworkTransport.AppendEntries(id, target, req, resp); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if resp.Term <= req.Term {
		c.last[id] = heartbeat{req.Term, sent}
	}
	return nil
}

// since reports whether a majority of the voters, this node among them, knew no
// later term than this one at some moment after begin.
func (c *confirming) since(begin time.Time, term uint64, self string, conf hraft.Configuration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	voters, confirmed := 0, 0
	for _, s := range conf.Servers {
		if s.Suffrage != hraft.Voter {
			continue
		}
		voters++
		h := c.last[s.ID]
		if s.ID == hraft.ServerID(self) || h.term == term && h.sent.After(begin) {
			confirmed++
		}
	}
	return confirmed > voters/2
}
