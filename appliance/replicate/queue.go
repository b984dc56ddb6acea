package replicate

import (
	"container/list"
	"sync"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// A class says who waits for a transfer.
type class int

// The classes, the most urgent first.
const (
	classClient class = iota // a client reads it
	classPush                // a push waits for its copies
	classRepair              // it has too few copies
	classMove                // it has its copies, but not where they belong
)

const (
	clientsMax = 64   // transfers at once that clients wait for; further ones queue
	pushesMax  = 8    // transfers at once that pushes wait for
	queueMax   = 4096 // transfers that wait for their turn
	// copiesApart is up to which number of copies transfers are told apart.
	copiesApart = 3
)

// A lane is a number of transfers that may run at once. Repair of many large blobs
// must not hold up a push.
type lane int

const (
	laneClient lane = iota
	lanePush
	laneQuiet
	lanes
)

func (c class) lane() lane {
	switch c {
	case classClient:
		return laneClient
	case classPush:
		return lanePush
	default:
		return laneQuiet
	}
}

// buckets are the queues of transfers that are as urgent as one another.
const buckets = (int(classMove) + 1) * copiesApart

// bucket orders by class, then the most endangered blobs first.
func bucket(c class, copies int) int {
	return int(c)*copiesApart + min(max(copies, 1), copiesApart) - 1
}

// transfers are those that run, and those that wait for their turn.
type transfers struct {
	work signal // a transfer may be started

	mu      sync.Mutex // never held across I/O
	closed  bool       // nothing is started any more
	all     map[digest.Digest]*transfer
	waiting [buckets]list.List // of *transfer
	queued  int
	free    [lanes]int // how many more may run
	left    bool       // a transfer found no room in the queue
}

func (t *transfers) init(quiet int) {
	t.work = newSignal()
	t.all = make(map[digest.Digest]*transfer)
	t.free = [lanes]int{clientsMax, pushesMax, quiet}
}

// want makes sure that c is being fetched, or will be when it is its turn, at least as
// urgently as class says. When there is no room for it, the next scan comes back to it.
func (t *transfers) want(c meta.BlobCopies, cl class) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.wantLocked(c, cl); tr != nil {
		tr.kept.Store(true)
	}
}

// follow is want for a client, who is to leave the transfer when it has read enough.
// kept says whether the blob is wanted here. It returns nil when nothing is fetched
// any more.
func (t *transfers) follow(c meta.BlobCopies, kept bool) *transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.wantLocked(c, classClient)
	if tr != nil {
		tr.join()
		if kept {
			tr.kept.Store(true)
		}
	}
	return tr
}

func (t *transfers) wantLocked(c meta.BlobCopies, cl class) *transfer {
	if t.closed {
		return nil
	}
	at, tr := bucket(cl, len(c.Holders)), t.all[c.Digest]
	if tr == nil {
		if t.queued >= queueMax && !t.evictLocked(at) {
			t.left = true
			return nil
		}
		tr = newTransfer(c)
		t.all[c.Digest] = tr
		t.pushLocked(tr, cl, at)
		return tr
	}
	if tr.element != nil && at < tr.bucket {
		t.removeLocked(tr)
		t.pushLocked(tr, cl, at)
	}
	if cl < classRepair {
		tr.urgent.Store(true)
	}
	return tr
}

func (t *transfers) pushLocked(tr *transfer, cl class, at int) {
	if cl < classRepair {
		tr.urgent.Store(true)
	}
	tr.bucket = at
	tr.element = t.waiting[at].PushBack(tr)
	t.queued++
	t.work.set()
}

// evictLocked drops the youngest of the least urgent transfers, if it is less urgent
// than bucket at. Clients' transfers are never dropped: the connections bound them.
func (t *transfers) evictLocked(at int) bool {
	for b := buckets - 1; b > at && b >= bucket(classPush, 1); b-- {
		if e := t.waiting[b].Back(); e != nil {
			tr := e.Value.(*transfer)
			t.dropLocked(tr, ErrNoSource)
			t.left = true
			return true
		}
	}
	return at < bucket(classPush, 1)
}

func (t *transfers) removeLocked(tr *transfer) {
	t.waiting[tr.bucket].Remove(tr.element)
	tr.element = nil
	t.queued--
}

// dropLocked ends a transfer that waits.
func (t *transfers) dropLocked(tr *transfer, err error) {
	t.removeLocked(tr)
	delete(t.all, tr.copies.Digest)
	tr.end(err)
	tr.leave()
}

// next takes the most urgent transfer that may run now, and its lane.
func (t *transfers) next() (*transfer, lane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for b := range t.waiting {
		l := class(b / copiesApart).lane()
		if e := t.waiting[b].Front(); e != nil && t.free[l] > 0 {
			tr := e.Value.(*transfer)
			t.removeLocked(tr)
			t.free[l]--
			return tr, l
		}
	}
	return nil, 0
}

// done gives back what next took.
func (t *transfers) done(tr *transfer, l lane) {
	t.forget(tr)
	tr.leave()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free[l]++
	t.work.set()
}

// forget lets others begin anew: nobody joins tr from now on.
func (t *transfers) forget(tr *transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[tr.copies.Digest] == tr {
		delete(t.all, tr.copies.Digest)
	}
}

// abandoned says whether nobody needs tr any more. Then nobody can join it, either.
func (t *transfers) abandoned(tr *transfer) bool {
	if tr.kept.Load() || tr.readers() > 0 {
		return false // without the lock that all transfers share
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr.kept.Load() || tr.readers() > 0 {
		return false
	}
	if t.all[tr.copies.Digest] == tr {
		delete(t.all, tr.copies.Digest)
	}
	return true
}

// drained says whether a scan found no room for some transfers, and there is room
// again.
func (t *transfers) drained() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.left || t.queued > queueMax/2 {
		return false
	}
	t.left = false
	return true
}

// close ends those that wait.
func (t *transfers) close(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, tr := range t.all {
		if tr.element != nil {
			t.dropLocked(tr, err)
		}
	}
}
