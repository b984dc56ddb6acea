package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"skerry.dev/skerry/meta"
)

var (
	// ErrNoCredentials is returned when a request carries none: the client may be
	// asked for them.
	ErrNoCredentials = errors.New("auth: no credentials")
	// ErrBadCredentials is returned when the name or the secret is wrong. It does
	// not say which.
	ErrBadCredentials = errors.New("auth: wrong user name or password")
	// ErrExpired is returned, together with [ErrBadCredentials], for what was right
	// once: the client should get a new token. It does not count as a failed login.
	ErrExpired = errors.New("auth: token expired")
)

// Source is where an Authority reads who there is and what they may do. It is
// [meta.DB].
type Source interface {
	// AccessGeneration rises whenever Access may have changed.
	AccessGeneration() uint64
	Access() (meta.Access, error)
}

// Config says what an Authority decides by.
type Config struct {
	Source Source
	// Key signs the tokens of /token: 32 bytes or more, the same on every node.
	Key []byte
	// OIDC verifies the tokens of another issuer; nil knows none.
	OIDC *OIDC
	// Failed is told of every login that was refused, concurrently; nil is not.
	// Of those that the limits refuse it is told once until one passes again.
	Failed func(ctx context.Context, f Failure)
	// Log gets what an operator would act on; nil discards it.
	Log *slog.Logger
	// Now is the time; nil means [time.Now].
	Now func() time.Time
}

// A Failure is a login that was refused.
type Failure struct {
	Name    string // as it was given; "" when a token did not tell
	Method  Method
	Address string // of the client, with port
	Err     error
}

// An Authority authenticates requests. It is safe for concurrent use.
type Authority struct {
	cfg     Config
	key     [32]byte // makes what verified holds useless elsewhere; immutable
	nobody  string   // compared with where there is no slow hash; immutable
	hashers chan struct{}
	limits  *limiter
	signing keys

	refusals refusals

	compiling sync.Mutex // one policy is compiled at a time
	policy    atomic.Pointer[policy]

	mu       sync.RWMutex // guards verified; never held while hashing
	verified *recent[[32]byte, *login]
}

// A login is a proof that was verified. It is immutable.
type login struct {
	principal  *Principal // under the policy of generation
	generation uint64
	since      time.Time // when it was verified
	audience   string    // host it is good for; "" for all
	// renew is what the proof is worth under another policy: nil when it is worth
	// nothing any more.
	renew func(*policy) *Principal
}

// New returns an Authority.
func New(cfg Config) (*Authority, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Failed == nil {
		cfg.Failed = func(context.Context, Failure) {}
	}
	a := &Authority{
		cfg: cfg, nobody: nobodys, hashers: make(chan struct{}, hashersMax()), limits: newLimiter(cfg.Now),
		refusals: newRefusals(),
		verified: newRecent[[32]byte, *login](verifiedMax),
	}
	_, _ = rand.Read(a.key[:]) // never fails: crypto/rand ends the process instead
	var err error
	a.signing, err = newKeys(cfg.Key)
	return a, err
}

// now returns the policy of this moment. It costs one atomic load while nothing
// has changed.
func (a *Authority) now() (*policy, error) {
	generation := a.cfg.Source.AccessGeneration()
	if p := a.policy.Load(); p != nil && p.generation == generation {
		return p, nil
	}
	a.compiling.Lock()
	defer a.compiling.Unlock()
	generation = a.cfg.Source.AccessGeneration() // before reading: what is read is at least as new
	if p := a.policy.Load(); p != nil && p.generation == generation {
		return p, nil
	}
	access, err := a.cfg.Source.Access()
	if err != nil {
		return nil, fmt.Errorf("read who may come in: %w", err)
	}
	p := compile(generation, access)
	a.policy.Store(p)
	return p, nil
}

// Authenticate returns who sent r. With [ErrNoCredentials] it returns the
// anonymous principal too. Other errors: [ErrBadCredentials], [*LimitError], and
// those of the source.
func (a *Authority) Authenticate(r *http.Request) (*Principal, error) {
	p, err := a.now()
	if err != nil {
		return nil, err
	}
	header := r.Header["Authorization"]
	if len(header) == 0 || len(header) == 1 && header[0] == basicOfNobody {
		return a.withoutHeader(p, r)
	}
	if len(header) > 1 || len(header[0]) > credentialMax {
		return nil, ErrBadCredentials
	}
	id := a.identify(header[0])
	if l := a.recall(p, id, r.Host); l != nil {
		return l.principal, nil
	}
	l, err := a.verify(r, p, id, header[0])
	if err != nil {
		return nil, err
	}
	a.remember(id, l)
	return l.principal, nil
}

// basicOfNobody is what some clients send that have no login and are asked for
// one: an empty name and an empty password.
const basicOfNobody = "Basic Og=="

func (a *Authority) withoutHeader(p *policy, r *http.Request) (*Principal, error) {
	if who := p.certificate(verifiedChains(r)); who != nil {
		return who, nil
	}
	return p.anonymous, ErrNoCredentials
}

// recall returns the login that is known by id already, under the policy of now, or
// nil.
func (a *Authority) recall(p *policy, id [32]byte, host string) *login {
	a.mu.RLock()
	l, ok := a.verified.get(id)
	a.mu.RUnlock()
	if !ok || l.audience != "" && l.audience != host || !a.holds(l) {
		return nil
	}
	if l.generation == p.generation {
		return l
	}
	who := l.renew(p)
	if who == nil {
		return nil
	}
	renewed := *l
	renewed.principal, renewed.generation = who, p.generation
	a.remember(id, &renewed)
	return &renewed
}

// holds says whether l is not over. When the clock was set back it is asked anew.
func (a *Authority) holds(l *login) bool {
	if l.principal.until.IsZero() {
		return true
	}
	now := a.cfg.Now()
	return now.Before(l.principal.until) && !now.Before(l.since.Add(-clockSkew))
}

func (a *Authority) remember(id [32]byte, l *login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verified.put(id, l)
}

// identify names credentials without keeping them.
func (a *Authority) identify(credentials string) [32]byte {
	var space [512]byte // on the stack, for all but long tokens
	b := append(space[:0], a.key[:]...)
	return sha256.Sum256(append(b, credentials...))
}

// accept makes a login of a verified proof; nil says that it is worth nothing.
func (a *Authority) accept(p *policy, renew func(*policy) *Principal) (*login, error) {
	who := renew(p)
	if who == nil {
		return nil, ErrBadCredentials
	}
	return &login{principal: who, generation: p.generation, since: a.cfg.Now(), renew: renew}, nil
}
