package raft

import (
	"errors"
	"fmt"
	"os"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Start opens the log and lets the node take part. The state machine stands at
// its last checkpoint; what the log has beyond it is applied before Start
// returns, as far as it is known to be agreed: all of it, if this node decides
// alone, else what it had applied before. The rest is when the others confirm it.
// Use WaitLeader before the first command, ReadIndex before the first read.
// ErrInUse, ErrMismatch, ErrDamaged.
func Start(cfg Config, sm StateMachine) (_ *Node, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg.withDefaults(), sm: sm,
		gate: newGate(), leader: newLeader(), proposals: newProposals(),
		closing: make(chan struct{}), changed: make(chan struct{}, 1),
	}
	n.here, n.asked = &rounds{ask: n.confirm}, &rounds{ask: n.ask}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start raft: %w", err), n.release())
		}
	}()
	if err := n.openDir(); err != nil {
		return nil, err
	}
	at, err := n.reconcile()
	if err != nil {
		return nil, err
	}
	if err := n.found(at); err != nil {
		return nil, err
	}
	n.machine = n.newMachine(at)
	if err := n.replay(at); err != nil {
		return nil, err
	}
	if err := n.settle(at); err != nil {
		return nil, err
	}
	if err := n.run(); err != nil {
		return nil, err
	}
	return n, nil
}

// openDir opens what the directory holds.
func (n *Node) openDir() (err error) {
	if err := os.MkdirAll(n.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("create log directory: %w", err)
	}
	if n.lock, err = lockDir(n.cfg.Dir); err != nil {
		return err
	}
	if n.vote, err = openVote(n.cfg.Dir); err != nil {
		return err
	}
	n.agreed = newAgreedFile(n.cfg)
	n.logs, err = openLog(n.cfg, n.noteLogFull)
	return err
}

// noteLogFull is told when the disk of the log is full, and when it is not.
func (n *Node) noteLogFull(cause error) {
	switch news := n.gate.set(logFull, cause); {
	case news && cause != nil:
		n.cfg.Log.Error("log has no room, commands are refused", "err", cause)
	case news:
		n.cfg.Log.Info("log has room again")
	}
}

// reconcile makes log and state machine fit, and returns where the latter
// stands. Only what an interrupted installation of a snapshot leaves behind is
// repaired: a log that ends before the snapshot, or contradicts it. All of its
// entries are superseded by the snapshot or were never agreed. Anything else
// that does not fit was done to the files from outside.
func (n *Node) reconcile() (at position, err error) {
	if _, b := n.sm.Durable(); b != nil {
		if at, err = decodePosition(b); err != nil {
			return at, err
		}
	}
	first, err := n.logs.FirstIndex()
	if err != nil {
		return at, fmt.Errorf("read log: %w", err)
	}
	last, err := n.logs.LastIndex()
	if err != nil {
		return at, fmt.Errorf("read log: %w", err)
	}
	highest := at.term
	var e hraft.Log
	if last > 0 {
		if err := n.logs.GetLog(last, &e); err != nil {
			return at, fmt.Errorf("read entry %d: %w", last, err)
		}
		highest = max(highest, e.Term)
	}
	switch {
	case last == 0 && at.index == 0 && n.vote.term() > 1 && !n.cfg.Join:
		return at, fmt.Errorf("%w: %s was at term %d, and its log is gone", ErrMismatch, n.cfg.Dir, n.vote.term())
	case n.vote.term() < highest:
		return at, fmt.Errorf("%w: %s was at term %d, its file \"vote\" knows only of %d; was it removed?",
			ErrMismatch, n.cfg.Dir, highest, n.vote.term())
	case first > at.index+1:
		return at, fmt.Errorf("%w: the log in %s begins with entry %d, the state machine ends with %d",
			ErrMismatch, n.cfg.Dir, first, at.index)
	case last > 0 && last < at.index:
		return at, n.logs.DeleteRange(first, last)
	case last > 0 && first <= at.index:
		if err := n.logs.GetLog(at.index, &e); err != nil {
			return at, fmt.Errorf("read entry %d: %w", at.index, err)
		}
		if e.Term != at.term {
			return at, n.logs.DeleteRange(first, last)
		}
	}
	return at, nil
}

// found makes an empty directory a cluster of one: the first entry says who
// votes. A crash before it is written leaves a directory that is still empty.
func (n *Node) found(at position) error {
	last, err := n.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if n.cfg.Join || last > 0 || at.index > 0 || n.vote.term() > 1 {
		return nil
	}
	if err := n.vote.SetUint64(keyTerm(), 1); err != nil {
		return err
	}
	err = n.logs.StoreLog(&hraft.Log{
		Index: 1, Term: 1, Type: hraft.LogConfiguration,
		Data:       hraft.EncodeConfiguration(n.soleConfiguration()),
		AppendedAt: time.Now(),
	})
	if err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	return nil
}

// soleConfiguration is the one in which this node decides alone.
func (n *Node) soleConfiguration() hraft.Configuration {
	return hraft.Configuration{Servers: []hraft.Server{{
		Suffrage: hraft.Voter,
		ID:       hraft.ServerID(n.cfg.NodeID),
		Address:  hraft.ServerAddress(n.cfg.Address),
	}}}
}

// settle finds out who decides, and what reads have to wait for.
func (n *Node) settle(at position) error {
	n.alone = soleVoter(n.conf, n.cfg.NodeID)
	if n.cfg.Listener == nil && len(n.conf.Servers) > 0 && !n.alone {
		return fmt.Errorf("%w: the log in %s belongs to %v, this node is %q and alone",
			ErrMismatch, n.cfg.Dir, n.conf.Servers, n.cfg.NodeID)
	}
	if err := n.logs.findCommand(at.index + 1); err != nil {
		return err
	}
	n.replayed = n.logs.command.Load()
	return nil
}

// run hands everything to raft.
func (n *Node) run() error {
	snapshots, err := openSnapshots(n.sm, n.cfg.SnapshotDir)
	if err != nil {
		return err
	}
	logs := hraft.LogStore(n.logs)
	if n.cfg.Listener != nil {
		n.logs.tail = newWatermark(n.logs.last)
		// Others read what was appended last.
		if logs, err = hraft.NewLogCache(maxBatch, n.logs); err != nil {
			return err
		}
	}
	n.transport = n.newTransport()
	n.raft, err = hraft.NewRaft(n.guestConfig(), n.machine, logs, n.vote, snapshots, n.transport)
	if err != nil {
		if t, ok := n.transport.(hraft.WithClose); ok {
			err = errors.Join(err, t.Close())
		}
		return err
	}
	if n.confirming != nil {
		commit := n.raft.CommitIndex
		n.confirming.commit.Store(&commit)
	}
	changes := make(chan hraft.Observation, 1) // one is enough: it says only that there is something to look at
	n.raft.RegisterObserver(hraft.NewObserver(changes, false, func(o *hraft.Observation) bool {
		switch o.Data.(type) {
		case hraft.LeaderObservation, hraft.RaftState:
			return true
		}
		return false
	}))
	n.watching.Add(1)
	go n.watch(changes, n.tend)
	n.campaign()
	return nil
}

// guestConfig is raft's own configuration.
func (n *Node) guestConfig() *hraft.Config {
	c := hraft.DefaultConfig()
	c.LocalID = hraft.ServerID(n.cfg.NodeID)
	c.Logger = &logger{log: n.cfg.Log, name: "raft"}
	// Who has heard of no leader for Election asks the others whether they have
	// (pre-vote, which stays on), and then for their vote. It notices after one to
	// three times Election, because the guest looks at random intervals. With 500
	// ms a command through another node is acknowledged 0.97 s (median), 1.28 s
	// (90 %), 1.49 s (longest of 60) after the leader vanished: BenchmarkFailover,
	// three nodes on two busy cores and one disk. A leader that reaches no majority
	// for as long gives up. Reads are always confirmed, so one that does not know
	// yet does no harm.
	c.HeartbeatTimeout, c.ElectionTimeout = n.cfg.Election, n.cfg.Election
	c.LeaderLeaseTimeout = n.cfg.Election
	if n.cfg.Witness { // leaves it to others, if there are any
		c.HeartbeatTimeout, c.ElectionTimeout = 2*n.cfg.Election, 2*n.cfg.Election
	}
	c.CommitTimeout = time.Millisecond // see push.go
	c.MaxAppendEntries, c.BatchApplyCh = maxBatch, true
	c.SnapshotInterval, c.SnapshotThreshold = n.cfg.SnapshotInterval, n.cfg.SnapshotThreshold
	c.TrailingLogs = n.cfg.TrailingLogs
	c.NoSnapshotRestoreOnStart = true // the state machine stands at its checkpoint already
	c.NoLegacyTelemetry = true
	c.ShutdownOnRemove = false
	return c
}
