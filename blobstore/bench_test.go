package blobstore_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/blobstore/blobstoretest"
)

func benchStore(b *testing.B) *blobstore.Store {
	b.Helper()
	s, err := blobstore.Open(blobstore.Config{Dir: b.TempDir(), Reserve: -1, Soft: 100, High: 100, Critical: 100})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func push(tb testing.TB, s *blobstore.Store, r io.Reader, size int64, d digest.Digest) {
	tb.Helper()
	u, err := s.Create("bench", "", size)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := u.ReadFrom(r); err != nil {
		tb.Fatal(err)
	}
	pin, err := u.Commit(tb.Context(), d)
	if err != nil {
		tb.Fatal(err)
	}
	pin.Release()
}

// BenchmarkCommit4K is a small blob from Create to Commit, each a new one.
func BenchmarkCommit4K(b *testing.B) {
	s := benchStore(b)
	data := blobstoretest.Noise(4 << 10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.LittleEndian.PutUint64(data, uint64(i))
		push(b, s, bytes.NewReader(data), int64(len(data)), digest.FromBytes(data))
	}
}

// BenchmarkCommit4KParallel is the same from many clients at once.
func BenchmarkCommit4KParallel(b *testing.B) {
	s := benchStore(b)
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		data := blobstoretest.Noise(4 << 10)
		for i := 0; pb.Next(); i++ {
			binary.LittleEndian.PutUint64(data, uint64(i))
			push(b, s, bytes.NewReader(data), int64(len(data)), digest.FromBytes(data))
		}
	})
}

// BenchmarkReadFrom64M receives a layer and drops it: hash and write, no sync.
func BenchmarkReadFrom64M(b *testing.B) {
	s := benchStore(b)
	data := blobstoretest.Noise(64 << 20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		u, err := s.Create("bench", "", int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := u.ReadFrom(onlyReader{bytes.NewReader(data)}); err != nil {
			b.Fatal(err)
		}
		if err := u.Cancel(); err != nil {
			b.Fatal(err)
		}
	}
}

type onlyReader struct{ io.Reader }

func BenchmarkStat(b *testing.B) {
	s, d := benchStore(b), digest.FromString("x")
	push(b, s, bytes.NewReader([]byte("x")), 1, d)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Stat(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s, d := benchStore(b), digest.FromString("x")
	push(b, s, bytes.NewReader([]byte("x")), 1, d)
	b.ReportAllocs()
	for b.Loop() {
		f, err := s.Open(b.Context(), d)
		if err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
	}
}
