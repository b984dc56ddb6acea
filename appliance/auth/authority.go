package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"skerry.dev/skerry/meta"
)

var (
	// ErrNoCredentials is returned when a request carries none: the client
	// should be asked for them.
	ErrNoCredentials = errors.New("auth: no credentials")
	// ErrBadCredentials is returned when the name or the secret is wrong. It
	// does not say which.
	ErrBadCredentials = errors.New("auth: wrong user name or password")
	// ErrDenied is returned when a principal may not do what it asks for.
	ErrDenied = errors.New("auth: denied")
)

// Challenge is the WWW-Authenticate value that asks a client for credentials
// (RFC 7617, distribution-spec "Authentication").
const Challenge = `Basic realm="Skerry", charset="UTF-8"`

// Accounts is where an Authority looks names up. A missing account is
// [meta.ErrNotFound].
type Accounts interface {
	Account(name string) (meta.Account, error)
}

// A Principal is whom a request comes from.
type Principal struct {
	Name  string
	Admin bool
}

// An Authority authenticates requests. It is safe for concurrent use.
type Authority struct {
	accounts Accounts
	key      [32]byte // makes what verified holds useless elsewhere; immutable

	mu       sync.Mutex // guards verified; never held while hashing
	verified map[[32]byte]struct{}
}

// verifiedMax bounds the memory that remembered logins take. When it is
// reached all are forgotten, and each costs its hash once more.
const verifiedMax = 4096

// New returns an Authority over accounts.
func New(accounts Accounts) *Authority {
	a := &Authority{accounts: accounts, verified: map[[32]byte]struct{}{}}
	_, _ = rand.Read(a.key[:]) // never fails: crypto/rand ends the process instead
	return a
}

// Authenticate returns who sent r. It returns [ErrNoCredentials],
// [ErrBadCredentials], or an error of the account store.
//
// The account is read anew each time, so a changed or deleted one takes effect
// at once; only that a slow hash matched is remembered.
func (a *Authority) Authenticate(r *http.Request) (Principal, error) {
	name, secret, ok := r.BasicAuth()
	if !ok {
		return Principal{}, ErrNoCredentials
	}
	account, err := a.accounts.Account(name)
	if errors.Is(err, meta.ErrNotFound) {
		return Principal{}, ErrBadCredentials
	}
	if err != nil {
		return Principal{}, fmt.Errorf("look up account: %w", err)
	}
	if !a.verify(account.Secret, secret) {
		return Principal{}, ErrBadCredentials
	}
	return Principal{Name: account.Name, Admin: account.Admin}, nil
}

// Allow returns [ErrDenied] unless p may use the registry. Administrators may
// do everything; there are no other roles yet.
func (a *Authority) Allow(p Principal) error {
	if !p.Admin {
		return ErrDenied
	}
	return nil
}

func (a *Authority) verify(hash, secret string) bool {
	if !slow(hash) {
		return matches(hash, secret)
	}
	id := a.remembered(hash, secret)
	a.mu.Lock()
	_, known := a.verified[id]
	a.mu.Unlock()
	if known {
		return true
	}
	if !matches(hash, secret) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.verified) >= verifiedMax {
		clear(a.verified)
	}
	a.verified[id] = struct{}{}
	return true
}

// remembered names a pair of hash and secret without keeping either.
func (a *Authority) remembered(hash, secret string) [32]byte {
	h := sha256.New()
	h.Write(a.key[:])
	h.Write([]byte(hash)) // a bcrypt hash has a fixed length, so the pair is unambiguous
	h.Write([]byte(secret))
	return [32]byte(h.Sum(nil))
}
