package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

const (
	schemeBcrypt = "bcrypt"
	schemeSHA256 = "sha256"
	saltBytes    = 16
)

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
	h, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.DefaultCost)
	if errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return "", errors.New("password is longer than 72 bytes: choose a shorter one")
	}
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return schemeBcrypt + string(h), nil // bcrypt's own form begins with "$"
}

// slow reports whether checking against hash costs enough to be worth a cache.
func slow(hash string) bool { return strings.HasPrefix(hash, schemeBcrypt+"$") }

// matches reports whether plain is the secret that hash was made of. An
// unknown form of hash matches nothing.
func matches(hash, plain string) bool {
	scheme, rest, _ := strings.Cut(hash, "$")
	switch scheme {
	case schemeBcrypt:
		return bcrypt.CompareHashAndPassword([]byte("$"+rest), []byte(plain)) == nil
	case schemeSHA256:
		salt64, _, ok := strings.Cut(rest, "$")
		salt, err := base64.RawStdEncoding.DecodeString(salt64)
		if !ok || err != nil {
			return false
		}
		return subtle.ConstantTimeCompare([]byte(hash), []byte(sha256Hash(salt, plain))) == 1
	}
	return false
}

func sha256Hash(salt []byte, plain string) string {
	sum := sha256.Sum256(append(salt[:len(salt):len(salt)], plain...))
	e := base64.RawStdEncoding
	return schemeSHA256 + "$" + e.EncodeToString(salt) + "$" + e.EncodeToString(sum[:])
}
