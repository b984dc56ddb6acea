package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
)

func begin(t *testing.T, s *blobstore.Store, data []byte) (id string) {
	t.Helper()
	u, err := s.Create("r", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	return u.ID()
}

func finish(ctx context.Context, s *blobstore.Store, id string, more []byte, d digest.Digest) error {
	u, err := s.Resume("r", id)
	if err != nil {
		return err
	}
	if _, err := u.Write(more); err != nil {
		return errors.Join(err, u.Close())
	}
	pin, err := u.Commit(ctx, d)
	if err != nil {
		return errors.Join(err, u.Close())
	}
	pin.Release()
	return nil
}

// damage changes the first byte of an upload on disk: who reads it again
// notices, who remembers its hash does not.
func damage(t *testing.T, dir, id string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "uploads", id+".*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("files of upload: %v, %v", names, err)
	}
	f, err := os.OpenFile(names[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{'!'}, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBytesAreHashedOnceBetweenRequests(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	id := begin(t, s, []byte("hello, "))
	damage(t, dir, id)
	if err := finish(t.Context(), s, id, []byte("world"), digest.FromString("hello, world")); err != nil {
		t.Errorf("the bytes were read again: %v", err)
	}
}

func TestBytesAreHashedAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	id := begin(t, s, []byte("hello, "))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, dir, id)
	s = open(t, dir)
	err := finish(t.Context(), s, id, []byte("world"), digest.FromString("hello, world"))
	if !errors.Is(err, blobstore.ErrDigest) {
		t.Errorf("bytes that changed were published, or: %v", err)
	}
	if err := finish(t.Context(), s, id, nil, digest.FromString("!ello, world")); err != nil {
		t.Errorf("what is on the disk: %v", err)
	}
}

// openFiles counts the descriptors of this process under dir.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
			n++
		}
	}
	return n
}

func TestIdleUploadsDoNotUseUpDescriptors(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var ids []string
	for i := range 300 {
		ids = append(ids, begin(t, s, fmt.Appendf(nil, "upload %d ", i)))
	}
	if n := openFiles(t, dir); n != 256 {
		t.Errorf("%d files open for 300 idle uploads, want 256", n)
	}
	for i, id := range ids {
		damage(t, dir, id) // the hash is remembered even where the file was closed
		if err := finish(t.Context(), s, id, []byte("end"), digest.FromString(fmt.Sprintf("upload %d end", i))); err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files open when all is done", n)
	}
	begin(t, s, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files open after close", n)
	}
	if _, err := s.Create("r", "", -1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("create after close: %v", err)
	}
}

func TestForgottenUploadIsFoundOnDisk(t *testing.T) {
	s := open(t, t.TempDir())
	id := begin(t, s, []byte("old "))
	for range 1100 { // more than are remembered
		begin(t, s, nil)
	}
	if size, _, err := s.StatUpload("r", id); size != 4 || err != nil {
		t.Errorf("stat: %d, %v", size, err)
	}
	if err := finish(t.Context(), s, id, []byte("new"), digest.FromString("old new")); err != nil {
		t.Error(err)
	}
	if n, _, err := s.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); n != 1100 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
}

// Many requests want one upload, while it is purged: one at a time has it, and
// nothing but what one of them committed is ever published.
func TestOneUploadAmongMany(t *testing.T) {
	s := open(t, t.TempDir())
	var committed, busy, gone int
	var mu sync.Mutex
	for range 50 {
		id := begin(t, s, []byte("x"))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				err := finish(t.Context(), s, id, nil, digest.FromString("x"))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					committed++
				case errors.Is(err, blobstore.ErrBusy):
					busy++
				case errors.Is(err, blobstore.ErrNotFound):
					gone++
				default:
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, _, err := s.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, _, err := s.StatUpload("r", id); err != nil && !errors.Is(err, blobstore.ErrNotFound) {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	if committed > 50 || committed+busy+gone != 200 {
		t.Errorf("%d committed, %d busy, %d gone", committed, busy, gone)
	}
	t.Logf("%d committed, %d busy, %d gone", committed, busy, gone)
	if committed > 0 {
		blobstoretest.MustHold(t, s, digest.FromString("x"), []byte("x"))
	}
}
