package raft

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Recover makes what a directory holds a cluster of the given voters, usually of
// this node alone, after a majority of the former voters was lost for good. The
// node must not be running. What is in its log counts as agreed then; what only
// others had acknowledged is lost.
//
// The servers that are left out must never come back with what their disks
// hold: they would go on as the cluster that this one was a part of. If more
// than one server is given, all of them are recovered with the same list before
// the first is started; the one whose log goes furthest prevails.
//
// One entry is appended to the log; a crash leaves it there or not. Recover may
// be repeated. ErrInUse; ErrMismatch, if the directory holds nothing, or this
// node is not among the servers.
func Recover(cfg Config, sm StateMachine, members []Server) (err error) {
	if err := cfg.validate(); err != nil {
		return err
	}
	conf, err := recovered(cfg.NodeID, members)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	n := &Node{cfg: cfg.withDefaults(), sm: sm, gate: newGate()}
	defer func() {
		if err = errors.Join(err, n.release()); err != nil {
			err = fmt.Errorf("recover: %w", err)
		}
	}()
	if err := n.openDir(); err != nil {
		return err
	}
	at, err := n.reconcile()
	if err != nil {
		return err
	}
	last, err := n.logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	last = max(last, at.index)
	if last == 0 {
		return fmt.Errorf("%w: %s holds nothing to recover", ErrMismatch, cfg.Dir)
	}
	// A new term, so that the entry is none that anybody else may have written.
	term := n.vote.term() + 1
	if err := n.vote.SetUint64(keyTerm(), term); err != nil {
		return err
	}
	err = n.logs.StoreLog(&hraft.Log{
		Index: last + 1, Term: term, Type: hraft.LogConfiguration,
		Data: hraft.EncodeConfiguration(conf), AppendedAt: time.Now(),
	})
	if err != nil {
		return err
	}
	if len(members) == 1 { // else the log of another one may go further
		n.agreed.note(last+1, term)
	}
	cfg.Log.Warn("members replaced by hand", "members", members, "index", last+1, "term", term)
	return nil
}

// recovered is the configuration in which these servers vote.
func recovered(self string, members []Server) (conf hraft.Configuration, err error) {
	if indexOfServer(members, self) < 0 {
		return conf, fmt.Errorf("%w: %s is not among the servers to be", ErrMismatch, self)
	}
	sorted := slices.SortedFunc(slices.Values(members), func(a, b Server) int { return cmp.Compare(a.ID, b.ID) })
	for i, s := range sorted {
		if s.ID == "" || s.Address == "" || i > 0 && sorted[i-1].ID == s.ID {
			return conf, fmt.Errorf("%w: servers need different ids, and addresses", ErrMismatch)
		}
		conf.Servers = append(conf.Servers, hraft.Server{
			Suffrage: hraft.Voter, ID: hraft.ServerID(s.ID), Address: hraft.ServerAddress(s.Address),
		})
	}
	return conf, nil
}

func indexOfServer(servers []Server, id string) int {
	return slices.IndexFunc(servers, func(s Server) bool { return s.ID == id })
}
