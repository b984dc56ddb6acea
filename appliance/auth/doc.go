// Package auth answers who a request comes from and what it may do.
//
// An [Authority] reads accounts and decides; it never writes one. Passwords
// that people choose are kept as bcrypt; secrets that Skerry made itself carry
// more than 128 random bits, which no hash can be too fast for, and are kept
// as salted SHA-256, so that the first start need not wait for bcrypt.
//
// The package knows accounts and HTTP's Basic scheme (RFC 7617). It knows
// nothing of repositories' contents and nothing of the registry's errors.
package auth
