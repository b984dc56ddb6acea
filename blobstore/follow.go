package blobstore

import (
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Follow opens the upload's file once more, for reading what Write has returned
// for; beyond that it may hold anything. The caller closes the file. It stays
// readable whatever becomes of the upload: Commit only gives it another name.
func (u *Upload) Follow() (*os.File, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	f, err := u.store.os.open(u.state.path(), unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("follow upload %s: %w", u.ID(), err)
	}
	return f, nil
}

// Check compares what was received with d: [ErrDigest] if Commit would say so
// too. It makes nothing durable, and the upload stays held. It is for whoever
// passes bytes on before they are kept.
func (u *Upload) Check(d digest.Digest) error {
	b, err := parseDigest(d)
	if err == nil {
		err = u.compare(b)
	}
	if err != nil {
		return fmt.Errorf("check upload for %s: %w", d, err)
	}
	return nil
}

// compare hashes what was not hashed yet, with b's algorithm.
func (u *Upload) compare(b blobName) error {
	if err := u.Use(b.alg); err != nil {
		return err
	}
	if err := u.catchUp(); err != nil {
		return err
	}
	return compare(u.state.hash.Sum(nil), b)
}
