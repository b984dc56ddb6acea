package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	schemeBcrypt = "bcrypt"
	schemeSHA256 = "sha256"
	saltBytes    = 16
	bcryptMax    = 72 // bytes of a password; bcrypt ignores the rest

	// nobodys is a hash that no password is known for. Comparing with it takes
	// the time that one of HashPassword takes.
	nobodys = "$2a$10$nWggbh.j/ICf/vWg9xlbrebxh3jY/6EBWzBNC2a0JSlide0ISXRAC"
)

// TokenPrefix begins every robot's secret, so that scanners for leaked secrets
// and people know it when they see it.
const TokenPrefix = "skr_"

// NewToken makes a robot's secret (130 random bits) and the hash to keep of it.
// There is no salt: it is found by its hash, and nobody guesses it.
func NewToken() (plain, hash string) {
	plain = TokenPrefix + rand.Text()
	return plain, sha256Hash(nil, plain)
}

// NewSecret makes a secret of 26 characters (130 random bits) and the hash to
// keep of it.
func NewSecret() (plain, hash string) {
	plain = rand.Text()
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the process instead
	return plain, sha256Hash(salt, plain)
}

// HashPassword returns the hash to keep of a password that a person chose. It
// takes tens of milliseconds of CPU, on purpose. Passwords of more than 72
// bytes are refused, as bcrypt would ignore the rest.
func HashPassword(plain string) (string, error) {
	if plain == "" {
		return "", errors.New("password is empty: choose one")
	}
	h, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.DefaultCost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return "", errors.New("password is longer than 72 bytes: choose a shorter one")
	}
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return schemeBcrypt + string(h), nil // bcrypt's own form begins with "$"
}

// matches reports whether plain is the secret that hash was made of; an unknown
// form of hash matches nothing. It takes the time of one slow hash, whatever the
// hash and also without one, unless a fast hash matches. When no turn comes to
// compute it the error is a [*LimitError], or that of ctx.
func (a *Authority) matches(ctx context.Context, hash, plain string) (bool, error) {
	scheme, rest, _ := strings.Cut(hash, "$")
	if scheme == schemeSHA256 && matchesFast(hash, rest, plain) {
		return true, nil
	}
	compared := nobodys
	if scheme == schemeBcrypt {
		compared = "$" + rest
	}
	turn := time.NewTimer(hashWait)
	defer turn.Stop()
	select {
	case a.hashers <- struct{}{}:
		defer func() { <-a.hashers }()
	case <-turn.C:
		return false, &LimitError{hashWait}
	case <-ctx.Done():
		return false, ctx.Err()
	}
	err := bcrypt.CompareHashAndPassword([]byte(compared), []byte(plain))
	return err == nil && scheme == schemeBcrypt && len(plain) <= bcryptMax, nil
}

func matchesFast(hash, rest, plain string) bool {
	salt64, _, ok := strings.Cut(rest, "$")
	salt, err := base64.RawStdEncoding.DecodeString(salt64)
	return ok && err == nil && subtle.ConstantTimeCompare([]byte(hash), []byte(sha256Hash(salt, plain))) == 1
}

func sha256Hash(salt []byte, plain string) string {
	sum := sha256.Sum256(append(salt[:len(salt):len(salt)], plain...))
	e := base64.RawStdEncoding
	return schemeSHA256 + "$" + e.EncodeToString(salt) + "$" + e.EncodeToString(sum[:])
}
