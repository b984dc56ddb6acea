package blobstoretest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

func (t suite) committedBlobIsReadBack() {
	s := t.open()
	before := time.Now().Add(-time.Second)
	blobs := map[digest.Digest][]byte{}
	for _, n := range []int{0, 1, 4096, 1<<20 + 1, 3 << 20} {
		data := Noise(n)
		blobs[Push(t, s, data)] = data
	}
	for range 2 {
		for d, data := range blobs {
			MustHold(t, s, d, data)
			info, err := s.Stat(t.Context(), d)
			if err != nil || info.Time.Before(before) || info.Time.After(time.Now().Add(time.Second)) {
				t.Errorf("published %v, which is not now: %v", info.Time, err)
			}
		}
		s = t.open()
	}
}

func (t suite) everyAlgorithmIsKept() {
	s := t.open()
	data := Noise(100_000)
	var want []digest.Digest
	for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		u, err := s.Create("library/a", alg, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, u, data)
		d := alg.FromBytes(data)
		commit(t, u, d)
		want = append(want, d)
	}
	s = t.open()
	for _, d := range want {
		MustHold(t, s, d, data)
	}
	_, err := s.Create("library/a", "md5", -1)
	mustBe(t, "create with md5", err, digest.ErrDigestUnsupported)
}

// badDigests are not names of blobs, and must not become paths.
func badDigests() []digest.Digest {
	hex := digest.FromString("x").Encoded()
	return []digest.Digest{
		"", ":", "sha256", "sha256:", digest.Digest(hex), digest.Digest("sha256:" + hex[1:]),
		digest.Digest("sha256:" + hex + "0"), digest.Digest("sha256:../" + hex[3:]),
		digest.Digest("sha256:G" + hex[1:]), digest.Digest("sha256:A" + hex[1:]),
		digest.Digest("../sha256:" + hex), digest.Digest("md5:" + hex[:32]), digest.Digest("sha512:" + hex),
		digest.Digest("sha256:" + hex[:63] + "\x00"), digest.Digest("sha256:sha256:" + hex[7:]),
	}
}

func (t suite) digestIsRefusedBeforeUse() {
	s := t.open()
	u := create(t, s)
	defer u.Close()
	write(t, u, []byte("x"))
	live := func() (bool, error) { t.Error("asked whether a malformed digest is live"); return true, nil }
	for _, d := range badDigests() {
		_, stat := s.Stat(t.Context(), d)
		_, opened := s.Open(t.Context(), d)
		_, pin := s.Pin(t.Context(), d)
		_, remove := s.Remove(t.Context(), d, live)
		_, commit := u.Commit(t.Context(), d)
		for what, err := range map[string]error{
			"stat": stat, "open": opened, "pin": pin, "remove": remove, "commit": commit,
			"verify": s.Verify(t.Context(), d, nil),
		} {
			if !errors.Is(err, digest.ErrDigestInvalidFormat) && !errors.Is(err, digest.ErrDigestInvalidLength) &&
				!errors.Is(err, digest.ErrDigestUnsupported) {
				t.Errorf("%s %q: %v, want an error of go-digest", what, d, err)
			}
		}
	}
	commit(t, u, digest.FromString("x")) // none of that has hurt it
}

func (t suite) unknownBlobIsNotFound() {
	s, d := t.open(), digest.FromString("nobody pushed this")
	mustBeGone(t, s, d)
	_, err := s.Pin(t.Context(), d)
	mustBe(t, "pin", err, blobstore.ErrNotFound)
	mustBe(t, "verify", s.Verify(t.Context(), d, nil), blobstore.ErrNotFound)
	if freed, err := s.Remove(t.Context(), d, nobodyKnows); freed != 0 || err != nil {
		t.Errorf("remove: freed %d, %v; want nothing and no error", freed, err)
	}
}

func (t suite) openFileSurvivesRemoval() {
	s, data := t.open(), Noise(1<<20)
	d := Push(t, s, data)
	f, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := s.Remove(t.Context(), d, nobodyKnows); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read after removal: %d bytes, %v", len(got), err)
	}
}

func (t suite) readTellsAnotherLength() {
	s := t.open()
	for _, data := range [][]byte{{}, Noise(1), Noise(4096), Noise(64 << 10)} {
		d, size := Push(t, s, data), int64(len(data))
		got := make([]byte, size+1)
		if err := s.Read(t.Context(), d, size, got); err != nil || !bytes.Equal(got[:size], data) {
			t.Errorf("read %d bytes: %v", size, err)
		}
		mustBe(t, "read of a blob that is shorter", s.Read(t.Context(), d, size+5, make([]byte, size+6)), blobstore.ErrDigest)
		if size > 0 {
			mustBe(t, "read of a blob that is longer", s.Read(t.Context(), d, size-1, got), blobstore.ErrDigest)
		}
	}
	mustBe(t, "read of no blob", s.Read(t.Context(), digest.FromString("none"), 4, make([]byte, 5)), blobstore.ErrNotFound)
}

func (t suite) allListsEveryBlobOnce() {
	s := t.open()
	var want []digest.Digest
	for i := range 40 {
		want = append(want, Push(t, s, fmt.Appendf(nil, "blob %d", i)))
	}
	Push(t, s, []byte("blob 7")) // once more
	left := create(t, s)         // not a blob
	defer func() { _ = left.Cancel() }()
	slices.Sort(want)
	var got []digest.Digest
	for info, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if stat, err := s.Stat(t.Context(), info.Digest); err != nil || stat != info {
			t.Errorf("listed %+v, stat says %+v, %v", info, stat, err)
		}
		got = append(got, info.Digest)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %d blobs, want these %d in order:\n%v\n%v", len(got), len(want), got, want)
	}
	n := 0
	for _, err := range s.All(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		n++
		break // must not go on
	}
	if n != 1 {
		t.Errorf("listed %d blobs, and was to stop after one", n)
	}
}

func (t suite) pinKeepsFromRemoval() {
	s, data := t.open(), Noise(1000)
	u := create(t, s)
	write(t, u, data)
	d := digest.FromBytes(data)
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Pin(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
	pin.Release() // again does not release the second
	freed, err := s.Remove(t.Context(), d, nobodyKnows)
	if freed != 0 {
		t.Errorf("freed %d bytes of a pinned blob", freed)
	}
	mustBe(t, "remove pinned", err, blobstore.ErrPinned)
	MustHold(t, s, d, data)
	second.Release()
	if freed, err = s.Remove(t.Context(), d, nobodyKnows); err != nil || freed != int64(len(data)) {
		t.Errorf("remove: freed %d, %v; want %d", freed, err, len(data))
	}
	mustBeGone(t, s, d)
	mustBeGone(t, t.open(), d)
}

func (t suite) liveBlobIsNotRemoved() {
	s, data := t.open(), Noise(1000)
	d := Push(t, s, data)
	if freed, err := s.Remove(t.Context(), d, func() (bool, error) { return true, nil }); freed != 0 || err != nil {
		t.Errorf("remove of a live blob: freed %d, %v; want nothing and no error", freed, err)
	}
	broken := errors.New("metadata cannot be read")
	_, err := s.Remove(t.Context(), d, func() (bool, error) { return false, broken })
	mustBe(t, "remove when nobody can tell", err, broken)
	MustHold(t, s, d, data)
}

func (t suite) nothingComesBetweenQuestionAndRemoval() {
	s, data := t.open(), Noise(1000)
	d := Push(t, s, data)
	pinned := make(chan error, 1)
	_, err := s.Remove(t.Context(), d, func() (bool, error) {
		go func() { // joined below
			_, err := s.Pin(t.Context(), d)
			pinned <- err
		}()
		// A pin takes microseconds when nothing holds it up.
		select {
		case err := <-pinned:
			t.Errorf("a blob was pinned while it was being removed: %v", err)
			pinned <- err
		case <-time.After(100 * time.Millisecond):
		}
		return false, nil
	})
	if err != nil {
		t.Errorf("remove: %v", err)
	}
	mustBe(t, "pin that came too late", <-pinned, blobstore.ErrNotFound)
}

// commitAndRemoveRace plays pushes of one blob against sweeps of it. The
// metadata is a flag; a push that finished must find the blob there.
func (t suite) commitAndRemoveRace() {
	s, data := t.open(), Noise(100)
	d := digest.FromBytes(data)
	var mu sync.Mutex
	var known int // pushes that the metadata knows of
	live := func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return known > 0, nil
	}
	know := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		known += n
	}
	push := func() {
		u := create(t, s)
		write(t, u, data)
		pin, err := u.Commit(t.Context(), d)
		if err != nil {
			t.Error(err)
			return
		}
		know(1)
		pin.Release()
		if _, err := s.Stat(t.Context(), d); err != nil {
			t.Errorf("a blob that was pushed and is known is gone: %v", err)
		}
		know(-1)
	}
	sweep := func() {
		if _, err := s.Remove(t.Context(), d, live); err != nil && !errors.Is(err, blobstore.ErrPinned) {
			t.Error(err)
		}
	}
	dedupe := func() {
		pin, err := s.Pin(t.Context(), d)
		if errors.Is(err, blobstore.ErrNotFound) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := s.Stat(t.Context(), d); err != nil {
			t.Errorf("a pinned blob is gone: %v", err)
		}
		pin.Release()
	}
	var wg sync.WaitGroup
	for _, work := range []func(){push, push, sweep, sweep, dedupe} {
		wg.Go(func() {
			for range 100 {
				work()
			}
		})
	}
	wg.Wait()
	if _, err := s.Remove(t.Context(), d, live); err != nil {
		t.Errorf("remove when all is over: %v", err)
	}
	mustBeGone(t, s, d)
}

func (t suite) verifyAcceptsGoodBytes() {
	s := t.open()
	rate := blobstore.NewRate(1 << 30)
	for _, n := range []int{0, 5, 1 << 20} {
		if err := s.Verify(t.Context(), Push(t, s, Noise(n)), rate); err != nil {
			t.Errorf("verify %d bytes: %v", n, err)
		}
	}
	if bad, err := s.Quarantined(t.Context()); len(bad) != 0 || err != nil {
		t.Errorf("quarantined: %v, %v; want none", bad, err)
	}
}
