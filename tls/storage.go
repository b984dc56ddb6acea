package tls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// A Storage keeps small values under names of several parts, "a/b/c", for all
// nodes that serve the same names, and lets one of them keep the others from
// doing its work twice. What Store or Delete changed is what Load finds from
// then on, on this node. Safe for concurrent use.
type Storage interface {
	// Load returns the caller's own copy of a value, or [fs.ErrNotExist].
	Load(ctx context.Context, name string) ([]byte, error)
	// Store keeps a value, in place of one that is there, durably.
	Store(ctx context.Context, name string, value []byte) error
	// Delete removes a value. That there is none is no error.
	Delete(ctx context.Context, name string) error
	// List names all values whose names begin with prefix.
	List(ctx context.Context, prefix string) ([]string, error)

	// Lock takes a lock for so long, whoever fails to unlock it, and says whether
	// it could: not while another node holds it. This node may take its own again.
	Lock(ctx context.Context, name string, d time.Duration) (bool, error)
	// Unlock gives it back. That it ended meanwhile is no error.
	Unlock(ctx context.Context, name string) error
}

// A lock outlasts what may be done under it.
const (
	lockFor  = 2 * obtainFor
	lockPoll = time.Second
)

// guestStorage is a Storage as certmagic wants it. Only one goroutine of a
// node, that of run, takes locks.
type guestStorage struct{ s Storage }

var _ certmagic.Storage = guestStorage{}

// Store implements certmagic.Storage.
func (g guestStorage) Store(ctx context.Context, key string, value []byte) error {
	return g.s.Store(ctx, key, value)
}

// Load implements certmagic.Storage.
func (g guestStorage) Load(ctx context.Context, key string) ([]byte, error) {
	return g.s.Load(ctx, key)
}

// Delete implements certmagic.Storage: a value, or all below a name.
func (g guestStorage) Delete(ctx context.Context, key string) error {
	below, err := g.s.List(ctx, key+"/")
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range append(below, key) {
		errs = append(errs, g.s.Delete(ctx, k))
	}
	return errors.Join(errs...)
}

// Exists implements certmagic.Storage.
func (g guestStorage) Exists(ctx context.Context, key string) bool {
	_, err := g.Stat(ctx, key)
	return err == nil
}

// List implements certmagic.Storage.
func (g guestStorage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	below, err := g.s.List(ctx, dir+"/")
	if err != nil {
		return nil, err
	}
	if len(below) == 0 {
		return nil, fs.ErrNotExist
	}
	seen := map[string]bool{}
	var keys []string
	for _, k := range below {
		rest := strings.TrimPrefix(k, dir+"/")
		first, _, deeper := strings.Cut(rest, "/")
		if child := dir + "/" + first; !seen[child] {
			seen[child] = true
			if !deeper || !recursive {
				keys = append(keys, child)
			}
		}
		if deeper && recursive {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// Stat implements certmagic.Storage.
func (g guestStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, err := g.s.Load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	below, err := g.s.List(ctx, key+"/")
	if err == nil && len(below) == 0 {
		err = fs.ErrNotExist
	}
	return certmagic.KeyInfo{Key: key}, err
}

// Lock implements certmagic.Locker: it waits for the lock.
func (g guestStorage) Lock(ctx context.Context, name string) error {
	for {
		taken, err := g.s.Lock(ctx, name, lockFor)
		if taken || err != nil {
			return err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return fmt.Errorf("wait for another node, which holds %s: %w", name, ctx.Err())
		}
	}
}

// Unlock implements certmagic.Locker.
func (g guestStorage) Unlock(ctx context.Context, name string) error { return g.s.Unlock(ctx, name) }
