package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// All walks over every blob, in the order of algorithm and digest. It reads
// directories and no blob, and is for scrub and check: what a request needs
// must never depend on how many blobs there are. A blob that comes or goes
// meanwhile may be missed. An error does not end the walk.
func (s *Store) All(context.Context) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) { walk{s, yield}.blobs() }
}

// A walk yields what is under blobs/, one directory in memory at a time. Its
// methods return false when the one it yields to has had enough.
type walk struct {
	store *Store
	yield func(Info, error) bool
}

func (w walk) blobs() bool {
	return w.each(blobsDir, func(alg string) bool {
		return w.each(blobsDir+"/"+alg, func(shard string) bool {
			dir := blobsDir + "/" + alg + "/" + shard
			return w.each(dir, func(name string) bool { return w.blob(digest.Digest(alg+":"+name), dir+"/"+name) })
		})
	})
}

func (w walk) each(dir string, visit func(name string) bool) bool {
	names, err := w.store.names(dir)
	if err != nil {
		return w.fail(Info{}, err)
	}
	for _, name := range names {
		if !visit(name) {
			return false
		}
	}
	return true
}

func (w walk) blob(d digest.Digest, file string) bool {
	b, err := parseDigest(d)
	if err == nil && b.path() != file {
		err = errors.New("in the wrong directory")
	}
	if err != nil {
		return w.fail(Info{}, fmt.Errorf("%s is not a blob: %w", file, err))
	}
	st, err := w.store.stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true // removed meanwhile
	case err != nil:
		return w.fail(Info{Digest: d}, err)
	}
	return w.yield(Info{Digest: d, Size: st.Size, Time: published(st)}, nil)
}

func (w walk) fail(i Info, err error) bool { return w.yield(i, fmt.Errorf("list blobs: %w", err)) }

// names lists a directory, sorted.
func (s *Store) names(dir string) ([]string, error) {
	f, err := s.os.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, &os.PathError{Op: "list", Path: dir, Err: err}
	}
	return names, nil
}
