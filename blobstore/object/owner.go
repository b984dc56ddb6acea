package object

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"skerry.dev/skerry/blobstore"
)

// format is that of the bucket.
const format = 1

// An ownership is the content of ownerFile.
type ownership struct {
	Format int    `json:"format"`
	Owner  string `json:"owner"`
}

// Claim says who this registry is: a name that it keeps, and no other has. The first
// write leaves it in the bucket.
func (s *Store) Claim(owner string) { s.owner.Store(&owner) }

// own returns nil when the bucket is this registry's: what it does not know there is
// then its own garbage. It is asked once.
func (s *Store) own(ctx context.Context) error {
	if s.owned.Load() {
		return nil
	}
	owner := s.owner.Load()
	if owner == nil {
		return errors.New("object store: nobody has claimed it")
	}
	s.owning.Lock()
	defer s.owning.Unlock()
	if s.owned.Load() {
		return nil
	}
	err := s.ownedBy(ctx, *owner)
	if errors.Is(err, blobstore.ErrNotFound) {
		if err := s.writeOwner(ctx, *owner); err != nil {
			return err
		}
		err = s.ownedBy(ctx, *owner) // of two that come at once, one stays
	}
	if err != nil {
		return err
	}
	s.owned.Store(true)
	return nil
}

// ownedBy is [blobstore.ErrNotFound] when the bucket is nobody's.
func (s *Store) ownedBy(ctx context.Context, owner string) error {
	found, err := s.readOwner(ctx)
	if err != nil {
		return err
	}
	if found.Owner != owner || found.Format != format {
		return fmt.Errorf("%w: %s belongs to another registry (or to another format of it): give a storage-prefix of "+
			"its own, or, if that one is no more, delete the object %s%s", blobstore.ErrRefused, s.cfg.Location(),
			s.cfg.Prefix, ownerFile)
	}
	return nil
}

func (s *Store) readOwner(asked context.Context) (o ownership, err error) {
	ctx, cancel := context.WithTimeoutCause(asked, s.cfg.RequestTimeout, errStalled)
	defer cancel()
	b, err := s.backend.GetContent(ctx, ownerFile)
	if err != nil {
		return o, s.explain(asked, err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("%w: %s in %s is not readable: %w", blobstore.ErrRefused, ownerFile, s.cfg.Location(), err)
	}
	return o, nil
}

func (s *Store) writeOwner(asked context.Context, owner string) error {
	b, err := json.Marshal(ownership{format, owner})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(asked, s.cfg.RequestTimeout, errStalled)
	defer cancel()
	return s.explain(asked, s.backend.PutContent(ctx, ownerFile, append(b, '\n')))
}

// Location is where the blobs are, in words that stay the same while they do.
func (c Config) Location() string {
	at := string(c.Kind) + " "
	if c.Kind == Azure {
		at += c.Account + "/"
	}
	at += c.Bucket
	if c.Prefix != "" {
		at += "/" + c.Prefix
	}
	return at
}

// Reach asks whether the store answers and does what it is asked to, and
// remembers it: one that does not gets no uploads before Reach has found it well.
func (s *Store) Reach(ctx context.Context) error {
	err := s.reach(ctx)
	if err == nil && s.owner.Load() != nil {
		err = s.own(ctx)
	}
	if ctx.Err() == nil {
		s.trouble.Store(nil)
		if err != nil {
			s.trouble.Store(&err)
		}
	}
	s.metrics.reached(err)
	return err
}

// Trouble is what Reach found last. It reads memory only.
func (s *Store) Trouble() error {
	if err := s.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// reach asks for the directory of blobs: that fails unless bucket and credentials are
// good, and does not mind that there is none yet.
func (s *Store) reach(ctx context.Context) error {
	if _, err := s.stat(ctx, blobsDir); !errors.Is(err, blobstore.ErrNotFound) {
		return err
	}
	return nil
}

// Reach asks whether the object store of cfg answers, and whether its bucket is there
// and open to the credentials, without a store on this disk. It writes nothing. The
// error is [blobstore.ErrUnavailable] or [blobstore.ErrRefused].
func Reach(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	backend, err := connect(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", blobstore.ErrRefused, err)
	}
	s := &Store{cfg: cfg, backend: backend, metrics: newMetrics()}
	return s.reach(ctx)
}

// Own is [Reach], and asks besides whether the bucket is owner's, as [Store.Claim]
// has it. A bucket that is nobody's is made his with take, and else
// [blobstore.ErrNotFound].
func Own(ctx context.Context, cfg Config, owner string, take bool) error {
	cfg = cfg.withDefaults()
	backend, err := connect(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", blobstore.ErrRefused, err)
	}
	s := &Store{cfg: cfg, backend: backend, metrics: newMetrics()}
	if err := s.reach(ctx); err != nil {
		return err
	}
	if !take {
		return s.ownedBy(ctx, owner)
	}
	s.Claim(owner)
	return s.own(ctx)
}
