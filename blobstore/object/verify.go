package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// Verify is [blobstore.Store.Verify]: it reads all of d, which a provider may bill.
func (s *Store) Verify(ctx context.Context, d digest.Digest, rate *blobstore.Rate) error {
	path, err := blobPath(d)
	if err != nil {
		return fmt.Errorf("verify blob: %w", err)
	}
	before, err := s.Stat(ctx, d)
	if err != nil {
		return fmt.Errorf("verify blob: %w", err)
	}
	sum, err := s.rehash(ctx, d, rate)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", d, err)
	}
	if sum == d {
		return nil
	}
	bad := fmt.Errorf("%w: the bytes are %s", blobstore.ErrDigest, sum)
	moved, err := s.quarantine(ctx, path, before)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w: quarantine: %w", d, bad, err)
	}
	if !moved {
		return nil
	}
	s.metrics.quarantined.Inc()
	s.log.ErrorContext(ctx, "blob quarantined", "digest", d, "err", bad)
	return fmt.Errorf("verify blob %s: %w", d, bad)
}

// rehash is the digest of the bytes that are called d.
func (s *Store) rehash(ctx context.Context, d digest.Digest, rate *blobstore.Rate) (digest.Digest, error) {
	f, err := s.Open(ctx, d)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	buf := s.buffers.Get().(*buffer)
	defer s.buffers.Put(buf)
	h := d.Algorithm().Digester()
	for {
		n, err := f.Read(buf[:])
		_, _ = h.Hash().Write(buf[:n]) // never fails
		s.metrics.verified.Add(float64(n))
		if errors.Is(err, io.EOF) {
			return h.Digest(), nil
		}
		if err != nil {
			return "", err
		}
		if err := rate.Wait(ctx, n); err != nil {
			return "", err
		}
	}
}

// quarantine moves what was read as before aside, unless it was replaced meanwhile.
func (s *Store) quarantine(asked context.Context, path string, before blobstore.Info) (moved bool, err error) {
	s.names.take(before.Digest, true)
	defer s.names.give(before.Digest)
	if err := s.own(asked); err != nil {
		return false, err
	}
	now, err := s.Stat(asked, before.Digest)
	if errors.Is(err, blobstore.ErrNotFound) || err == nil && now != before {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer s.metrics.observe("move", &err)()
	ctx, p := watch(asked, s.cfg.FinishTimeout)
	defer p.end()
	err = s.backend.Move(ctx, path, quarantinePath(before.Digest, time.Now()))
	return err == nil, s.explain(asked, err)
}

// Quarantined is [blobstore.Store.Quarantined]. It does not ask a store that is known
// to be away.
func (s *Store) Quarantined(ctx context.Context) (infos []blobstore.Info, err error) {
	if err := s.Trouble(); err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	for o, err := range s.walk(ctx, quarantineDir) {
		if err != nil {
			return nil, fmt.Errorf("list quarantine: %w", err)
		}
		if d, at, ok := parseQuarantined(o.Path()); ok {
			infos = append(infos, blobstore.Info{Digest: d, Size: o.Size(), Time: at})
		}
	}
	slices.SortStableFunc(infos, func(a, b blobstore.Info) int { return a.Time.Compare(b.Time) })
	return infos, nil
}

// PurgeQuarantine is [blobstore.Store.PurgeQuarantine].
func (s *Store) PurgeQuarantine(ctx context.Context, before time.Time) (n int, bytes int64, err error) {
	if err := s.own(ctx); err != nil {
		return 0, 0, fmt.Errorf("purge quarantine: %w", err)
	}
	for o, err := range s.walk(ctx, quarantineDir) {
		if err == nil {
			if _, at, ok := parseQuarantined(o.Path()); !ok || !at.Before(before) {
				continue
			}
			err = s.delete(ctx, o.Path())
		}
		if err != nil {
			return n, bytes, fmt.Errorf("purge quarantine: %w", err)
		}
		n++
		bytes += o.Size()
	}
	return n, bytes, nil
}
