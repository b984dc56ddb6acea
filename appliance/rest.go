package appliance

import (
	"context"
	"errors"
	"fmt"

	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/raft"
)

// Stores at rest are looked at, and served by nobody: one node of many meets no other,
// and neither elects nor is elected.

// replay brings the metadata at rest to where this node had it, and not further.
func (a *Appliance) replay() error {
	standing, err := raft.Replay(a.logConfig(), stateMachine{a.db})
	if err != nil {
		return misfit(err)
	}
	a.standing = standing
	a.meta = meta.NewStore(a.db, resting{}, meta.StoreConfig{Grace: a.cfg.Grace, Self: a.self})
	return nil
}

// errAtRest says that there is nobody to agree with.
var errAtRest = errors.New("the data directory is looked at, not served")

// resting takes no commands.
type resting struct{}

var _ meta.Proposer = resting{}

// Propose implements [meta.Proposer].
func (resting) Propose(context.Context, []byte) ([]byte, error) {
	return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, errAtRest)
}
