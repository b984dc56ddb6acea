package raft

import (
	"errors"
	"fmt"
	"os"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A Standing is what a directory holds, without anybody to confirm it.
type Standing struct {
	Applied   uint64    // index of the last entry that is known to be agreed
	LastIndex uint64    // of the log, or of the checkpoint behind it
	LastTerm  uint64    // of that entry
	LastTime  time.Time // when it was appended, by the clock of who led; zero if that is in no log any more
	Voters    []Server
	Alone     bool // this node is the only voter
}

// Replay applies to the state machine what Start would before it asks anybody, for
// who wants to look at a node that does not run: there is no election, no network,
// and neither log nor vote changes, but for the remains of an interrupted append.
// The state machine is not checkpointed. ErrInUse; ErrMismatch, if the directory
// holds no log; ErrDamaged.
func Replay(cfg Config, sm StateMachine) (_ Standing, err error) {
	if err := cfg.validate(); err != nil {
		return Standing{}, err
	}
	n := &Node{cfg: cfg.withDefaults(), sm: sm, gate: newGate(), closing: make(chan struct{})}
	defer func() {
		if err = errors.Join(err, n.release()); err != nil {
			err = fmt.Errorf("replay: %w", err)
		}
	}()
	if _, err := os.Stat(cfg.Dir); err != nil {
		return Standing{}, fmt.Errorf("%w: no log: %w", ErrMismatch, err)
	}
	if err := n.openDir(); err != nil {
		return Standing{}, err
	}
	at, err := n.reconcile()
	if err != nil {
		return Standing{}, err
	}
	n.machine = n.newMachine(at)
	if err := n.replay(at); err != nil {
		return Standing{}, err
	}
	if err := n.machine.err; err != nil {
		return Standing{}, err
	}
	return n.standing(at)
}

func (n *Node) standing(at position) (Standing, error) {
	s := Standing{
		Applied: n.machine.pos.index, LastIndex: at.index, LastTerm: at.term, Alone: soleVoter(n.conf, n.cfg.NodeID),
	}
	for _, v := range n.conf.Servers {
		if v.Suffrage == hraft.Voter {
			s.Voters = append(s.Voters, Server{ID: string(v.ID), Address: string(v.Address)})
		}
	}
	last, err := n.logs.LastIndex()
	if err != nil {
		return s, fmt.Errorf("read log: %w", err)
	}
	if last == 0 {
		return s, nil
	}
	var e hraft.Log
	if err := n.logs.GetLog(last, &e); err != nil {
		return s, fmt.Errorf("read entry %d: %w", last, err)
	}
	s.LastIndex, s.LastTerm, s.LastTime = e.Index, e.Term, e.AppendedAt
	return s, nil
}

// newMachine stands where the state machine's checkpoint does.
func (n *Node) newMachine(at position) *machine {
	return &machine{
		sm: n.sm, isFull: n.cfg.Full, log: n.cfg.Log, gate: n.gate, closing: n.closing,
		applied: newWatermark(at.index), pos: at, stored: true, applies: newApplies(), agreed: n.agreed,
	}
}

// replay applies what follows the checkpoint, for as long as it is known to be
// agreed: where this node alone decides, whatever is in its log is; else what it
// noted. Raft would do the same, but not before an election, for which a full disk
// has no room and a single node of many no majority; reads need not wait for that.
// Where replay ends, or where the state machine has no room, raft goes on.
func (n *Node) replay(at position) error {
	last, err := n.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	agreed, err := n.agreedUpTo(at, last)
	if err != nil {
		return err
	}
	conf, batch := at.conf, make([]*hraft.Log, 0, replayBatch)
	known, going := true, true
	for i := at.index + 1; i <= last; i++ {
		e := new(hraft.Log)
		if err := n.logs.GetLog(i, e); err != nil {
			return fmt.Errorf("read entry %d: %w", i, err)
		}
		if e.Type == hraft.LogConfiguration {
			conf = hraft.DecodeConfiguration(e.Data)
		}
		known = known && (i <= agreed || soleVoter(conf, n.cfg.NodeID))
		if known && going && reachesMachine(e.Type) {
			batch = append(batch, e)
		}
		if len(batch) == replayBatch || i == last {
			going, batch = going && n.machine.replay(batch), batch[:0]
		}
	}
	n.conf = conf
	return nil
}
