package replicate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// nudgeEvery is how long a node that was asked for a copy has before another is asked,
// too.
const nudgeEvery = 2 * time.Second

// Wait is the barrier before a manifest: it returns when every blob has its copies, so
// that what was acknowledged outlives the loss of a disk (I1). It asks the nodes that
// lack them. On a node alone it returns at once.
//
// When that takes too long, or cannot be now, it depends on the policy: [ErrCopies] if
// a constraint refuses, or degraded, which means that the push is accepted with fewer
// copies, or in fewer zones, than there should be, and repair will make them. A blob
// that nobody holds is [ErrCopies] always. Blobs that nobody knows are not waited for.
func (r *Replicator) Wait(ctx context.Context, ds []digest.Digest) (degraded bool, err error) {
	if r.alone() {
		return false, nil
	}
	r.scans.company()
	begun := time.Now()
	b := barrier{Replicator: r, missing: slices.Compact(slices.Sorted(slices.Values(ds)))}
	defer func() { r.metrics.waited(begun, degraded, err) }()
	for {
		changed := r.cfg.Meta.Changed() // before the look: nothing is missed in between
		verdict, err := b.look(ctx)
		if err != nil || verdict.complete {
			return false, err
		}
		left := time.Until(begun.Add(r.cfg.Patience))
		if !verdict.refused {
			left = time.Until(begun.Add(r.cfg.SoftPatience))
		}
		if left <= 0 || verdict.hopeless {
			return !verdict.refused, verdict.err
		}
		again := time.NewTimer(min(left, nudgeEvery))
		select {
		case <-ctx.Done():
			again.Stop()
			return false, fmt.Errorf("wait for copies: %w", ctx.Err())
		case <-changed:
		case <-again.C:
		}
		again.Stop()
	}
}

// A barrier is one manifest that waits.
type barrier struct {
	*Replicator
	missing   []digest.Digest // that lack copies, as far as is known
	asked     map[question]time.Time
	confirmed bool // this node knows all that was acknowledged before
}

// A question is a blob that a node was asked to fetch.
type question struct {
	node   meta.NodeID
	digest digest.Digest
}

// A verdict is how the copies of a manifest's blobs are.
type verdict struct {
	complete bool
	refused  bool  // the policy would rather have no push than one like this
	hopeless bool  // what is missing cannot come as the nodes are now
	err      error // [ErrCopies], if refused
}

// look judges, and asks for what is missing.
func (b *barrier) look(ctx context.Context) (verdict, error) {
	copies, err := b.cfg.Meta.Copies(b.missing...)
	if err == nil && len(copies) < len(b.missing) && !b.confirmed {
		// Another node may have taken the blob, and this one not know yet.
		if err = b.cfg.Confirm(ctx); err == nil {
			b.confirmed = true
			copies, err = b.cfg.Meta.Copies(b.missing...)
		}
	}
	if err != nil {
		return verdict{}, fmt.Errorf("look for copies: %w", err)
	}
	v := b.Replicator.look()
	short := slices.DeleteFunc(copies, func(c meta.BlobCopies) bool { return !v.short(c) && len(c.Holders) > 0 })
	b.missing = b.missing[:0]
	out := verdict{complete: len(short) == 0, hopeless: true}
	for _, c := range short {
		b.missing = append(b.missing, c.Digest)
		refused, hopeless := v.judge(c)
		if refused && out.err == nil {
			hosts, zones := spread(v.counted(c.Holders))
			out.err = fmt.Errorf("%w: %s is on %d of %d nodes, in %d of %d zones",
				ErrCopies, c.Digest, hosts, v.rule.Copies, zones, v.rule.Zones)
		}
		// A refusal that nothing can lift ends the wait; otherwise there is something to
		// wait for as long as any blob can still get better.
		if refused && hopeless {
			return verdict{refused: true, hopeless: true, err: out.err}, nil
		}
		out.refused = out.refused || refused
		out.hopeless = out.hopeless && hopeless
		b.nudge(v, c)
	}
	return out, nil
}

// judge says whether the policy refuses c as it is, and whether that, or what else it
// lacks, can be mended with the nodes as they are.
func (v view) judge(c meta.BlobCopies) (refused, hopeless bool) {
	if len(c.Holders) == 0 {
		return true, true
	}
	now := v.counted(c.Holders)
	hosts, zones := spread(now)
	for _, p := range v.ranked(c) {
		if !slices.Contains(c.Holders, p.ID) {
			now = append(now, p)
		}
	}
	hostsMax, zonesMax := spread(now)
	r := v.rule
	refusedBy := func(hosts, zones int) bool {
		return v.policy.Host.Refuse && hosts < r.Copies || v.policy.Zone.Refuse && zones < r.Zones
	}
	if refusedBy(hosts, zones) {
		return true, refusedBy(hostsMax, zonesMax)
	}
	return false, min(hostsMax, r.Copies) <= hosts && min(zonesMax, r.Zones) <= zones
}

// nudge asks the nodes that would complete c, and others when these do not.
func (b *barrier) nudge(v view, c meta.BlobCopies) {
	if b.asked == nil {
		b.asked = make(map[question]time.Time)
	}
	slow := func(id meta.NodeID) bool {
		at, asked := b.asked[question{id, c.Digest}]
		return b.trust.failed(id) || asked && time.Since(at) >= nudgeEvery
	}
	nodes := v.lacking(c, slow)
	if len(nodes) == 0 { // everybody was asked: once more from the beginning
		for q := range b.asked {
			if q.digest == c.Digest {
				delete(b.asked, q)
			}
		}
		nodes = v.lacking(c, func(meta.NodeID) bool { return false })
	}
	for _, id := range nodes {
		q := question{id, c.Digest}
		if _, asked := b.asked[q]; !asked {
			b.asked[q] = time.Now()
			b.hint(c, []meta.NodeID{id})
		}
	}
}
