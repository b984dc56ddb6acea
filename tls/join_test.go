package tls_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/skerry/tls"
)

func (n *node) hash(t *testing.T) string {
	t.Helper()
	hash, err := n.CAHash()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestWhoJoinsKnowsTheClusterByItsHash(t *testing.T) {
	a, other := founder(t, "a.disk1"), founder(t, "o.disk7")
	c, err := tls.DialJoin(t.Context(), a.address, a.hash(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if got, err := says(c, "hi"); got != tls.ProtocolJoin+"  hi" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err = tls.DialJoin(t.Context(), other.address, a.hash(t))
	if !errors.Is(err, tls.ErrOtherCluster) || !strings.Contains(err.Error(), "token") {
		t.Errorf("another cluster: %v", err)
	}
	for _, hash := range []string{"", "zz", a.hash(t)[2:], a.hash(t) + "00"} {
		if _, err := tls.DialJoin(t.Context(), a.address, hash); err == nil || errors.Is(err, tls.ErrOtherCluster) {
			t.Errorf("hash %q: %v", hash, err)
		}
	}
}

func TestTheHashOutlivesTheCertificate(t *testing.T) {
	a := founder(t, "a.disk1")
	before := a.hash(t)
	if err := os.Remove(filepath.Join(a.cfg.Dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	again, err := tls.OpenPeers(a.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := again.CAHash(); after != before || err != nil {
		t.Errorf("%s, then %s, %v", before, after, err)
	}
}

func TestOnlySoManyJoinAtOnce(t *testing.T) {
	a := founder(t, "a.disk1")
	b := a.member(t, "b.disk2")
	hash := a.hash(t)
	for range 32 {
		c, err := tls.DialJoin(t.Context(), a.address, hash)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	_, err := tls.DialJoin(t.Context(), a.address, hash)
	if !errors.Is(err, tls.ErrRefused) || !strings.Contains(err.Error(), "joining already") {
		t.Errorf("one more: %v", err)
	}
	fine(t, b, a) // members have nothing to do with it
	a.Disconnect("")
	if c, err := tls.DialJoin(t.Context(), a.address, hash); err != nil {
		t.Errorf("after they went: %v", err)
	} else {
		_ = c.Close()
	}
}

func TestAnAuthorityIsInstalledOnce(t *testing.T) {
	a, other := founder(t, "a.disk1"), founder(t, "o.disk7")
	cert, key, err := a.Authority()
	if err != nil {
		t.Fatal(err)
	}
	otherCert, otherKey, err := other.Authority()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, bad := range [][2][]byte{{nil, key}, {cert, nil}, {cert, otherKey}, {key, cert}, {cert[:100], key}} {
		if err := tls.InstallAuthority(dir, bad[0], bad[1]); err == nil {
			t.Error("installed what is no authority")
		}
	}
	leaf, leafKey := a.authority(t).server(day, "x")
	if err := tls.InstallAuthority(dir, leaf, leafKey); err == nil {
		t.Error("installed a leaf")
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for range 2 {
		if err := tls.InstallAuthority(dir, cert, key); err != nil {
			t.Fatal(err)
		}
	}
	for f, mode := range map[string]os.FileMode{"ca.key": 0o600, "ca.crt": 0o644} {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
	if err := tls.InstallAuthority(dir, otherCert, otherKey); !errors.Is(err, tls.ErrAuthority) {
		t.Errorf("another one over it: %v", err)
	}
	// Half of one, whichever a crash or an operator left.
	for _, f := range []string{"ca.key", "ca.crt"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
		if err := tls.InstallAuthority(dir, otherCert, otherKey); !errors.Is(err, tls.ErrAuthority) {
			t.Errorf("another one over half of it: %v", err)
		}
		if err := tls.InstallAuthority(dir, cert, key); err != nil {
			t.Errorf("completed: %v", err)
		}
	}
}
