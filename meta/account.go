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
	groupsMax       = 100     // of one account
	secretNameMax   = 1 << 10 // a certificate's names a server and twice a host
	secretMax       = 64 << 10
	lockNameMax     = 1 << 10
	lockHolderMax   = 512
	resourceNameMax = 255
	resourceMax     = 1 << 20
)

// An Account may log in. Secret is a hash in the form "<scheme>$…", opaque to
// this package. Of accounts with Admin there is always one, once there was.
type Account struct {
	Name    string
	Secret  string
	Admin   bool
	Created time.Time
	Groups  []string
}

type accountRecord struct {
	Secret  string   `cbor:"1,keyasint"`
	Admin   bool     `cbor:"2,keyasint,omitempty"`
	Created int64    `cbor:"3,keyasint"`
	Groups  []string `cbor:"4,keyasint,omitempty"`
}

func (r accountRecord) account(name []byte) Account {
	return Account{string(name), r.Secret, r.Admin, time.UnixMilli(r.Created), r.Groups}
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
		all, err = accounts(tx)
		return err
	})
	return all, err
}

func accounts(tx *txn) (all []Account, err error) {
	for name, v := range under(bucket(tx, bucketAccounts), nil) {
		var rec accountRecord
		if err := decode(v, &rec); err != nil {
			return nil, err
		}
		all = append(all, rec.account(name))
	}
	return all, nil
}

// putAccount is the command behind [Store.PutAccount], [Store.CreateAccount]
// and [Store.SetPassword].
type putAccount struct {
	stamp
	Name   string   `cbor:"4,keyasint"`
	Secret string   `cbor:"5,keyasint"`
	Admin  bool     `cbor:"6,keyasint,omitempty"`
	Groups []string `cbor:"7,keyasint,omitempty"`
	Mode   putMode  `cbor:"8,keyasint,omitempty"`
}

// A putMode says what putAccount may find, and how much it writes.
type putMode uint8

const (
	putAnyway  putMode = iota
	createOnly         // refused with ErrConflict when the account is there
	secretOnly         // refused with ErrNotFound when it is not; keeps all but the secret
)

// PutAccount creates the account or replaces it; Created is the store's to say.
// [ErrName] for a name that is empty or longer than 255 bytes, or too many
// groups; [ErrConflict] when no administrator would be left.
func (s *Store) PutAccount(ctx context.Context, a Account) error {
	return s.putAccount(ctx, putAccount{s.stamp(""), a.Name, a.Secret, a.Admin, a.Groups, putAnyway})
}

// CreateAccount is [Store.PutAccount] for a name that is free; else [ErrConflict].
func (s *Store) CreateAccount(ctx context.Context, a Account, actor string) error {
	return s.putAccount(ctx, putAccount{s.stamp(actor), a.Name, a.Secret, a.Admin, a.Groups, createOnly})
}

// SetPassword replaces the secret of an account and nothing else. [ErrNotFound].
func (s *Store) SetPassword(ctx context.Context, name, secret, actor string) error {
	return s.putAccount(ctx, putAccount{stamp: s.stamp(actor), Name: name, Secret: secret, Mode: secretOnly})
}

func (s *Store) putAccount(ctx context.Context, c putAccount) error {
	if err := s.propose(ctx, typePutAccount, c, nil); err != nil {
		return fmt.Errorf("put account %.255q: %w", c.Name, err)
	}
	return nil
}

func (c *change) putAccount(cmd putAccount) (any, error) {
	if !within(cmd.Name, 1, accountNameMax) || len(cmd.Secret) > accountHashMax || !validGroups(cmd.Groups) {
		return nil, ErrName
	}
	b := bucket(c.tx, bucketAccounts)
	rec := accountRecord{Secret: cmd.Secret, Admin: cmd.Admin, Created: c.now, Groups: cmd.Groups}
	var old accountRecord
	v := b.Get([]byte(cmd.Name))
	if v != nil {
		if err := decode(v, &old); err != nil {
			return nil, err
		}
		rec.Created = old.Created
	}
	switch {
	case cmd.Mode == createOnly && v != nil:
		return nil, ErrConflict
	case cmd.Mode == secretOnly && v == nil:
		return nil, ErrNotFound
	case cmd.Mode == secretOnly:
		rec.Admin, rec.Groups = old.Admin, old.Groups
	case cmd.Mode > secretOnly:
		return nil, ErrName
	}
	if old.Admin && !rec.Admin {
		if err := c.otherAdmin(cmd.Name); err != nil {
			return nil, err
		}
	}
	return nil, b.Put([]byte(cmd.Name), encode(rec))
}

func validGroups(groups []string) bool {
	for _, g := range groups {
		if !within(g, 1, subjectMax) {
			return false
		}
	}
	return len(groups) <= groupsMax
}

// otherAdmin refuses with [ErrConflict] when only name administers.
func (c *change) otherAdmin(name string) error {
	all, err := accounts(c.tx)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Admin && a.Name != name {
			return nil
		}
	}
	return ErrConflict
}

// deleteAccount is the command behind [Store.DeleteAccount].
type deleteAccount struct {
	stamp
	Name string `cbor:"4,keyasint"`
}

// DeleteAccount removes the account and the roles granted to it: who gets the
// name next begins with none. [ErrNotFound], and [ErrConflict] for the last
// administrator.
func (s *Store) DeleteAccount(ctx context.Context, name, actor string) error {
	if err := s.propose(ctx, typeDeleteAccount, deleteAccount{s.stamp(actor), name}, nil); err != nil {
		return fmt.Errorf("delete account %.255q: %w", name, err)
	}
	return nil
}

func (c *change) deleteAccount(cmd deleteAccount) (any, error) {
	b := bucket(c.tx, bucketAccounts)
	if !within(cmd.Name, 1, accountNameMax) || b.Get([]byte(cmd.Name)) == nil {
		return nil, ErrNotFound
	}
	var rec accountRecord
	if err := decode(b.Get([]byte(cmd.Name)), &rec); err != nil {
		return nil, err
	}
	if rec.Admin {
		if err := c.otherAdmin(cmd.Name); err != nil {
			return nil, err
		}
	}
	if err := c.dropBindings(SubjectUser, cmd.Name); err != nil {
		return nil, err
	}
	return nil, b.Delete([]byte(cmd.Name))
}

// within says whether s has between low and high bytes and no zero byte.
func within(s string, low, high int) bool {
	return len(s) >= low && len(s) <= high && !bytes.Contains([]byte(s), []byte{0})
}
