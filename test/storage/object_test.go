//go:build storage

package storage

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
	"skerry.dev/skerry/blobstore/object"
)

// Sizes that are sent in one request, and in several.
const (
	small = 1 << 20
	large = 25 << 20
)

// open opens the store at p, with dir for what is on this disk, as the registry that
// is called owner.
func (p *place) open(t *testing.T, dir, owner string, change ...func(*object.Config)) *object.Store {
	t.Helper()
	cfg := p.cfg
	cfg.Staging = blobstore.Config{Dir: dir, Reserve: -1, Soft: 100, High: 100, Critical: 100}
	for _, c := range change {
		c(&cfg)
	}
	s, err := object.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Claim(owner)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// hasty gives a store little time.
func hasty(c *object.Config) {
	c.RequestTimeout, c.StallTimeout, c.FinishTimeout = time.Second, time.Second, 2*time.Second
}

// TestConformance holds every kind of object store to what the local disk does.
func TestConformance(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		blobstoretest.Run(t, func(t *testing.T) func() blobstoretest.Store {
			t.Helper()
			here := *p
			here.cfg.Prefix = secretName() + "/of/this"
			dir := t.TempDir()
			var s *object.Store
			return func() blobstoretest.Store {
				if s != nil {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				s = here.open(t, dir, "a registry")
				return s
			}
		})
	})
}

// TestBucketHasOneOwner has a second registry leave what is the first one's alone: it
// would take all of it for garbage.
func TestBucketHasOneOwner(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		data := blobstoretest.Noise(small)
		first := p.open(t, t.TempDir(), "first")
		d := blobstoretest.Push(t, first, data)

		second := p.open(t, t.TempDir(), "second")
		if err := second.Reach(t.Context()); !errors.Is(err, blobstore.ErrRefused) {
			t.Errorf("reach: %v, want that it refuses", err)
		}
		if _, err := second.Remove(t.Context(), d, nobodyKnows); !errors.Is(err, blobstore.ErrRefused) {
			t.Errorf("remove: %v, want that it refuses", err)
		}
		if _, _, err := second.PurgeQuarantine(t.Context(), time.Now()); !errors.Is(err, blobstore.ErrRefused) {
			t.Errorf("purge: %v, want that it refuses", err)
		}
		if _, err := second.Create("r", "", -1); !errors.Is(err, blobstore.ErrRefused) {
			t.Errorf("create after it was found out: %v, want that it refuses", err)
		}
		blobstoretest.MustHold(t, first, d, data)
		blobstoretest.MustHold(t, p.open(t, t.TempDir(), "first"), d, data)
	})
}

// TestReachTellsWhatIsWrong says whether asking again can help.
func TestReachTellsWhatIsWrong(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		nowhere := "http://" + freeAddr(t) + "/x"
		for what, c := range map[string]struct {
			change func(*object.Config)
			want   error
		}{
			"as it should be": {func(*object.Config) {}, nil},
			"no such bucket":  {func(c *object.Config) { c.Bucket = "nowhere" }, blobstore.ErrRefused},
			"wrong key":       {wrongKey, blobstore.ErrRefused},
			"nobody is there": {func(c *object.Config) { c.Endpoint = nowhere }, blobstore.ErrUnavailable},
			"a prefix":        {func(c *object.Config) { c.Prefix = "a/b" }, nil},
		} {
			if what == "wrong key" && p.cfg.Kind == object.GCS {
				continue // fake-gcs-server takes any
			}
			cfg := p.cfg
			hasty(&cfg)
			c.change(&cfg)
			began := time.Now()
			if err := object.Reach(t.Context(), cfg); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", what, err, c.want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s: took %s", what, took)
			}
		}
	})
}

// wrongKey has the form of a key of Azure's, too.
func wrongKey(c *object.Config) { c.Key = "d3Jvbmc=" }

// TestRotIsPutAsideAndHealed damages what the store sends.
func TestRotIsPutAsideAndHealed(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		s := p.open(t, t.TempDir(), "first")
		for _, n := range []int{small, large} {
			data := blobstoretest.Noise(n)
			d := blobstoretest.Push(t, s, data)
			p.proxy.spoil()
			if err := s.Verify(t.Context(), d, nil); !errors.Is(err, blobstore.ErrDigest) {
				t.Fatalf("verify of %d damaged bytes: %v", n, err)
			}
			p.proxy.do(nil)
			if _, err := s.Stat(t.Context(), d); !errors.Is(err, blobstore.ErrNotFound) {
				t.Errorf("stat: %v, want that it is put aside", err)
			}
			aside, err := s.Quarantined(t.Context())
			if err != nil || len(aside) != 1 || aside[0].Digest != d || aside[0].Size != int64(n) {
				t.Errorf("put aside: %+v, %v", aside, err)
			}
			blobstoretest.MustHold(t, s, blobstoretest.Push(t, s, data), data)
			if err := s.Verify(t.Context(), d, nil); err != nil {
				t.Errorf("verify of what was pushed again: %v", err)
			}
			k, bytes, err := s.PurgeQuarantine(t.Context(), time.Now().Add(time.Minute))
			if k != 1 || bytes != int64(n) || err != nil {
				t.Errorf("purge: %d, %d bytes, %v", k, bytes, err)
			}
		}
	})
}

// TestUnknownReadIsNoRot has a store that does not answer while a blob is verified.
func TestUnknownReadIsNoRot(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		s := p.open(t, t.TempDir(), "first", hasty)
		data := blobstoretest.Noise(large)
		d := blobstoretest.Push(t, s, data)
		p.proxy.cutAfter(0, 1000)
		if err := s.Verify(t.Context(), d, nil); !errors.Is(err, blobstore.ErrUnavailable) {
			t.Errorf("verify: %v, want that it could not be found out", err)
		}
		p.proxy.do(nil)
		blobstoretest.MustHold(t, s, d, data)
	})
}

// TestReadGoesOnWhereItBroke cuts the connection in mid-download, more than once.
func TestReadGoesOnWhereItBroke(t *testing.T) {
	onEach(t, func(t *testing.T, p *place) {
		s := p.open(t, t.TempDir(), "first")
		data := blobstoretest.Noise(large)
		d := blobstoretest.Push(t, s, data)
		p.proxy.cutAfter(7<<20, 3)
		blobstoretest.MustHold(t, s, d, data)

		f, err := s.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, off := range []int64{large - 10, 5, 12 << 20, 0} {
			got := make([]byte, 10)
			if _, err := f.Seek(off, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, data[off:off+10]) {
				t.Errorf("10 bytes from %d: %v", off, err)
			}
		}
	})
}

func nobodyKnows() (bool, error) { return false, nil }

// received is an upload of data that is not committed yet.
func received(t *testing.T, s *object.Store, data []byte) (*blobstore.Upload, digest.Digest) {
	t.Helper()
	u, err := s.Create("r", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return u, digest.FromBytes(data)
}
