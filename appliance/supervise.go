package appliance

import (
	"context"
	"fmt"

	"skerry.dev/skerry/blobstore"
)

// A State is how the node is in few words, for a supervisor that asks often.
type State struct {
	Reads, Writes error  // why they are refused; nil when they are not
	Pressure      string // of the disk
	Running       int64  // requests at the public address
}

// State reads memory only.
func (a *Appliance) State() State {
	return State{
		Reads:    a.served(),
		Writes:   a.pushable(),
		Pressure: blobstore.Pressure(a.pressure.Load()).String(),
		Running:  a.traffic.running.Load(),
	}
}

// Alive returns nil unless the process hangs, so that only a new one can help:
// a read of the metadata does not end before ctx does, or the metadata log
// neither answers nor says why it takes no entries. A full disk, a stopped log
// and a cluster without a leader are troubles that tell themselves, and are
// here no error: to be killed for them would only take the reads away.
func (a *Appliance) Alive(ctx context.Context) error {
	read := make(chan struct{})
	go func() { // ends with the read; should that hang, so does the process, which is about to be killed
		defer close(read)
		_, _ = a.meta.Account(adminName) // an error is an answer
	}()
	select {
	case <-read:
	case <-ctx.Done():
		return fmt.Errorf("a read of the metadata hangs: %w", ctx.Err())
	}
	if err := a.node.Probe(ctx); err != nil && ctx.Err() != nil {
		return fmt.Errorf("the metadata log hangs: %w", err)
	}
	return nil
}
