package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/metadb"
)

// A SeedConfig says which node a state machine is planted for.
type SeedConfig struct {
	Dir    string // as Config.Dir; must hold no log
	NodeID string // as Config.NodeID: one that never voted, so a new one
	Log    *slog.Logger
}

// Seed prepares cfg.Dir for a state machine that comes from elsewhere, from a
// backup say, and will be the beginning of a new cluster in which this node
// decides alone. It returns the position to store in the state machine, at the
// index it has, with Checkpoint; then Start goes on from there. A nil position,
// of a state machine that nothing was ever applied to, stays nil.
//
// A crash in between leaves a directory to be thrown away with the rest of the
// restored data. ErrInUse; ErrMismatch if there is a log already.
func Seed(cfg SeedConfig, stored []byte) (_ []byte, err error) {
	n := &Node{cfg: Config{NodeID: cfg.NodeID, Dir: cfg.Dir, Log: cfg.Log}.withDefaults()}
	if err := n.cfg.validate(); err != nil {
		return nil, err
	}
	if stored == nil {
		return nil, nil
	}
	at, err := decodePosition(stored)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.release()) }()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create log directory: %w", err)
	}
	if n.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(cfg.Dir, metadb.FileName))
	if err == nil {
		return nil, fmt.Errorf("%w: %s holds a log already", ErrMismatch, cfg.Dir)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for a log: %w", err)
	}
	if n.vote, err = openVote(cfg.Dir); err != nil {
		return nil, err
	}
	// Terms only rise: the first entry of the new cluster must follow the last
	// one that the state machine knows.
	if err := n.vote.SetUint64(keyTerm(), max(at.term, n.vote.term())); err != nil {
		return nil, err
	}
	at.conf, at.confIndex = n.soleConfiguration(), at.index
	cfg.Log.Info("state planted for a new cluster", "node", cfg.NodeID, "index", at.index, "term", at.term)
	return at.encode(), nil
}
