package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/raft"
)

var (
	errReadOnly = errors.New("the registry is in read-only mode")
	errClosing  = errors.New("the registry is shutting down")
)

// diskLoop watches the disk: it remembers the pressure for the request path,
// gives the reserve up when the disk is critical, and takes it back later.
func (a *Appliance) diskLoop(ctx context.Context) error {
	for {
		if err := a.watchDisk(); err != nil {
			a.log.WarnContext(ctx, "disk is not readable", "err", err)
		}
		if !every(ctx, time.Second) {
			return nil
		}
	}
}

func (a *Appliance) watchDisk() error {
	usage, err := a.blobs.Usage()
	if err != nil {
		return err
	}
	if before := blobstore.Pressure(a.pressure.Swap(int64(usage.State))); before != usage.State {
		a.log.Warn("disk pressure changed", "from", before.String(), "to", usage.State.String(),
			"free_bytes", usage.Free, "total_bytes", usage.Total)
	}
	return a.blobs.Relieve()
}

// logLoop ends the process when the metadata log cannot go on in it, so that
// its supervisor starts it again: the log is replayed then, and what failed is
// tried once more.
func (a *Appliance) logLoop(ctx context.Context) error {
	for every(ctx, time.Second) {
		if err := a.node.Status().Trouble; errors.Is(err, raft.ErrStopped) {
			return fmt.Errorf("the metadata log stopped, a restart may help: %w", err)
		}
	}
	return nil
}

// writable returns why writes that take space are refused now, or nil. It is
// asked by every push, so it reads memory only.
func (a *Appliance) writable() error {
	if blobstore.Pressure(a.pressure.Load()) >= blobstore.Critical {
		return fmt.Errorf("%w: only deletes are taken: delete images and run skerry gc, or make the disk larger",
			blobstore.ErrFull)
	}
	return nil
}

func (a *Appliance) status(ctx context.Context) (api.Status, error) {
	usage, err := a.blobs.Usage()
	if err != nil {
		return api.Status{}, err
	}
	contents, err := a.meta.Stats()
	if err != nil {
		return api.Status{}, err
	}
	damaged, err := a.quarantined(ctx)
	if err != nil {
		return api.Status{}, err
	}
	conditions, err := a.conditions()
	if err != nil {
		return api.Status{}, err
	}
	s := api.Status{
		Version: Version(), Node: a.cfg.Node, Zone: a.cfg.Zone, Started: a.started,
		Leader: a.node.Status().Leading, ReadOnly: a.readOnly(), ReadReady: a.served() == nil,
		Disk: api.DiskStatus{
			Total: usage.Total, Free: usage.Free, Reserve: usage.Reserve, Pressure: usage.State.String(),
			Ephemeral: fleeting(a.dir.path),
		},
		TLS:        a.tlsStatus(),
		Storage:    a.storageStatus(),
		Cluster:    a.clusterStatus(),
		Contents:   contents,
		Conditions: conditions,
	}
	for _, b := range damaged {
		if _, err := a.blobs.Stat(ctx, b.Digest); !errors.Is(err, blobstore.ErrNotFound) {
			continue // it was pushed again, or fetched
		}
		if missed, err := a.missed(b.Digest); err != nil {
			return api.Status{}, err
		} else if missed {
			s.Quarantined = append(s.Quarantined, b.Digest)
		}
	}
	if err := a.pushable(); err != nil {
		s.WriteError = err.Error()
	}
	s.WriteReady = s.WriteError == ""
	return s, nil
}
