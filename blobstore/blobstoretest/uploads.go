package blobstoretest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

func (t suite) wrongDigestKeepsTheUpload() {
	s, data := t.open(), Noise(5000)
	u := create(t, s)
	write(t, u, data[:4000])
	for range 2 {
		_, err := u.Commit(t.Context(), digest.FromBytes(data))
		mustBe(t, "commit of half a blob", err, blobstore.ErrDigest)
		if size, _, err := s.StatUpload("library/a", u.ID()); size != 4000 || err != nil {
			t.Fatalf("upload after it: %d bytes, %v", size, err)
		}
	}
	mustBeGone(t, s, digest.FromBytes(data))
	write(t, u, data[4000:])
	commit(t, u, digest.FromBytes(data))
	MustHold(t, s, digest.FromBytes(data), data)
}

func (t suite) uploadGoesOnBetweenRequests() {
	s, data := t.open(), Noise(2<<20)
	u := create(t, s)
	id, started := u.ID(), u.StartedAt()
	for i := 0; i < len(data); i += 300_000 {
		if u.Size() != int64(i) {
			t.Fatalf("size %d, want %d", u.Size(), i)
		}
		part := data[i:min(i+300_000, len(data))]
		if n, err := u.Write(part); n != len(part) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
		closeUpload(t, u)
		size, at, err := s.StatUpload("library/a", id)
		if size != int64(i+len(part)) || !at.Equal(started) || err != nil {
			t.Fatalf("stat upload: %d bytes since %v, %v", size, at, err)
		}
		u = resume(t, s, id)
	}
	commit(t, u, digest.FromBytes(data))
	MustHold(t, s, digest.FromBytes(data), data)
}

func (t suite) largeUploadComesInOddPieces() {
	s, data := t.open(), Noise(40<<20+12_345)
	u := create(t, s)
	id := u.ID()
	for _, end := range []int{16<<20 - 1, 16 << 20, 19<<20 + 7, 19<<20 + 8, 33 << 20, len(data)} {
		closeUpload(t, u)
		u = resume(t, s, id)
		if n, err := u.ReadFrom(bytes.NewReader(data[u.Size():end])); err != nil {
			t.Fatalf("%d bytes more, to %d: %v", n, end, err)
		}
		if u.Size() != int64(end) {
			t.Fatalf("size %d, want %d", u.Size(), end)
		}
	}
	commit(t, u, digest.FromBytes(data))
	MustHold(t, s, digest.FromBytes(data), data)
}

func (t suite) uploadGoesOnAfterRestart() {
	s, data := t.open(), Noise(1_000_000)
	u, err := s.Create("library/a", digest.SHA512, 2<<20) // more than will come
	if err != nil {
		t.Fatal(err)
	}
	write(t, u, data[:400_000])
	closeUpload(t, u)

	s = t.open()
	size, started, err := s.StatUpload("library/a", u.ID())
	if size != 400_000 || err != nil || started.Sub(u.StartedAt()).Abs() > time.Minute {
		t.Errorf("stat after restart: %d bytes since %v, %v; began %v", size, started, err, u.StartedAt())
	}
	u = resume(t, s, u.ID())
	write(t, u, data[400_000:700_000])
	closeUpload(t, u)

	s = t.open()
	u = resume(t, s, u.ID())
	write(t, u, data[700_000:])
	d := digest.SHA512.FromBytes(data)
	commit(t, u, d)
	MustHold(t, s, d, data)

	// Nothing but the commit itself after a restart.
	u = create(t, s)
	write(t, u, data[:10])
	closeUpload(t, u)
	s = t.open()
	u = resume(t, s, u.ID())
	commit(t, u, digest.FromBytes(data[:10]))
}

func (t suite) uploadBelongsToItsScope() {
	s := t.open()
	u := create(t, s)
	id := u.ID()
	closeUpload(t, u)
	for range 2 {
		for scope, id := range map[string]string{
			"library/b": id, "": id, "library/a\x00": id, "library/": id,
			"library/a": strings.ToUpper(id[:35]) + "G",
		} {
			_, err := s.Resume(scope, id)
			mustBe(t, "resume of another scope", err, blobstore.ErrNotFound)
			_, _, err = s.StatUpload(scope, id)
			mustBe(t, "stat of another scope", err, blobstore.ErrNotFound)
		}
		for _, id := range []string{
			"", ".", "..", "../" + id, id + ".", id[:35] + "/",
			strings.Repeat("a", 36), strings.ReplaceAll(id, "-", ""), id + "\x00",
		} {
			_, err := s.Resume("library/a", id)
			mustBe(t, "resume of "+id, err, blobstore.ErrNotFound)
			_, _, err = s.StatUpload("library/a", id)
			mustBe(t, "stat of "+id, err, blobstore.ErrNotFound)
		}
		s = t.open()
	}
	closeUpload(t, resume(t, s, id))
}

func (t suite) uploadHasOneHolder() {
	s := t.open()
	u := create(t, s)
	write(t, u, []byte("abc"))
	for range 2 {
		_, err := s.Resume("library/a", u.ID())
		mustBe(t, "resume while held", err, blobstore.ErrBusy)
		if size, _, err := s.StatUpload("library/a", u.ID()); size != 3 || err != nil {
			t.Errorf("stat while held: %d, %v", size, err)
		}
		closeUpload(t, u)
		closeUpload(t, u) // again lets nobody else go
		_, err = u.Write([]byte("x"))
		mustBe(t, "write after close", err, os.ErrClosed)
		_, err = u.Commit(t.Context(), digest.FromString("abc"))
		mustBe(t, "commit after close", err, os.ErrClosed)
		u = resume(t, s, u.ID())
	}
	commit(t, u, digest.FromString("abc"))
}

func (t suite) algorithmMayChangeOnTheWay() {
	s, data := t.open(), Noise(600_000)
	want := digest.SHA512.FromBytes(data)

	u := create(t, s) // before the first byte
	if err := u.Use(digest.SHA512); err != nil {
		t.Fatal(err)
	}
	write(t, u, data)
	commit(t, u, want)
	MustHold(t, s, want, data)

	u = create(t, s) // half way
	write(t, u, data[:100_000])
	if err := u.Use(digest.SHA384); err != nil {
		t.Fatal(err)
	}
	write(t, u, data[100_000:])
	commit(t, u, digest.SHA384.FromBytes(data))

	u = create(t, s) // not before the commit
	write(t, u, data)
	_, err := u.Commit(t.Context(), digest.SHA512.FromString("else"))
	mustBe(t, "commit of something else", err, blobstore.ErrDigest)
	commit(t, u, digest.FromBytes(data))

	u = create(t, s)
	mustBe(t, "use md5", u.Use("md5"), digest.ErrDigestUnsupported)
	if err := u.Cancel(); err != nil {
		t.Fatal(err)
	}
}

func (t suite) finishedUploadIsGone() {
	s := t.open()
	committed, cancelled := create(t, s), create(t, s)
	write(t, committed, []byte("abc"))
	write(t, cancelled, []byte("abd"))
	commit(t, committed, digest.FromString("abc"))
	if err := cancelled.Cancel(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, u := range []*blobstore.Upload{committed, cancelled} {
			_, err := s.Resume("library/a", u.ID())
			mustBe(t, "resume of a finished upload", err, blobstore.ErrNotFound)
			_, _, err = s.StatUpload("library/a", u.ID())
			mustBe(t, "stat of a finished upload", err, blobstore.ErrNotFound)
			if err := errors.Join(u.Cancel(), u.Close()); err != nil {
				t.Errorf("cancel and close of a finished upload: %v", err)
			}
			_, err = u.Write([]byte("x"))
			mustBe(t, "write to a finished upload", err, os.ErrClosed)
		}
		s = t.open()
	}
	MustHold(t, s, digest.FromString("abc"), []byte("abc"))
	mustBeGone(t, s, digest.FromString("abd"))
}

func (t suite) brokenReaderKeepsWhatCame() {
	s, data := t.open(), Noise(700_000)
	// io.ErrUnexpectedEOF is what net/http returns for a body cut short.
	for _, broken := range []error{io.ErrUnexpectedEOF, context.Canceled} {
		u := create(t, s)
		n, err := u.ReadFrom(io.MultiReader(bytes.NewReader(data[:500_000]), iotest.ErrReader(broken)))
		if n != 500_000 || err != broken { //nolint:errorlint // as it is
			t.Fatalf("read from a broken reader: %d, %v", n, err)
		}
		closeUpload(t, u)
		u = resume(t, s, u.ID())
		if n, err := u.ReadFrom(iotest.OneByteReader(bytes.NewReader(data[500_000:500_100]))); n != 100 || err != nil {
			t.Fatalf("read from a slow reader: %d, %v", n, err)
		}
		write(t, u, data[500_100:])
		commit(t, u, digest.FromBytes(data))
	}
}

func (t suite) sizeIsOnlyAnExpectation() {
	s := t.open()
	for _, n := range []int{0, 10, 2 << 20, 5 << 20} {
		for _, size := range []int64{-1, 0, 7, 3 << 20} {
			data := Noise(n)
			u, err := s.Create("library/a", "", size)
			if err != nil {
				t.Fatal(err)
			}
			write(t, u, data[:n/2])
			if err := u.Expect(4 << 20); err != nil {
				t.Fatal(err)
			}
			write(t, u, data[n/2:])
			d := digest.FromBytes(data)
			commit(t, u, d)
			MustHold(t, s, d, data)
		}
	}
}

func (t suite) purgeSparesFreshAndHeldUploads() {
	s := t.open()
	idle, held := create(t, s), create(t, s)
	write(t, idle, Noise(1000))
	write(t, held, Noise(2000))
	closeUpload(t, idle)
	if n, bytes, err := s.PurgeUploads(t.Context(), time.Now().Add(-time.Minute)); n != 0 || bytes != 0 || err != nil {
		t.Errorf("purge of fresh uploads: %d uploads, %d bytes, %v", n, bytes, err)
	}
	later := time.Now().Add(time.Minute)
	if n, bytes, err := s.PurgeUploads(t.Context(), later); n != 1 || bytes != 1000 || err != nil {
		t.Errorf("purge: %d uploads, %d bytes, %v; want the idle one", n, bytes, err)
	}
	_, err := s.Resume("library/a", idle.ID())
	mustBe(t, "resume of a purged upload", err, blobstore.ErrNotFound)
	_, _, err = s.StatUpload("library/a", idle.ID())
	mustBe(t, "stat of a purged upload", err, blobstore.ErrNotFound)
	write(t, held, []byte("more"))
	closeUpload(t, held)

	s = t.open() // unknown to the process that purges
	if n, bytes, err := s.PurgeUploads(t.Context(), later); n != 1 || bytes != 2004 || err != nil {
		t.Errorf("purge after restart: %d uploads, %d bytes, %v; want the other one", n, bytes, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	closeUpload(t, create(t, s))
	_, _, err = s.PurgeUploads(ctx, later)
	mustBe(t, "cancelled purge", err, context.Canceled)
}
