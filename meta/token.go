package meta

import (
	"context"
	"fmt"
	"time"
)

// grantsMax bounds what a token is granted when it is made.
const grantsMax = 100

// A Token is a robot's: it logs in with a secret that Skerry made, until it
// expires. Secret is the hash, opaque to this package.
type Token struct {
	Name    string
	Secret  string
	Expires time.Time // zero: never
	Created time.Time
	Actor   string // who made it
}

type tokenRecord struct {
	Secret  string `cbor:"1,keyasint"`
	Expires int64  `cbor:"2,keyasint,omitempty"`
	Created int64  `cbor:"3,keyasint"`
	Actor   string `cbor:"4,keyasint,omitempty"`
}

func (r tokenRecord) token(name []byte) Token {
	t := Token{Name: string(name), Secret: r.Secret, Created: time.UnixMilli(r.Created), Actor: r.Actor}
	if r.Expires != 0 {
		t.Expires = time.UnixMilli(r.Expires)
	}
	return t
}

// Tokens lists every token, expired or not, sorted by name.
func (db *DB) Tokens() (all []Token, err error) {
	err = db.view(func(tx *txn) error {
		all, err = tokens(tx)
		return err
	})
	return all, err
}

func tokens(tx *txn) (all []Token, err error) {
	for name, v := range under(bucket(tx, bucketTokens), nil) {
		var rec tokenRecord
		if err := decode(v, &rec); err != nil {
			return nil, err
		}
		all = append(all, rec.token(name))
	}
	return all, nil
}

// createToken is the command behind [Store.CreateToken].
type createToken struct {
	stamp
	Name    string       `cbor:"4,keyasint"`
	Secret  string       `cbor:"5,keyasint"`
	Expires int64        `cbor:"6,keyasint,omitempty"`
	Grants  []tokenGrant `cbor:"7,keyasint,omitempty"`
}

type tokenGrant struct {
	Role string `cbor:"1,keyasint"`
	On   string `cbor:"2,keyasint"`
}

// CreateToken makes a token and grants it roles, in one step; of grants only
// Role and On are read, Created is the store's to say. [ErrConflict] when the
// name is taken, [ErrName] for a name or a grant out of its limits.
func (s *Store) CreateToken(ctx context.Context, t Token, grants []Binding) error {
	c := createToken{stamp: s.stamp(t.Actor), Name: t.Name, Secret: t.Secret}
	if !t.Expires.IsZero() {
		c.Expires = t.Expires.UnixMilli()
	}
	for _, g := range grants {
		c.Grants = append(c.Grants, tokenGrant{g.Role, g.On})
	}
	if err := s.propose(ctx, typeCreateToken, c, nil); err != nil {
		return fmt.Errorf("create token %.255q: %w", t.Name, err)
	}
	return nil
}

func (c *change) createToken(cmd createToken) (any, error) {
	if !within(cmd.Name, 1, subjectMax) || len(cmd.Secret) > accountHashMax || len(cmd.Grants) > grantsMax ||
		cmd.Expires < 0 || cmd.Expires > timeMax {
		return nil, ErrName
	}
	grants := make([]Binding, len(cmd.Grants))
	for i, g := range cmd.Grants {
		grants[i] = Binding{Role: g.Role, Kind: SubjectToken, Subject: cmd.Name, On: g.On}
		if !grants[i].valid() {
			return nil, ErrName
		}
	}
	b := bucket(c.tx, bucketTokens)
	if b.Get([]byte(cmd.Name)) != nil {
		return nil, ErrConflict
	}
	for _, g := range grants {
		if err := c.putBinding(g, cmd.Actor); err != nil {
			return nil, err
		}
	}
	return nil, b.Put([]byte(cmd.Name), encode(tokenRecord{cmd.Secret, cmd.Expires, c.now, cmd.Actor}))
}

// deleteToken is the command behind [Store.DeleteToken].
type deleteToken struct {
	stamp
	Name string `cbor:"4,keyasint"`
}

// DeleteToken removes the token and the roles granted to it. [ErrNotFound].
func (s *Store) DeleteToken(ctx context.Context, name, actor string) error {
	if err := s.propose(ctx, typeDeleteToken, deleteToken{s.stamp(actor), name}, nil); err != nil {
		return fmt.Errorf("delete token %.255q: %w", name, err)
	}
	return nil
}

func (c *change) deleteToken(cmd deleteToken) (any, error) {
	b := bucket(c.tx, bucketTokens)
	if !within(cmd.Name, 1, subjectMax) || b.Get([]byte(cmd.Name)) == nil {
		return nil, ErrNotFound
	}
	if err := c.dropBindings(SubjectToken, cmd.Name); err != nil {
		return nil, err
	}
	return nil, b.Delete([]byte(cmd.Name))
}
