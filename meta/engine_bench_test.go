package meta_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"skerry.dev/skerry/meta"
)

func BenchmarkView(b *testing.B) {
	db := openKV(b, b.TempDir(), kvSeam())
	applyKV(b, db, 100)
	read := func(*bbolt.Tx) error { return nil }
	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = db.View(read)
		}
	})
	b.Run("bbolt", func(b *testing.B) { // what the engine adds to
		b.ReportAllocs()
		for b.Loop() {
			_ = db.Bolt().View(read)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = db.View(read)
			}
		})
	})
}

func BenchmarkApplyBatch1(b *testing.B)  { benchmarkApply(b, 1) }
func BenchmarkApplyBatch32(b *testing.B) { benchmarkApply(b, 32) }

// benchmarkApply applies commands of ten random keys each while Run takes its checkpoints.
func benchmarkApply(b *testing.B, n int) {
	db := openKV(b, b.TempDir(), kvSeam())
	done := make(chan error)
	ctx := b.Context()
	go func() { done <- db.Run(ctx) }()
	indexes, commands := make([]uint64, n), make([][]byte, n)
	last := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range n {
			last++
			indexes[i], commands[i] = last, seedKV(last)
		}
		if _, err := db.Apply(indexes, commands, positionKV(last)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "commands/s")
}

func BenchmarkCheckpoint(b *testing.B) {
	db := openKV(b, b.TempDir(), kvSeam())
	applyKV(b, db, 500)
	for b.Loop() {
		applyKV(b, db, 10)
		if err := db.Checkpoint(0, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens a database of 300 MB, a sixth of it free, with the freelist that every
// checkpoint carries.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := kvSeam()
	s.Apply = func(tx *bbolt.Tx, index uint64, _ []byte) ([]byte, error) {
		kv := tx.Bucket([]byte("kv"))
		if index > 50_000 {
			return nil, kv.Delete(seedKV(index - 50_000))
		}
		return nil, kv.Put(seedKV(index), bytes.Repeat([]byte("x"), 5500))
	}
	db := openKV(b, dir, s)
	for last := uint64(0); last < 58_000; {
		indexes, commands := make([]uint64, 1000), make([][]byte, 1000)
		for i := range indexes {
			last++
			indexes[i], commands[i] = last, seedKV(last)
		}
		if _, err := db.Apply(indexes, commands, nil); err != nil {
			b.Fatal(err)
		}
		if err := db.Checkpoint(0, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "db-00000001.db"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		db, err := meta.OpenSeam(meta.DBConfig{Dir: dir}, s)
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}
