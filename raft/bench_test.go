package raft_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time this process took so far.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkPropose has so many callers propose commands of 1 KiB.
func benchmarkPropose(b *testing.B, callers int) {
	h := newHome(b)
	h.cfg.SegmentSize = 0
	n, _ := h.ready(b)
	padding := bytes.Repeat([]byte("x"), 1<<10)
	var work sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for c := range callers {
		work.Go(func() {
			for i := c; i < b.N; i += callers {
				if _, err := n.Propose(context.Background(), fmt.Appendf(padding[:1<<10:1<<10], "%d", i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func BenchmarkPropose1(b *testing.B)  { benchmarkPropose(b, 1) }
func BenchmarkPropose64(b *testing.B) { benchmarkPropose(b, 64) }

func BenchmarkReadIndex(b *testing.B) {
	n, _ := newHome(b).ready(b)
	for b.Loop() {
		if err := n.ReadIndex(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for _, commands := range []int{0, 1000, 30_000} {
		b.Run(fmt.Sprint(commands), func(b *testing.B) {
			h := newHome(b)
			h.cfg.SegmentSize = 0
			n, _ := h.ready(b)
			var work sync.WaitGroup
			for c := range 64 {
				work.Go(func() {
					for i := c; i < commands; i += 64 {
						if _, err := n.Propose(context.Background(), fmt.Appendf(nil, "%01024d", i)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			work.Wait()
			closeNode(b, n)
			var ready, busy time.Duration
			for b.Loop() {
				l := openLedger(b, h.dir+"/db")
				begin, before := time.Now(), cpu(b)
				n := h.startOn(b, l)
				if err := n.WaitLeader(context.Background()); err != nil {
					b.Fatal(err)
				}
				ready += time.Since(begin)
				busy += cpu(b) - before
				closeNode(b, n)
			}
			b.ReportMetric(float64(ready.Microseconds())/float64(b.N)/1000, "ms-ready/op")
			b.ReportMetric(float64(busy.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
		})
	}
}
