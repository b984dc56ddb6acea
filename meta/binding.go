package meta

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Limits of what a role binding says, in bytes.
const (
	subjectMax = 255
	roleMax    = 255
)

// A SubjectKind says what sort of name a subject has. The words are Kubernetes',
// but for robots.
type SubjectKind string

// The kinds of subjects.
const (
	SubjectUser  SubjectKind = "User"
	SubjectGroup SubjectKind = "Group"
	SubjectToken SubjectKind = "Token" // a robot's token, by its name
)

// A Binding grants a role to a subject on what a pattern names. What roles and
// patterns mean is not this package's business.
type Binding struct {
	Role    string
	Kind    SubjectKind
	Subject string
	On      string
	Created time.Time
	Actor   string // who granted it
}

type bindingRecord struct {
	Created int64  `cbor:"1,keyasint"`
	Actor   string `cbor:"2,keyasint,omitempty"`
}

// keyBindings is the prefix of a subject's bindings. No part contains a zero byte.
func keyBindings(kind SubjectKind, subject string) []byte {
	return []byte(string(kind) + "\x00" + subject + "\x00")
}

func keyBinding(b Binding) []byte {
	return append(keyBindings(b.Kind, b.Subject), b.Role+"\x00"+b.On...)
}

// parseBinding reads what keyBinding wrote.
func parseBinding(key []byte) (b Binding, ok bool) {
	parts := bytes.Split(key, []byte{0})
	if len(parts) != 4 {
		return b, false
	}
	b.Kind, b.Subject, b.Role, b.On = SubjectKind(parts[0]), string(parts[1]), string(parts[2]), string(parts[3])
	return b, b.valid()
}

func (b Binding) valid() bool {
	switch b.Kind {
	case SubjectUser, SubjectGroup, SubjectToken:
	default:
		return false
	}
	return within(b.Subject, 1, subjectMax) && within(b.Role, 1, roleMax) && within(b.On, 1, patternMax)
}

// Bindings lists every role binding, sorted by kind, subject, role and pattern.
func (db *DB) Bindings() (all []Binding, err error) {
	err = db.view(func(tx *txn) error {
		all, err = bindings(tx)
		return err
	})
	return all, err
}

func bindings(tx *txn) (all []Binding, err error) {
	for k, v := range under(bucket(tx, bucketBindings), nil) {
		var rec bindingRecord
		if err := decode(v, &rec); err != nil {
			return nil, err
		}
		b, ok := parseBinding(k)
		if !ok {
			return nil, fmt.Errorf("role binding %q: %w", k, ErrCorrupt)
		}
		b.Created, b.Actor = time.UnixMilli(rec.Created), rec.Actor
		all = append(all, b)
	}
	return all, nil
}

// binding is the command behind [Store.Grant] and [Store.Revoke].
type binding struct {
	stamp
	Kind    SubjectKind `cbor:"4,keyasint"`
	Subject string      `cbor:"5,keyasint"`
	Role    string      `cbor:"6,keyasint"`
	On      string      `cbor:"7,keyasint"`
}

func (b binding) of() Binding {
	return Binding{Role: b.Role, Kind: b.Kind, Subject: b.Subject, On: b.On}
}

// Grant adds the binding; one that is there stays as it is. Created and Actor
// are the store's to say. [ErrName] for parts that are empty, too long, or of no
// known kind; [ErrNotFound] for a token that is not there: users and groups may
// be known elsewhere.
func (s *Store) Grant(ctx context.Context, b Binding, actor string) error {
	c := binding{s.stamp(actor), b.Kind, b.Subject, b.Role, b.On}
	if err := s.propose(ctx, typeGrant, c, nil); err != nil {
		return fmt.Errorf("grant %s to %s %s on %s: %w", b.Role, b.Kind, b.Subject, b.On, err)
	}
	return nil
}

func (c *change) grant(cmd binding) (any, error) {
	b := cmd.of()
	if !b.valid() {
		return nil, ErrName
	}
	if b.Kind == SubjectToken && bucket(c.tx, bucketTokens).Get([]byte(b.Subject)) == nil {
		return nil, ErrNotFound
	}
	return nil, c.putBinding(b, cmd.Actor)
}

func (c *change) putBinding(b Binding, actor string) error {
	all := bucket(c.tx, bucketBindings)
	if all.Get(keyBinding(b)) != nil {
		return nil
	}
	return all.Put(keyBinding(b), encode(bindingRecord{c.now, actor}))
}

// Revoke removes the binding. [ErrNotFound].
func (s *Store) Revoke(ctx context.Context, b Binding, actor string) error {
	c := binding{s.stamp(actor), b.Kind, b.Subject, b.Role, b.On}
	if err := s.propose(ctx, typeRevoke, c, nil); err != nil {
		return fmt.Errorf("revoke %s of %s %s on %s: %w", b.Role, b.Kind, b.Subject, b.On, err)
	}
	return nil
}

func (c *change) revoke(cmd binding) (any, error) {
	all := bucket(c.tx, bucketBindings)
	if b := cmd.of(); b.valid() && all.Get(keyBinding(b)) != nil {
		return nil, all.Delete(keyBinding(b))
	}
	return nil, ErrNotFound
}

// dropBindings removes all that a subject was granted.
func (c *change) dropBindings(kind SubjectKind, subject string) error {
	all := bucket(c.tx, bucketBindings)
	prefix := keyBindings(kind, subject)
	var keys [][]byte
	for rest := range under(all, prefix) {
		keys = append(keys, append(bytes.Clone(prefix), rest...))
	}
	for _, k := range keys {
		if err := all.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
