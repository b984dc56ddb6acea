package replicate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

const (
	// scanPage is how many blobs are looked at between two looks at the nodes.
	scanPage = 256
	// scanShare bounds what scans take of this node's time: after each comes a rest of
	// so many times its length.
	scanShare = 10
)

// A Report is what a look at all blobs came to.
type Report struct {
	At      time.Time // when it ended
	Blobs   int       // known to the registry
	Held    int       // by this node
	Short   int       // with fewer copies than they should have, or in fewer zones
	Late    int       // of Short, for longer than a push takes
	Lost    int       // that nobody holds: nothing but a push or a restore brings them back
	Fetch   int       // that this node is to fetch
	Surplus int       // held by this node, though others have enough
	Dropped int       // of them, that it holds no more
	Needed  int       // that this node must not lose, because others have too few
}

// scans says when to look at all blobs.
type scans struct {
	soon   signal      // something may have changed
	failed signal      // something could not be fetched
	seen   atomic.Bool // there are other nodes
	took   atomic.Bool // a client has pushed something here since the last look

	mu   sync.Mutex
	last Report
	gone map[digest.Digest]bool // recorded here, and not found when asked for
}

func (s *scans) init() {
	s.soon, s.failed = newSignal(), newSignal()
	s.gone = make(map[digest.Digest]bool)
}

// company says that this node is not alone (any more).
func (s *scans) company() {
	if !s.seen.Swap(true) {
		s.soon.set()
	}
}

// lose says that the metadata expects d here, where it is not.
func (s *scans) lose(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.gone) < scanPage {
		s.gone[d] = true
		s.soon.set()
	}
}

// again says that ds could not be told of.
func (s *scans) again(ds []digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		s.gone[d] = true
	}
	s.failed.set()
}

func (s *scans) takeLost() (ds []digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.gone {
		ds = append(ds, d)
	}
	clear(s.gone)
	return ds
}

// Poke says that nodes, their condition or the policy may have changed. A node alone
// notices by it that it is not alone any more.
func (r *Replicator) Poke() { r.scans.soon.set() }

// Report is what the last look at all blobs came to; the zero Report before the first.
func (r *Replicator) Report() Report {
	r.scans.mu.Lock()
	defer r.scans.mu.Unlock()
	return r.scans.last
}

// scanLoop looks at all blobs when nodes have changed, and now and then.
func (r *Replicator) scanLoop(ctx context.Context) {
	for r.alone() || r.cfg.Self() == 0 {
		select {
		case <-ctx.Done():
			return
		case <-r.scans.soon:
		}
	}
	r.scans.seen.Store(true)
	reconciled := false
	var nodes []meta.Node
	var since time.Time // that the nodes are as they are
	for retry := r.cfg.Retry; ; {
		r.scans.soon.clear() // whatever it was about, this look is later
		r.scans.took.Store(false)
		if now := r.cfg.Meta.Nodes(); !slices.Equal(now, nodes) {
			nodes, since = now, time.Now()
		}
		begun, changed := time.Now(), r.cfg.Meta.Changed() // before the look: nothing is missed in between
		if !reconciled {
			err := r.Reconcile(ctx)
			if reconciled = err == nil; err != nil && ctx.Err() == nil { // nobody leads, perhaps
				r.log.WarnContext(ctx, "disk and metadata not compared yet", "err", err)
				r.scans.failed.set()
			}
		}
		r.recover(ctx)
		report, err := r.scan(ctx, time.Since(since) >= r.cfg.Surplus)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.WarnContext(ctx, "blobs not looked at", "err", err)
		case report.Fetch == 0:
			retry = r.cfg.Retry
		default:
			retry = min(2*retry, r.cfg.Backstop)
		}
		if !pause(ctx, scanShare*time.Since(begun)) || !r.rest(ctx, nodes, changed, report, retry) {
			return
		}
	}
}

// recover tells of blobs that were not found when somebody wanted to read them.
func (r *Replicator) recover(ctx context.Context) {
	ds := r.scans.takeLost()
	if err := r.Lost(ctx, ds); err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "lost blobs not told of", "blobs", len(ds), "err", err)
		r.scans.again(ds)
	}
}

// rest waits until there is a reason to look again: nodes are those of the last look,
// changed is closed by the first change since.
func (r *Replicator) rest(
	ctx context.Context, nodes []meta.Node, changed <-chan struct{}, report Report, retry time.Duration,
) bool {
	longest := r.cfg.Backstop
	if report.Surplus > report.Dropped {
		longest = min(longest, r.cfg.Surplus)
	}
	if report.Short > 0 { // other nodes mend it, or a push does
		longest = min(longest, r.cfg.Patience)
	}
	timer := time.NewTimer(longest)
	defer timer.Stop()
	var failed *time.Timer
	again := make(<-chan time.Time)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-r.scans.soon:
			return true
		case <-timer.C:
			return true
		case <-again:
			return true
		case <-r.scans.failed:
			if failed == nil {
				failed = time.NewTimer(retry)
				defer failed.Stop()
				again = failed.C
			}
		case <-changed:
			if (report.Held > report.Dropped || r.scans.took.Load()) && !r.look().keeper() {
				return pause(ctx, drainPause) // others may have got what this node is to lose
			}
			changed = r.cfg.Meta.Changed()
			if !slices.Equal(nodes, r.cfg.Meta.Nodes()) {
				return true
			}
		}
	}
}

// drainPause is the least time between two looks of a node that is being drained.
const drainPause = 100 * time.Millisecond

// scan looks at every blob: what this node is to fetch is queued, what it need not
// hold is dropped. steady says that the nodes have been as they are for a while.
func (r *Replicator) scan(ctx context.Context, steady bool) (report Report, err error) {
	for after := uint64(0); ; {
		page, err := r.cfg.Meta.CopiesAfter(after, scanPage)
		if err != nil {
			return report, fmt.Errorf("list copies: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
		v := r.look()
		var surplus []meta.BlobCopies
		for _, c := range page {
			if r.consider(v, c, &report) {
				surplus = append(surplus, c)
			}
		}
		if err := r.shed(ctx, v, surplus, steady, &report); err != nil {
			return report, err
		}
	}
	report.At = time.Now()
	r.metrics.scanned(report)
	r.scans.mu.Lock()
	defer r.scans.mu.Unlock()
	r.scans.last = report
	return report, nil
}

// consider decides about one blob, and reports whether this node holds it without
// need.
func (r *Replicator) consider(v view, c meta.BlobCopies, report *Report) (surplus bool) {
	report.Blobs++
	short := v.short(c)
	if short {
		report.Short++
		if time.Since(c.Created) > r.cfg.Patience {
			report.Late++
		}
	}
	if len(c.Holders) == 0 {
		report.Lost++
		return false
	}
	held := slices.Contains(c.Holders, v.self)
	if !held {
		if v.keeper() && slices.Contains(v.wanted(c), v.self) {
			report.Fetch++
			cl := classMove
			if short {
				cl = classRepair
			}
			r.transfers.want(c, cl)
		}
		return false
	}
	report.Held++
	others := slices.DeleteFunc(slices.Clone(c.Holders), func(id meta.NodeID) bool { return id == v.self })
	if !v.rule.meets(v.counted(others)) {
		report.Needed++
		if !v.keeper() { // it is going, and the others may not know what it takes along
			r.hint(c, v.lacking(c, r.trust.failed))
		}
		return false
	}
	// As long as a copy is under way to where it belongs, this one may be what it is
	// made of.
	if v.keeper() && (slices.Contains(v.wanted(c), v.self) || len(v.missing(c)) > 0) {
		return false
	}
	report.Surplus++
	return true
}

// shed drops copies that nobody needs. The command that does it is checked where it is
// applied, so that nodes that shed the same blob at once leave enough (I1).
func (r *Replicator) shed(
	ctx context.Context, v view, surplus []meta.BlobCopies, steady bool, report *Report,
) error {
	var ds []digest.Digest
	of := make(map[digest.Digest]meta.BlobCopies, len(surplus))
	for _, c := range surplus {
		if !v.keeper() || steady && r.aged(ctx, c.Digest) {
			ds = append(ds, c.Digest)
			of[c.Digest] = c
		}
	}
	if len(ds) == 0 {
		return nil
	}
	rule := meta.Surplus{Copies: max(v.rule.Copies, 1), Zones: v.rule.Zones}
	dropped, err := r.cfg.Meta.DropHolder(ctx, v.self, ds, rule)
	for _, d := range dropped {
		// A crash here leaves bytes without a record, which the next start finds.
		if !errors.Is(r.unlink(ctx, d), blobstore.ErrPinned) {
			continue
		}
		// A push has found it here meanwhile, and counts on it: it is a copy again.
		if pin, err := r.here(ctx, of[d]); err == nil {
			r.announced.add(ctx, d, pin, false)
		}
	}
	report.Dropped += len(dropped)
	r.metrics.shed.Add(float64(len(dropped)))
	if err != nil {
		return fmt.Errorf("drop surplus copies: %w", err)
	}
	return nil
}

// aged says whether the copy of d on this disk is older than Config.Surplus: one that
// was made for a reader serves others, too.
func (r *Replicator) aged(ctx context.Context, d digest.Digest) bool {
	info, err := r.cfg.Bytes.Stat(ctx, d)
	return err == nil && time.Since(info.Time) >= r.cfg.Surplus
}
