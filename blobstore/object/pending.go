package object

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// pendingDir is where in the staging directory it is noted which blobs are being
// sent in pieces.
const pendingDir = "pending"

// pending remembers which blobs are being sent, so that the pieces that a killed
// process sent, which nobody sees and somebody pays for, are found again.
type pending struct {
	dir string
	mu  *sync.Mutex
	now map[string]int // by path: how often it is being sent; guarded by mu
}

func openPending(dir string) (pending, error) {
	err := os.MkdirAll(dir, 0o700)
	return pending{dir: dir, mu: new(sync.Mutex), now: make(map[string]int)}, err
}

func (p pending) file(path string) string {
	return filepath.Join(p.dir, base64.RawURLEncoding.EncodeToString([]byte(path)))
}

// begin notes that path is being sent. done says how it ended: clean, when nothing
// can be left but the blob. The note is not synced: what a power cut takes of it is
// left to the bucket's own rule for uploads that nobody completed.
func (p pending) begin(path string) (done func(clean bool), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.WriteFile(p.file(path), nil, 0o600); err != nil {
		return nil, fmt.Errorf("note what is being sent: %w", err)
	}
	p.now[path]++
	return func(clean bool) { p.end(path, clean) }, nil
}

func (p pending) end(path string, clean bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now[path]--; p.now[path] > 0 {
		return
	}
	delete(p.now, path)
	if clean {
		_ = os.Remove(p.file(path)) // else it is looked for in vain once
	}
}

// left lists what was begun and is not being sent now.
func (p pending) left() (paths []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	entries, err := os.ReadDir(p.dir)
	for _, e := range entries {
		path, err := base64.RawURLEncoding.DecodeString(e.Name())
		if err == nil && p.now[string(path)] == 0 {
			paths = append(paths, string(path))
		}
	}
	return paths, err
}

func (p pending) forget(path string) error { return os.Remove(p.file(path)) }

// PurgeUploads is [blobstore.Store.PurgeUploads]. It also drops what was sent of
// blobs whose sender was killed.
func (s *Store) PurgeUploads(ctx context.Context, before time.Time) (n int, bytes int64, err error) {
	n, bytes, err = s.staging.PurgeUploads(ctx, before)
	if err == nil {
		err = s.purgePieces(ctx)
	}
	if err == nil && !s.backend.atomic {
		err = s.purgeUnnamed(ctx, before)
	}
	return n, bytes, err
}

func (s *Store) purgePieces(ctx context.Context) error {
	paths, err := s.pending.left()
	for _, path := range paths {
		if err == nil {
			err = s.purgePiecesOf(ctx, path)
		}
		if err == nil {
			err = s.pending.forget(path)
		}
	}
	if err != nil {
		return fmt.Errorf("purge what was left half sent: %w", err)
	}
	return nil
}

// purgePiecesMax is how often a process may have been killed while sending a blob.
const purgePiecesMax = 100

// purgePiecesOf drops every begun upload of path: the driver finds one at a time.
func (s *Store) purgePiecesOf(asked context.Context, path string) error {
	for range purgePiecesMax {
		ctx, cancel := context.WithTimeout(asked, s.cfg.RequestTimeout)
		w, err := s.backend.Writer(ctx, path, true)
		if err == nil {
			err = w.Cancel(ctx)
			cancel()
			if err = s.explain(asked, err); err != nil {
				return err
			}
			continue
		}
		cancel()
		if code, _ := s.backend.status(bare(err)); code == 0 {
			return nil // it is the driver that says so: there is none, or a blob that is whole
		}
		return s.explain(asked, err)
	}
	return errors.New("there is no end to them")
}

// purgeUnnamed drops blobs that never got their name.
func (s *Store) purgeUnnamed(ctx context.Context, before time.Time) error {
	for o, err := range s.walk(ctx, uploadsDir) {
		if err == nil && o.ModTime().Before(before) {
			err = s.delete(ctx, o.Path())
		}
		if err != nil {
			return fmt.Errorf("purge what was left half sent: %w", err)
		}
	}
	return nil
}
