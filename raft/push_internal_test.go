package raft

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

// holding is a transport of which only what holds messages is there.
func holding(commit *atomic.Uint64) *confirming {
	c := &confirming{applied: newWatermark(0), tail: newWatermark(10), closing: make(chan struct{})}
	read := commit.Load
	c.commit.Store(&read)
	return c
}

func TestIdleMessageWaitsForNews(t *testing.T) {
	for _, test := range []struct {
		name  string
		news  func(c *confirming, commit *atomic.Uint64)
		after time.Duration
		told  uint64 // what the follower knows then
	}{
		{"nothing happens", func(*confirming, *atomic.Uint64) {}, pushEvery, 7},
		{"something is agreed", func(c *confirming, commit *atomic.Uint64) {
			commit.Store(9)
			c.applied.reach(9)
		}, time.Millisecond, 9},
		{"more is agreed than the follower has", func(c *confirming, commit *atomic.Uint64) {
			commit.Store(20)
			c.applied.reach(20)
		}, time.Millisecond, 10},
		{"an entry is to be sent", func(c *confirming, _ *atomic.Uint64) { c.tail.reach(11) }, time.Millisecond, 7},
		{"the end", func(c *confirming, _ *atomic.Uint64) { close(c.closing) }, time.Millisecond, 7},
	} {
		synctest.Test(t, func(t *testing.T) {
			var commit atomic.Uint64
			commit.Store(7)
			c := holding(&commit)
			begin := time.Now()
			time.AfterFunc(time.Millisecond, func() { test.news(c, &commit) })
			req := &hraft.AppendEntriesRequest{PrevLogEntry: 10, LeaderCommitIndex: 7}
			told := c.hold(req, 7)
			if took := time.Since(begin); told != test.told || req.LeaderCommitIndex != told || took != test.after {
				t.Errorf("%s: told %d, message says %d, after %v; want %d after %v",
					test.name, told, req.LeaderCommitIndex, took, test.told, test.after)
			}
		})
	}
}

func TestWhatSaysSomethingIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var commit atomic.Uint64
		commit.Store(7)
		begin := time.Now()
		c := holding(&commit)
		c.hold(&hraft.AppendEntriesRequest{}, 7) // a heartbeat
		c.hold(&hraft.AppendEntriesRequest{PrevLogEntry: 10, Entries: []*hraft.Log{{Index: 11}}}, 7)
		if told := c.hold(&hraft.AppendEntriesRequest{PrevLogEntry: 10}, 5); told != 7 {
			t.Errorf("told %d", told)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("held for %v", took)
		}
	})
}

// TestReadinessEndsWithTheTerm: a leader that lost an election and won another
// has not applied what was agreed on in between.
func TestReadinessEndsWithTheTerm(t *testing.T) {
	l := newLeader()
	self := Server{ID: "n"}
	l.set(self, 5)
	if !l.readyIn(5) || l.readyIn(7) {
		t.Error("ready in another term")
	}
	l.set(self, 0)
	if now, _ := l.state(); now.Leading || l.readyIn(5) {
		t.Error("still ready")
	}
}
