package auth

import (
	"strings"

	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/crypto/bcrypt"
)

// HashersMax and the rest are limits that tests go to.
var (
	HashersMax      = hashersMax
	AddressFailures = addressFailures
	AccountFailures = accountFailures
	AddressPause    = addressPause
	VerifiedMax     = verifiedMax
	LimitedKeysMax  = limitedKeysMax
	TokenLife       = tokenLife
	RefreshLife     = refreshLife
	ClockSkew       = clockSkew
)

// Nobodys is the hash that is compared with where there is no account.
const Nobodys = nobodys

// Cheapen makes a wrong login as cheap as Cheap's hash: under the race detector one
// that is as slow as it should be takes a second.
func (a *Authority) Cheapen() { a.nobody = strings.TrimPrefix(Cheap("nobody's"), schemeBcrypt) }

// Cheap is HashPassword for passwords that nobody guesses at.
func Cheap(plain string) string {
	h, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	return schemeBcrypt + string(h)
}

// Hold takes a turn at hashing until release is called.
func (a *Authority) Hold() (release func()) {
	a.hashers <- struct{}{}
	return func() { <-a.hashers }
}

// Sizes are how many verified logins and limited keys are remembered.
func (a *Authority) Sizes() (verified, limited int) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.limits.mu.Lock()
	defer a.limits.mu.Unlock()
	return a.verified.len(), a.limits.buckets.len()
}

// Sign signs any claims with the key, as nobody should.
func (a *Authority) Sign(c map[string]any) (string, error) { return sign(a.signing, c) }

// SignWith signs claims with another key.
func SignWith(key []byte, c map[string]any) (string, error) {
	k, err := newKeys(key)
	if err != nil {
		return "", err
	}
	return sign(k, c)
}

func sign(k keys, c map[string]any) (string, error) {
	return jwt.Signed(k.signer).Claims(c).Serialize()
}

// Ready says whether keys of the issuer are known.
func (o *OIDC) Ready() bool { return o.keys.Load() != nil }

// Age makes the keys look as if they were not fetched just now.
func (o *OIDC) Age() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetched = o.fetched.Add(-keysRetry)
}
