package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"sync"
	"time"

	"skerry.dev/skerry/kube/resource"
)

// transitions remembers since when the objects' conditions are what they are. What
// held before a stop and holds after it is taken to have held in between. It is safe
// for concurrent use; the zero value is ready, and has seen nothing.
//
// It rests in a small file in the data directory, not in the metadata: conditions are
// one node's view, and many of them say that nothing can be agreed on just now.
type transitions struct {
	mu      sync.Mutex // guards what follows
	seen    map[string]transition
	changed bool // since seen was last noted

	lost bool // the last try to note it failed; owned by noteTransitions
}

type transition struct {
	Status string    `json:"status"`
	Since  time.Time `json:"since"`
}

// of is the memory for one kind's conditions. It writes nothing.
func (t *transitions) of(object string) resource.Since {
	return func(condition, status string) time.Time {
		t.mu.Lock()
		defer t.mu.Unlock()
		key := object + " " + condition
		if t.seen[key].Status != status {
			if t.seen == nil {
				t.seen = map[string]transition{}
			}
			t.seen[key] = transition{status, time.Now().UTC()}
			t.changed = true
		}
		return t.seen[key].Since
	}
}

// take returns what is to be noted, or nil when nothing has changed.
func (t *transitions) take() map[string]transition {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.changed {
		return nil
	}
	t.changed = false
	return maps.Clone(t.seen)
}

// putBack says that what was taken could not be noted.
func (t *transitions) putBack() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = true
}

// recall begins with what an earlier process saw, but for times that cannot be.
func (t *transitions) recall(seen map[string]transition, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(seen, func(_ string, was transition) bool {
		return was.Since.IsZero() || was.Since.After(now)
	})
	t.seen = seen
}

// recallTransitions reads what an earlier process noted. What cannot be read is
// forgotten: then conditions are what they are since now.
func (a *Appliance) recallTransitions(ctx context.Context) {
	var seen map[string]transition
	b, err := os.ReadFile(a.dir.join(conditionsName))
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.log.WarnContext(ctx, "since when conditions are what they are is forgotten", "err", err)
		}
		seen = nil // not the half of it
	}
	a.since.recall(seen, time.Now())
}

// noteTransitions writes down what has changed, if anything has. One call at a time.
func (a *Appliance) noteTransitions(ctx context.Context) {
	seen := a.since.take()
	if seen == nil {
		return
	}
	b, err := json.MarshalIndent(seen, "", "  ")
	if err == nil {
		err = a.dir.write(conditionsName, string(b)+"\n")
	}
	if err != nil {
		a.since.putBack()
		if !a.since.lost { // a full disk is full for a while
			a.log.WarnContext(ctx, "since when conditions are what they are is not noted", "err", err)
		}
	}
	a.since.lost = err != nil
}

// sinceNow remembers nothing: for a document that is not stored.
func sinceNow(string) resource.Since {
	return func(string, string) time.Time { return time.Now() }
}
