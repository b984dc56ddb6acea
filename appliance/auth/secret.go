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

// matchesFast reports whether plain is the secret that a fast hash was made of.
func matchesFast(hash, plain string) bool {
	rest, ok := strings.CutPrefix(hash, schemeSHA256+"$")
	salt64, _, parts := strings.Cut(rest, "$")
	salt, err := base64.RawStdEncoding.DecodeString(salt64)
	return ok && parts && err == nil && subtle.ConstantTimeCompare([]byte(hash), []byte(sha256Hash(salt, plain))) == 1
}

// matchesSlow reports whether plain is the password that a slow hash was made of.
// Of whatever form hash is, it takes the same time: that of nobody's, a hash as
// slow as those of passwords.
func matchesSlow(hash, plain, nobody string) bool {
	compared, ok := strings.CutPrefix(hash, schemeBcrypt)
	if !ok {
		compared = nobody
	}
	err := bcrypt.CompareHashAndPassword([]byte(compared), []byte(plain))
	return err == nil && ok && len(plain) <= bcryptMax
}

func sha256Hash(salt []byte, plain string) string {
	sum := sha256.Sum256(append(salt[:len(salt):len(salt)], plain...))
	e := base64.RawStdEncoding
	return schemeSHA256 + "$" + e.EncodeToString(salt) + "$" + e.EncodeToString(sum[:])
}
