package meta

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Limits of what is kept beside images, in bytes. They keep one careless
// caller from filling the log.
const (
	accountNameMax  = 255
	accountHashMax  = 4 << 10
	secretNameMax   = 1 << 10 // a certificate's names a server and twice a host
	secretMax       = 64 << 10
	lockNameMax     = 1 << 10
	lockHolderMax   = 512
	resourceNameMax = 255
	resourceMax     = 1 << 20
)

// An Account may log in. Secret is a hash in the form "<scheme>$…", opaque to
// this package.
type Account struct {
	Name    string
	Secret  string
	Admin   bool
	Created time.Time
}

type accountRecord struct {
	Secret  string `cbor:"1,keyasint"`
	Admin   bool   `cbor:"2,keyasint,omitempty"`
	Created int64  `cbor:"3,keyasint"`
}

func (r accountRecord) account(name []byte) Account {
	return Account{Name: string(name), Secret: r.Secret, Admin: r.Admin, Created: time.UnixMilli(r.Created)}
}

// Account returns the account of that name, or [ErrNotFound].
func (db *DB) Account(name string) (a Account, err error) {
	err = db.view(func(tx *txn) error {
		v := bucket(tx, bucketAccounts).Get([]byte(name))
		if v == nil {
			return ErrNotFound
		}
		var rec accountRecord
		err := decode(v, &rec)
		a = rec.account([]byte(name))
		return err
	})
	return a, err
}

// Accounts lists every account, sorted by name.
func (db *DB) Accounts() (all []Account, err error) {
	err = db.view(func(tx *txn) error {
		for name, v := range under(bucket(tx, bucketAccounts), nil) {
			var rec accountRecord
			if err := decode(v, &rec); err != nil {
				return err
			}
			all = append(all, rec.account(name))
		}
		return nil
	})
	return all, err
}

// putAccount is the command behind [Store.PutAccount].
type putAccount struct {
	stamp
	Name   string `cbor:"4,keyasint"`
	Secret string `cbor:"5,keyasint"`
	Admin  bool   `cbor:"6,keyasint,omitempty"`
}

// PutAccount creates the account or replaces it; Created is the store's to say.
// [ErrName] for a name that is empty or longer than 255 bytes.
func (s *Store) PutAccount(ctx context.Context, a Account) error {
	c := putAccount{s.stamp(""), a.Name, a.Secret, a.Admin}
	if err := s.propose(ctx, typePutAccount, c, nil); err != nil {
		return fmt.Errorf("put account %.255q: %w", a.Name, err)
	}
	return nil
}

func (c *change) putAccount(cmd putAccount) (any, error) {
	if !within(cmd.Name, 1, accountNameMax) || len(cmd.Secret) > accountHashMax {
		return nil, ErrName
	}
	b := bucket(c.tx, bucketAccounts)
	rec := accountRecord{Secret: cmd.Secret, Admin: cmd.Admin, Created: c.now}
	if v := b.Get([]byte(cmd.Name)); v != nil {
		var old accountRecord
		if err := decode(v, &old); err != nil {
			return nil, err
		}
		rec.Created = old.Created
	}
	return nil, b.Put([]byte(cmd.Name), encode(rec))
}

// deleteAccount is the command behind [Store.DeleteAccount].
type deleteAccount struct {
	stamp
	Name string `cbor:"4,keyasint"`
}

// DeleteAccount removes the account. [ErrNotFound].
func (s *Store) DeleteAccount(ctx context.Context, name string) error {
	if err := s.propose(ctx, typeDeleteAccount, deleteAccount{s.stamp(""), name}, nil); err != nil {
		return fmt.Errorf("delete account %.255q: %w", name, err)
	}
	return nil
}

func (c *change) deleteAccount(cmd deleteAccount) (any, error) {
	b := bucket(c.tx, bucketAccounts)
	if !within(cmd.Name, 1, accountNameMax) || b.Get([]byte(cmd.Name)) == nil {
		return nil, ErrNotFound
	}
	return nil, b.Delete([]byte(cmd.Name))
}

// within says whether s has between low and high bytes and no zero byte.
func within(s string, low, high int) bool {
	return len(s) >= low && len(s) <= high && !bytes.Contains([]byte(s), []byte{0})
}
