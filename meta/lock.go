package meta

import (
	"context"
	"fmt"
	"time"
)

// A lockRecord says who holds a lock, and until when.
type lockRecord struct {
	Holder string `cbor:"1,keyasint"`
	Until  int64  `cbor:"2,keyasint"`
}

// takeLock is the command behind [Store.TakeLock].
type takeLock struct {
	stamp
	Name   string `cbor:"4,keyasint"`
	Holder string `cbor:"5,keyasint"`
	For    int64  `cbor:"6,keyasint"` // milliseconds
}

// TakeLock takes the lock of that name for so long, or prolongs it: its holder
// may take it again, before it ends and after. [ErrConflict] while another holds
// it, [ErrName] for a name or a holder that is empty or too long.
//
// A lock keeps two from doing the same work; it does not keep one that was
// slower than its lock from going on. Like all times here, its end is one of the
// command's clock, which never goes back: a clock that once ran ahead makes
// another's lock last longer, until time has caught up.
func (s *Store) TakeLock(ctx context.Context, name, holder string, d time.Duration) error {
	c := takeLock{s.stamp(""), name, holder, d.Milliseconds()}
	if err := s.propose(ctx, typeTakeLock, c, nil); err != nil {
		return fmt.Errorf("take lock %.255q: %w", name, err)
	}
	return nil
}

func (c *change) takeLock(cmd takeLock) (any, error) {
	if !within(cmd.Name, 1, lockNameMax) || !within(cmd.Holder, 1, lockHolderMax) || cmd.For < 0 || cmd.For > timeMax {
		return nil, ErrName
	}
	b := bucket(c.tx, bucketLocks)
	if v := b.Get([]byte(cmd.Name)); v != nil {
		var held lockRecord
		if err := decode(v, &held); err != nil {
			return nil, err
		}
		if held.Holder != cmd.Holder && held.Until > c.now {
			return nil, ErrConflict
		}
	}
	return nil, b.Put([]byte(cmd.Name), encode(lockRecord{cmd.Holder, c.now + cmd.For}))
}

// dropLock is the command behind [Store.DropLock].
type dropLock struct {
	stamp
	Name   string `cbor:"4,keyasint"`
	Holder string `cbor:"5,keyasint"`
}

// DropLock gives the lock back. [ErrNotFound] when holder does not hold it.
func (s *Store) DropLock(ctx context.Context, name, holder string) error {
	if err := s.propose(ctx, typeDropLock, dropLock{s.stamp(""), name, holder}, nil); err != nil {
		return fmt.Errorf("drop lock %.255q: %w", name, err)
	}
	return nil
}

func (c *change) dropLock(cmd dropLock) (any, error) {
	b := bucket(c.tx, bucketLocks)
	v := b.Get([]byte(cmd.Name))
	if v == nil {
		return nil, ErrNotFound
	}
	var held lockRecord
	if err := decode(v, &held); err != nil {
		return nil, err
	}
	if held.Holder != cmd.Holder {
		return nil, ErrNotFound
	}
	return nil, b.Delete([]byte(cmd.Name))
}
