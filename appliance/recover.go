package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// ErrNothingToRecover says that a data directory decides alone anyway.
var ErrNothingToRecover = errors.New("this node is the only one of its registry already: " +
	"start it with skerry serve; there is nothing to recover")

// recoverActor is who takes the lost nodes out, in the eyes of the metadata.
const recoverActor = "cluster recover"

// A Remainder is what is left of a cluster on one node.
type Remainder struct {
	Name   string      `json:"name"`
	Server string      `json:"server"`
	Others []meta.Node `json:"-"` // that are not gone, as far as this node knows

	LastIndex uint64    `json:"lastIndex"` // of the log
	LastTerm  uint64    `json:"lastTerm"`
	LastTime  time.Time `json:"lastTime"` // when that was written; zero if it is not known

	Blobs       int64 `json:"blobs"` // that are known
	LostBlobs   int64 `json:"lostBlobs"`
	LostBytes   int64 `json:"lostBytes"` // of blobs that only other nodes had
	Unconfirmed int64 `json:"unconfirmed"`
}

// Recover makes a data directory, which no process uses, a registry of this node
// alone, after so many others were lost that they never agree on anything again. It
// says what there is, and goes on only if proceed does not return an error.
//
// What is in the log of this node counts from then on. What others acknowledged, and
// this node never got, is lost; so are blobs that only others had. The others are
// gone for good, as if they had been removed: those of them that live must not be
// started with their disks again, or they go on as the cluster that this one left.
//
// It may be interrupted, and is to be run again then. [ErrNothingToRecover], and
// [InUseError].
func Recover(ctx context.Context, data string, log *slog.Logger, proceed func(Remainder) error) (err error) {
	if _, err := os.Stat(filepath.Join(data, metaName)); err != nil {
		return fmt.Errorf("no registry to recover: %w", err)
	}
	a, err := openRemainder(ctx, data, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	r, err := a.remainder()
	if err != nil {
		return err
	}
	if a.standing.Alone && len(r.Others) == 0 {
		return ErrNothingToRecover
	}
	if err := proceed(r); err != nil {
		return err
	}
	if err := a.db.Checkpoint(0, nil); err != nil { // the log goes on behind what is durable
		return fmt.Errorf("make metadata durable: %w", err)
	}
	if !a.standing.Alone { // else a recovery was interrupted here
		err := raft.Recover(a.logConfig(), stateMachine{a.db}, []raft.Server{{ID: r.Server, Address: a.cluster.address}})
		if err != nil {
			return err
		}
	}
	return a.forget(ctx)
}

// openRemainder opens what Recover needs: not the blobs, which may be elsewhere.
func openRemainder(ctx context.Context, data string, log *slog.Logger) (_ *Appliance, err error) {
	cfg, err := Config{Data: data}.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Appliance{cfg: cfg, log: log, atRest: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.dir, err = openDataDir(cfg.Data); err != nil {
		return nil, err
	}
	if err := a.openCluster(ctx); err != nil {
		return nil, err
	}
	if a.db, err = meta.OpenDB(meta.DBConfig{Dir: a.dir.join(metaName), Log: log}); err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	if err := a.replay(); err != nil {
		return nil, err
	}
	// The address is a name for others. There are none, and who joins later is told
	// the one that the settings say then.
	a.cluster.address = a.cluster.server
	if n, err := a.db.Node(a.cluster.server); err == nil && n.Address != "" {
		a.cluster.address = n.Address
	}
	return a, nil
}

// remainder counts what is here.
func (a *Appliance) remainder() (Remainder, error) {
	r := Remainder{
		Name: a.cluster.server, Server: a.cluster.server, Others: a.others(),
		LastIndex: a.standing.LastIndex, LastTerm: a.standing.LastTerm, LastTime: a.standing.LastTime,
		Unconfirmed: int64(a.standing.LastIndex) - int64(a.standing.Applied), //nolint:gosec // a difference
	}
	if n, err := a.db.Node(r.Server); err == nil {
		r.Name = n.Name
	}
	self := a.self()
	for after := uint64(0); ; {
		page, err := a.db.CopiesAfter(after, copiesPage)
		if err != nil || len(page) == 0 {
			return r, err
		}
		for _, c := range page {
			r.Blobs++
			if !slices.Contains(c.Holders, self) {
				r.LostBlobs++
				r.LostBytes += c.Size
			}
			after = c.ID
		}
	}
}

// forget takes the other nodes out, by the log, so that whoever joins later hears of
// it, too.
func (a *Appliance) forget(ctx context.Context) (err error) {
	if a.node, err = raft.Start(a.logConfig(), stateMachine{a.db}); err != nil {
		return misfit(err)
	}
	if err := a.node.WaitLeader(ctx); err != nil {
		return fmt.Errorf("wait for the metadata log: %w", err)
	}
	// What was not confirmed is applied now, and may name further nodes.
	if err := a.node.ReadIndex(ctx); err != nil {
		return fmt.Errorf("wait for the metadata log: %w", err)
	}
	store := meta.NewStore(a.db, proposer{a.node}, meta.StoreConfig{Grace: a.cfg.Grace, Self: a.self})
	for _, n := range a.others() {
		err := store.SetNodeState(ctx, n.ID, meta.NodeGone, recoverActor)
		if err != nil && !errors.Is(err, meta.ErrNode) { // gone already
			return fmt.Errorf("take out %s: %w", n.Name, err)
		}
	}
	return nil
}
