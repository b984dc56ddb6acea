package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"skerry.dev/skerry/meta"
)

// A proof is credentials as they were sent.
type proof struct {
	method Method // what it looks like
	name   string // "" with a bearer
	secret string
	id     [32]byte // under which it is remembered
	host   string   // that the request was for
	count  attempt
}

// verify looks at credentials that are not remembered.
func (a *Authority) verify(r *http.Request, p *policy, id [32]byte, header string) (*login, error) {
	c, ok := a.read(header)
	c.host, c.id = r.Host, id
	return a.try(r, c, func(ctx context.Context, c proof) (*login, error) {
		if !ok {
			return nil, ErrBadCredentials
		}
		return a.check(ctx, p, c)
	})
}

// try runs a login that counts against the limits if it fails for a reason that is
// the client's.
func (a *Authority) try(
	r *http.Request, c proof, f func(context.Context, proof) (*login, error),
) (*login, error) {
	ctx := r.Context()
	failed := Failure{Name: c.name, Method: c.method, Address: r.RemoteAddr}
	c.count.address = clientAddress(r)
	if c.method == MethodPassword {
		c.count.account = c.name
	}
	if wait, news := a.limits.over(c.count); wait > 0 {
		a.refusals.limited[c.method].Inc()
		failed.Err = &LimitError{wait}
		if news {
			a.cfg.Failed(ctx, failed)
		}
		return nil, failed.Err
	}
	l, err := f(ctx, c)
	if errors.Is(err, ErrBadCredentials) && !errors.Is(err, ErrExpired) {
		a.limits.failed(c.count)
	}
	// That a signed token ends is how things go; that a robot's does, somebody should know.
	if errors.Is(err, ErrBadCredentials) && (!errors.Is(err, ErrExpired) || c.method == MethodToken) {
		a.refusals.failed[c.method].Inc()
		failed.Err = err
		a.cfg.Failed(ctx, failed)
	}
	return l, err
}

// read takes a header apart. ok is false when it is none of ours.
func (a *Authority) read(header string) (c proof, ok bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		c.secret = strings.TrimSpace(rest)
		ok = c.secret != ""
	case strings.EqualFold(scheme, "Basic"):
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
		c.name, c.secret, ok = strings.Cut(string(raw), ":")
		ok = ok && err == nil
	}
	c.method = a.methodOf(c)
	return c, ok
}

// methodOf tells by its form what a secret is.
func (a *Authority) methodOf(c proof) Method {
	switch {
	case strings.HasPrefix(c.secret, TokenPrefix):
		return MethodToken
	case looksSigned(c.secret) && (c.name == "" || a.cfg.OIDC != nil):
		return MethodOIDC // or one of our own, as a bearer
	}
	return MethodPassword
}

// looksSigned says whether s could be a signed token: three parts, the first a
// JSON object.
func looksSigned(s string) bool { return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 }

func (a *Authority) check(ctx context.Context, p *policy, c proof) (*login, error) {
	switch {
	case c.method == MethodToken:
		return a.robot(p, c)
	case c.method == MethodOIDC && c.name == "" && ours(c.secret):
		return a.bearer(p, c)
	case c.method == MethodOIDC:
		return a.issued(ctx, p, c)
	case c.name == "":
		return nil, ErrBadCredentials // a bearer of no form that we know
	}
	return a.password(ctx, p, c)
}

// password checks the secret of an account. A wrong one takes the time of one slow
// hash, whatever the account's hash is, and also when there is no account.
func (a *Authority) password(ctx context.Context, p *policy, c proof) (*login, error) {
	hash := p.accounts[c.name].Secret
	if matchesFast(hash, c.secret) {
		return a.passed(p, c, hash)
	}
	if err := a.turn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-a.hashers }()
	// Meanwhile others may have failed as this may, or passed with the same, or the
	// password may have been changed.
	if wait, _ := a.limits.over(c.count); wait > 0 {
		return nil, &LimitError{wait}
	}
	p, err := a.now()
	if err != nil {
		return nil, err
	}
	if l := a.recall(p, c.id, c.host); l != nil {
		return l, nil
	}
	hash = p.accounts[c.name].Secret
	if !matchesSlow(hash, c.secret, a.nobody) {
		return nil, ErrBadCredentials
	}
	return a.passed(p, c, hash)
}

// turn waits until a slow hash may be computed; afterwards one is taken from
// hashers. The error is a [*LimitError], or that of ctx.
func (a *Authority) turn(ctx context.Context) error {
	wait := time.NewTimer(hashWait)
	defer wait.Stop()
	select {
	case a.hashers <- struct{}{}:
		return nil
	case <-wait.C:
		return &LimitError{hashWait}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// passed remembers that the secret is that of hash.
func (a *Authority) passed(p *policy, c proof, hash string) (*login, error) {
	l, err := a.accept(p, func(p *policy) *Principal {
		account, ok := p.accounts[c.name]
		if !ok || account.Secret != hash {
			return nil // it was changed since
		}
		who := p.account(account, nil, MethodPassword)
		who.bound = a.signing.fingerprint(hash)
		return who
	})
	if err == nil {
		a.remember(c.id, l)
	}
	return l, err
}

// robot finds a robot by its secret. As the password of a Basic login the name
// must be the robot's.
func (a *Authority) robot(p *policy, c proof) (*login, error) {
	name, ok := p.secrets[sha256.Sum256([]byte(c.secret))]
	if !ok || c.name != "" && c.name != name {
		return nil, ErrBadCredentials
	}
	t := p.tokens[name]
	if !t.Expires.IsZero() && !a.cfg.Now().Before(t.Expires) {
		return nil, errors.Join(ErrBadCredentials, ErrExpired)
	}
	return a.accept(p, func(p *policy) *Principal {
		if now, ok := p.tokens[name]; !ok || now.Secret != t.Secret {
			return nil
		}
		who := p.principal(meta.SubjectToken, name, nil, MethodToken)
		who.bound, who.until = a.signing.fingerprint(t.Secret), t.Expires
		return who
	})
}

// issued checks a token of another issuer. Its user has no account here, even if
// one has the same name.
func (a *Authority) issued(ctx context.Context, p *policy, c proof) (*login, error) {
	if a.cfg.OIDC == nil {
		return nil, ErrBadCredentials
	}
	user, err := a.cfg.OIDC.verify(ctx, c.secret, a.cfg.Now)
	if err != nil {
		a.cfg.Log.WarnContext(ctx, "token of the OIDC issuer refused", "err", err)
		return nil, errors.Join(ErrBadCredentials, expired(err))
	}
	return a.accept(p, func(p *policy) *Principal {
		who := p.principal(meta.SubjectUser, user.name, user.groups, MethodOIDC)
		who.until = user.until
		return who
	})
}
