package raft_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skerry.dev/skerry/raft"
)

func TestFollowerAnswersWhenItsOwnReadsSeeTheCommand(t *testing.T) {
	members := newMesh().three(t)
	for i := range 100 {
		m := members[1+i%2]
		c := fmt.Sprint("c", i)
		propose(t, m.node, c)
		if !m.ledger.has(c) {
			t.Fatalf("%s: %s is acknowledged and not there", m.cfg.NodeID, c)
		}
	}
}

func TestReadsOfAllNodesSeeWhatAnyAcknowledged(t *testing.T) {
	members := newMesh().three(t)
	for i := range 60 {
		c := fmt.Sprint("c", i)
		propose(t, members[i%3].node, c)
		for _, m := range members {
			if err := m.node.ReadIndex(soon(t)); err != nil {
				t.Fatal(err)
			}
			if !m.ledger.has(c) {
				t.Errorf("%s does not see %s", m.cfg.NodeID, c)
			}
		}
	}
}

// TestReadsAfterARestartOfAllSeeEverything has a leader whose log holds no
// command any more, and a follower that lags.
func TestReadsAfterARestartOfAllSeeEverything(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t, func(c *raft.Config) { c.TrailingLogs = 1000 }) // entries, no snapshot
	lags := members[2]
	propose(t, lags.node, "first")
	closeNode(t, lags.node)
	for i := range 30 {
		proposeTo(t, members[:2], fmt.Sprint("c", i))
	}
	for _, m := range members[:2] {
		eventually(t, "it has everything", func() bool { return m.ledger.has("c29") })
	}
	for _, m := range members[:2] {
		closeNode(t, m.node) // with a checkpoint
	}
	for _, m := range members[:2] {
		m.restart(t)
		mesh.moved(m)
	}
	leading(t, members[:2]...)
	lags.listen(t)
	lags.ledger = openLedger(t, filepath.Join(lags.dir, "db"))
	applying := lags.ledger.hold(errDiskFull)
	lags.node = lags.startOn(t, lags.ledger)
	mesh.moved(lags)
	if err := lags.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := lags.node.ReadIndex(within(t, 300*time.Millisecond)); err == nil && !lags.ledger.has("c29") {
		t.Error("read is confirmed and does not see the last command")
	}
	select {
	case release := <-applying:
		close(release)
	case <-soon(t).Done():
		t.Fatal("nothing is applied")
	}
	if err := lags.node.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	if !lags.ledger.has("c29") {
		t.Error("does not see the last command")
	}
}

func TestCommandOfAFollowerOutlivesAChangeOfLeader(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	lead := leading(t, members...)
	var others []*member
	for _, m := range members {
		if m != lead {
			others = append(others, m)
		}
	}
	mesh.isolate(lead, others...)
	for _, m := range others { // it waits for the election
		eventually(t, "a command finds the new leader", func() bool {
			_, err := m.node.Propose(soon(t), []byte("from "+m.cfg.NodeID))
			if err != nil && !errors.Is(err, raft.ErrNoLeader) && !errors.Is(err, raft.ErrUnknownFate) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	begin := time.Now()
	if _, err := lead.node.Propose(soon(t), []byte("lonely")); !errors.Is(err, raft.ErrNoLeader) &&
		!errors.Is(err, raft.ErrUnknownFate) {
		t.Errorf("propose to the deposed: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("refused after %v", took)
	}
	if err := lead.node.ReadIndex(within(t, 250*time.Millisecond)); !errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("read at the deposed: %v", err)
	}
	mesh.heal()
	if err := lead.node.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	if !lead.ledger.has("from " + others[0].cfg.NodeID) {
		t.Error("the deposed misses a command after a confirmed read")
	}
}

func TestNobodyLeadsIsSaidInTime(t *testing.T) {
	n := newMesh().member(t, "n1.d1", true, func(c *raft.Config) { c.LeaderWait = 100 * time.Millisecond })
	begin := time.Now()
	_, err := n.node.Propose(soon(t), []byte("a"))
	took := time.Since(begin)
	if !errors.Is(err, raft.ErrNoLeader) || took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("propose: %v after %v", err, took)
	}
	ctx := within(t, 50*time.Millisecond)
	if err := n.node.ReadIndex(ctx); !errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("read: %v", err)
	}
	if ctx.Err() == nil {
		t.Error("read gave up before its context")
	}
}

func TestLostAnswerIsAnUnknownFateAndNotTriedAgain(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	follower := members[1]
	mesh.onReply(func(string, string) error { return errors.New("connection reset") })
	_, err := follower.node.Propose(soon(t), []byte("once"))
	if !errors.Is(err, raft.ErrUnknownFate) || errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("propose: %v", err)
	}
	mesh.onReply(nil)
	if err := follower.node.ReadIndex(soon(t)); err != nil {
		t.Fatal(err)
	}
	if !follower.ledger.has("once") {
		t.Error("it had reached the leader")
	}
}

func TestLeaderThatLosesItsPeersSaysOnlyThatTheFateIsUnknown(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	lead := leading(t, members...)
	for _, m := range members {
		if m != lead {
			mesh.cutWires(lead, m)
			mesh.cutWires(m, lead)
		}
	}
	_, _, err := lead.node.ProposeHere(soon(t), []byte("a"))
	if !errors.Is(err, raft.ErrUnknownFate) || errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("propose: %v", err)
	}
	if _, _, err := lead.node.ProposeHere(soon(t), []byte("b")); !errors.Is(err, raft.ErrNoLeader) {
		t.Errorf("propose to who leads no more: %v", err)
	}
}

// TestReadersShareQuestions and one that comes while a question is on its way
// does not take its answer.
func TestReadersShareQuestions(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	lead := leading(t, members...)
	follower := members[0]
	if follower == lead {
		follower = members[1]
	}
	begun, release := make(chan struct{}, 100), make(chan struct{})
	mesh.onCall(func(string, string) {
		begun <- struct{}{}
		<-release
	})
	before := mesh.questions(lead)
	read := func(work *sync.WaitGroup) {
		ctx := watch(soon(t))
		work.Go(func() {
			if err := follower.node.ReadIndex(ctx); err != nil {
				t.Error(err)
			}
		})
		<-ctx.waits
	}
	var first, later sync.WaitGroup
	read(&first)
	<-begun
	const readers = 200
	for range readers {
		read(&later)
	}
	close(release)
	first.Wait()
	later.Wait()
	if got := mesh.questions(lead) - before; got != 2 {
		t.Errorf("%d questions for one reader and %d who came while the first was on its way", got, readers)
	}
}

func TestReaderDoesNotTakeTheAnswerToAnEarlierQuestion(t *testing.T) {
	mesh := newMesh()
	members := mesh.three(t)
	lead := leading(t, members...)
	follower := members[0]
	if follower == lead {
		follower = members[1]
	}
	begun, release := make(chan struct{}, 10), make(chan struct{})
	slow := slowPeers{peers{mesh, follower.cfg.NodeID}, begun, release}
	closeNode(t, follower.node)
	follower.cfg.Peers = slow
	follower.restart(t)
	if err := follower.node.WaitLeader(soon(t)); err != nil {
		t.Fatal(err)
	}
	reads := make(chan error, 2)
	go func() { reads <- follower.node.ReadIndex(soon(t)) }()
	<-begun // the answer to the first is known, and on its way
	applying := follower.ledger.hold(errDiskFull)
	propose(t, leading(t, members...).node, "between")
	ctx := watch(soon(t))
	second := make(chan bool, 1)
	go func() {
		err := follower.node.ReadIndex(ctx)
		second <- err == nil && follower.ledger.has("between")
	}()
	<-ctx.waits
	release <- struct{}{}
	if err := <-reads; err != nil {
		t.Fatal(err)
	}
	select {
	case <-begun:
	case <-second:
		t.Fatal("the second reader took the answer to the first")
	}
	close(release)
	close(<-applying)
	if !<-second {
		t.Error("the second reader did not see what was acknowledged before it came")
	}
}

// slowPeers hold back the answers to questions.
type slowPeers struct {
	peers
	begun   chan struct{}
	release chan struct{}
}

func (p slowPeers) ReadIndex(ctx context.Context, to raft.Server) (uint64, error) {
	index, err := p.peers.ReadIndex(ctx, to)
	p.begun <- struct{}{}
	<-p.release
	return index, err
}
