package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"skerry.dev/skerry/meta"
)

const (
	tokenLife   = 5 * time.Minute
	refreshLife = 90 * 24 * time.Hour
	clockSkew   = time.Minute // by which another node's clock may be ahead

	issuer     = "skerry"
	useAccess  = "access"
	useRefresh = "refresh"
	keyMin     = 32
)

// keys is what signs our own tokens.
type keys struct {
	key    []byte
	signer jose.Signer
}

func newKeys(key []byte) (keys, error) {
	if len(key) < keyMin {
		return keys{}, fmt.Errorf("auth: the key that signs tokens has %d bytes, want %d", len(key), keyMin)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return keys{}, fmt.Errorf("auth: make signer: %w", err)
	}
	return keys{key, signer}, nil
}

// fingerprint binds a token to a secret without telling its hash.
func (k keys) fingerprint(hash string) string {
	mac := hmac.New(sha256.New, k.key)
	mac.Write([]byte("bound to "))
	mac.Write([]byte(hash))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// Scope is one thing that a token is for, as the distribution token
// specification writes it.
type Scope struct {
	Type    string   `json:"type"` // "repository" or "registry"
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// claims are what our tokens say. Access is what was asked and allowed when it
// was issued; at use the policy is asked again.
type claims struct {
	jwt.Claims
	Use    string           `json:"use"`
	Kind   meta.SubjectKind `json:"kind,omitempty"` // none: anonymous
	Groups []string         `json:"groups,omitempty"`
	Method Method           `json:"method"`
	Bound  string           `json:"bound,omitempty"` // fingerprint of the secret it was got with
	Access []Scope          `json:"access"`
}

// issue signs a token for who. It lives for life, but no longer than what it was
// got with.
func (a *Authority) issue(who *Principal, use, audience string, life time.Duration, access []Scope) (string, error) {
	now := a.cfg.Now()
	life = who.life(now, life)
	c := claims{
		Claims: jwt.Claims{
			Issuer: issuer, Subject: who.Name, Audience: jwt.Audience{audience}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
		},
		Use: use, Kind: who.Kind, Method: who.Method, Bound: who.bound, Access: access,
	}
	if c.Bound == "" {
		c.Groups = who.Groups // no account tells them
	}
	raw, err := jwt.Signed(a.signing.signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return raw, nil
}

// open verifies a token of ours. Expired ones are [ErrExpired] too.
func (a *Authority) open(raw, use, audience string) (c claims, err error) {
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrBadCredentials, err)
	}
	if err := token.Claims(a.signing.key, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrBadCredentials, err)
	}
	now := a.cfg.Now()
	switch {
	case c.Issuer != issuer, c.Use != use, c.Expiry == nil, c.IssuedAt == nil:
		return c, fmt.Errorf("%w: not such a token", ErrBadCredentials)
	case !slices.Contains(c.Audience, audience):
		return c, fmt.Errorf("%w: token for %v shown to %s", ErrBadCredentials, c.Audience, audience)
	case !now.Before(c.Expiry.Time()):
		return c, errors.Join(ErrBadCredentials, ErrExpired)
	case c.IssuedAt.Time().After(now.Add(clockSkew)):
		// A clock was set back. Until it is where it was the token would live too long.
		return c, errors.Join(ErrBadCredentials, ErrExpired)
	}
	return c, nil
}

// bearer accepts an access token of ours.
func (a *Authority) bearer(p *policy, c proof) (*login, error) {
	token, err := a.open(c.secret, useAccess, c.host)
	if err != nil {
		return nil, err
	}
	narrow := scopeOf(token.Access)
	l, err := a.accept(p, func(p *policy) *Principal {
		who := a.holder(p, token)
		if who != nil {
			who.scope, who.until = narrow, token.Expiry.Time()
		}
		return who
	})
	if err != nil {
		return nil, errors.Join(err, ErrExpired) // revoked: the client has to log in again, and did not guess
	}
	l.audience = c.host
	return l, nil
}

// holder is whom a token of ours was issued to, if that still stands.
func (a *Authority) holder(p *policy, c claims) *Principal {
	var who *Principal
	var hash string
	switch {
	case c.Kind == "":
		nobody := *p.anonymous // the caller gives it a scope
		return &nobody
	case c.Kind == meta.SubjectToken:
		t, ok := p.tokens[c.Subject]
		if !ok || !t.Expires.IsZero() && !a.cfg.Now().Before(t.Expires) {
			return nil
		}
		who, hash = p.principal(c.Kind, c.Subject, nil, c.Method), t.Secret
		who.until = t.Expires
	case c.Method == MethodPassword:
		account, ok := p.accounts[c.Subject]
		if !ok {
			return nil
		}
		who, hash = p.account(account, nil, c.Method), account.Secret
	case c.Method == MethodCertificate:
		if account, ok := p.accounts[c.Subject]; ok {
			return p.account(account, c.Groups, c.Method)
		}
		fallthrough
	default:
		return p.principal(meta.SubjectUser, c.Subject, c.Groups, c.Method)
	}
	who.bound = a.signing.fingerprint(hash)
	if !hmac.Equal([]byte(who.bound), []byte(c.Bound)) {
		return nil
	}
	return who
}

// ours says whether a signed token claims to be of ours; nothing is verified.
func ours(raw string) bool {
	_, rest, _ := strings.Cut(raw, ".")
	payload, _, _ := strings.Cut(rest, ".")
	return claimedIssuer(payload) == issuer
}

// claimedIssuer is who a token's payload says has issued it.
func claimedIssuer(payload string) string {
	var c struct {
		Issuer string `json:"iss"`
	}
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(b, &c) != nil {
		return ""
	}
	return c.Issuer
}
