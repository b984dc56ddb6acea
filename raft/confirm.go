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
	tail    *watermark                    // of the log
	closing chan struct{}                 // closed by Close
	commit  atomic.Pointer[func() uint64] // the commit index; nil before raft runs

	silence time.Duration // after which a node is out of contact

	mu   sync.Mutex // guards the rest
	last map[hraft.ServerID]heartbeat
	told map[hraft.ServerID]uint64 // the commit index each follower knows
}

// A heartbeat is one that was answered by a node that knew no later term.
type heartbeat struct {
	term  uint64
	sent  time.Time
	first time.Time // of those that were answered without a silence since
	index uint64    // of the last entry in the log of that node
}

// AppendEntries implements hraft.Transport; heartbeats are such without entries.
func (c *confirming) AppendEntries(id hraft.ServerID, target hraft.ServerAddress,
	req *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse,
) error {
	var told uint64
	if !isHeartbeat(req) {
		told = c.hold(req, c.toldTo(id))
	}
	sent := time.Now()
	err := c.NetworkTransport.AppendEntries(id, target, req, resp)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !isHeartbeat(req) {
		if err != nil || !resp.Success {
			told = 0 // it may have been started again
		}
		c.told[id] = told
	}
	if err != nil {
		return err
	}
	if resp.Term <= req.Term {
		h := heartbeat{term: req.Term, sent: sent, first: sent, index: resp.LastLog}
		if was := c.last[id]; sent.Sub(was.sent) <= c.silence {
			h.first = was.first
		}
		c.last[id] = h
	}
	return nil
}

// toldTo is the commit index that a follower was told last, 0 if not known.
func (c *confirming) toldTo(id hraft.ServerID) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told[id]
}

// contact returns the last heartbeat that a node answered, and whether that is
// recent.
func (c *confirming) contact(id string) (h heartbeat, recent bool) {
	if c == nil {
		return heartbeat{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h = c.last[hraft.ServerID(id)]
	return h, time.Since(h.sent) <= c.silence
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
