package tls

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrAuthority says that a directory has an authority already, another one.
var ErrAuthority = errors.New("tls: there is another authority")

// InstallAuthority makes a cluster's authority that of a directory, before
// anything there is opened: certificate and key as [Peers.Authority] gave them.
// It is durable when it returns, and can be done again. [ErrAuthority] if there
// is another: the clients of this node trust that one, so it is for the operator
// to remove it.
func InstallAuthority(dir string, cert, key []byte) error {
	c, err := parseCert(cert)
	if err != nil {
		return fmt.Errorf("install authority: certificate: %w", err)
	}
	k, err := parseKey(key)
	if err != nil {
		return fmt.Errorf("install authority: key: %w", err)
	}
	if !c.IsCA || !k.PublicKey.Equal(c.PublicKey) {
		return errors.New("install authority: certificate and key are not those of one authority")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("install authority: %w", err)
	}
	keyPath, certPath := filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.crt")
	hasKey, err := sameKey(keyPath, k, func(b []byte) (any, error) {
		old, err := parseKey(b)
		if err != nil {
			return nil, err
		}
		return old.Public(), nil
	})
	if err != nil {
		return fmt.Errorf("install authority: %w", err)
	}
	_, err = sameKey(certPath, k, func(b []byte) (any, error) {
		old, err := parseCert(b)
		if err != nil {
			return nil, err
		}
		return old.PublicKey, nil
	})
	if err != nil {
		return fmt.Errorf("install authority: %w", err)
	}
	// The key first: a crash in between leaves what opening completes.
	if !hasKey {
		if err := writeFile(keyPath, key, 0o600); err != nil {
			return fmt.Errorf("install authority: %w", err)
		}
	}
	if err := writeFile(certPath, cert, 0o644); err != nil {
		return fmt.Errorf("install authority: %w", err)
	}
	return nil
}

// sameKey says whether there is a file, which must be of the same authority
// then: public finds the key in it.
func sameKey(path string, k *ecdsa.PrivateKey, public func([]byte) (any, error)) (there bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if old, err := public(b); err != nil || !k.PublicKey.Equal(old) {
		return false, fmt.Errorf("%w in %s", ErrAuthority, path)
	}
	return true, nil
}
