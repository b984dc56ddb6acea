package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// Secret returns the caller's own copy of the secret of that name, or [ErrNotFound].
func (db *DB) Secret(name string) (value []byte, err error) {
	err = db.view(func(tx *txn) error {
		v := bucket(tx, bucketSecrets).Get([]byte(name))
		if v == nil {
			return ErrNotFound
		}
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// initSecret is the command behind [Store.InitSecret].
type initSecret struct {
	stamp
	Name  string `cbor:"4,keyasint"`
	Value []byte `cbor:"5,keyasint"`
}

type initSecretReply struct {
	Value []byte `cbor:"1,keyasint"`
}

// InitSecret returns the named secret, storing value first if there is none: of
// nodes that make one up at the same time all get the same. One that is here
// already costs no entry in the log, and no room on the disk.
func (s *Store) InitSecret(ctx context.Context, name string, value []byte) ([]byte, error) {
	if have, err := s.Secret(name); !errors.Is(err, ErrNotFound) {
		return have, err
	}
	var reply initSecretReply
	if err := s.propose(ctx, typeInitSecret, initSecret{s.stamp(""), name, value}, &reply); err != nil {
		return nil, fmt.Errorf("init secret %.255q: %w", name, err)
	}
	return reply.Value, nil
}

func (c *change) initSecret(cmd initSecret) (any, error) {
	if !within(cmd.Name, 1, secretNameMax) || len(cmd.Value) > secretMax {
		return nil, ErrName
	}
	b := bucket(c.tx, bucketSecrets)
	if v := b.Get([]byte(cmd.Name)); v != nil {
		return initSecretReply{bytes.Clone(v)}, nil
	}
	return initSecretReply{cmd.Value}, b.Put([]byte(cmd.Name), append([]byte{}, cmd.Value...))
}

// Secrets lists the names of all secrets that begin with prefix, sorted.
func (db *DB) Secrets(prefix string) (names []string, err error) {
	err = db.view(func(tx *txn) error {
		for rest := range under(bucket(tx, bucketSecrets), []byte(prefix)) {
			names = append(names, prefix+string(rest))
		}
		return nil
	})
	return names, err
}

// putSecret is the command behind [Store.PutSecret].
type putSecret struct {
	stamp
	Name  string `cbor:"4,keyasint"`
	Value []byte `cbor:"5,keyasint"`
}

// PutSecret stores the secret, in place of one that is there. [ErrName] for a
// name that is empty or longer than 1 KiB, and for a value over 64 KiB.
func (s *Store) PutSecret(ctx context.Context, name string, value []byte) error {
	if err := s.propose(ctx, typePutSecret, putSecret{s.stamp(""), name, value}, nil); err != nil {
		return fmt.Errorf("put secret %.255q: %w", name, err)
	}
	return nil
}

func (c *change) putSecret(cmd putSecret) (any, error) {
	if !within(cmd.Name, 1, secretNameMax) || len(cmd.Value) > secretMax {
		return nil, ErrName
	}
	return nil, bucket(c.tx, bucketSecrets).Put([]byte(cmd.Name), append([]byte{}, cmd.Value...))
}

// deleteSecret is the command behind [Store.DeleteSecret].
type deleteSecret struct {
	stamp
	Name string `cbor:"4,keyasint"`
}

// DeleteSecret removes the secret. [ErrNotFound].
func (s *Store) DeleteSecret(ctx context.Context, name string) error {
	if err := s.propose(ctx, typeDeleteSecret, deleteSecret{s.stamp(""), name}, nil); err != nil {
		return fmt.Errorf("delete secret %.255q: %w", name, err)
	}
	return nil
}

func (c *change) deleteSecret(cmd deleteSecret) (any, error) {
	b := bucket(c.tx, bucketSecrets)
	if !within(cmd.Name, 1, secretNameMax) || b.Get([]byte(cmd.Name)) == nil {
		return nil, ErrNotFound
	}
	return nil, b.Delete([]byte(cmd.Name))
}
