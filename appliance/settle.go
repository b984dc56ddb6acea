package appliance

import (
	"context"
	"errors"
	"sync"
	"time"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// settleEvery is how often it is tried to learn the fate of what was pushed.
const settleEvery = time.Second

// unsettled are blobs of which it is not known whether they were linked. A sweep
// that takes them for trash of an earlier time would make the metadata promise bytes
// that are not there. It is safe for concurrent use.
type unsettled struct {
	some chan struct{} // holds one while there may be any

	mu  sync.Mutex // guards all
	all []unsettledLink
}

type unsettledLink struct {
	pin  *blobstore.Pin
	link func(context.Context) error
}

func (u *unsettled) add(pin *blobstore.Pin, link func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, unsettledLink{pin, link})
	select {
	case u.some <- struct{}{}:
	default: // it is told already
	}
}

func (u *unsettled) take() (all []unsettledLink) {
	u.mu.Lock()
	defer u.mu.Unlock()
	all, u.all = u.all, nil
	return all
}

// settleLoop links again until there is an answer, and then lets go: the blob is known
// here, or the metadata refused it. What is left at the end of the process is as after
// a crash: the next one asks what was agreed before it sweeps.
func (a *Appliance) settleLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.unsettled.some:
		}
		if !every(ctx, settleEvery) {
			return nil
		}
		for _, l := range a.unsettled.take() {
			if err := l.link(ctx); errors.Is(err, meta.ErrUnsettled) || errors.Is(err, meta.ErrUnavailable) {
				a.unsettled.add(l.pin, l.link)
				continue
			}
			l.pin.Release()
		}
	}
}
