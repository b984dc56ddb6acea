package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bench is one run. It is owned by one goroutine.
type Bench struct {
	opts     Options
	dir      string // for data; removed at the end
	progress io.Writer
	report   *Report
	results  map[string]*Result
	pairs    int // made so far
}

// A Sample is one turn of one server.
type Sample struct {
	Value   float64       `json:"value"` // in the row's unit
	Ops     int           `json:"ops,omitempty"`
	CPU     time.Duration `json:"cpuNanoseconds,omitempty"`
	Wall    time.Duration `json:"wallNanoseconds,omitempty"`
	P50     time.Duration `json:"p50Nanoseconds,omitempty"`
	P99     time.Duration `json:"p99Nanoseconds,omitempty"`
	Peak    int64         `json:"peakResidentBytes,omitempty"`
	Written int64         `json:"diskBytes,omitempty"`
}

// An Op does the work of a row once, as operation i of this pair; i is never repeated.
type Op func(ctx context.Context, s *Server, i int) error

// Work is a row's work on either server.
type Work struct {
	row     string
	op      Op
	clients int  // that work at once; 0 means 4
	once    bool // one operation is a turn
	writes  bool // wait for what the server does afterwards, and charge it
	latency bool // the row's figure is the median latency
}

// settle is how long after its last write a server may still work at it: Skerry takes
// a checkpoint of its database within a second.
const settle = 1500 * time.Millisecond

// wants reports whether any of the rows was asked for.
func (b *Bench) wants(rows ...string) bool {
	return slices.ContainsFunc(rows, b.opts.Rows.MatchString)
}

// sides returns the two kinds compared, distribution first.
func (b *Bench) sides() [2]Kind {
	theirs := distributionKind(b.opts.Distribution, b.opts.Htpasswd)
	ours := skerryKind(b.opts.Skerry)
	if b.opts.Null {
		ours = theirs
	}
	return [2]Kind{theirs, ours}
}

// A Pair is both servers over empty data of their own.
type Pair struct {
	servers [2]*Server
	dir     string
	op      atomic.Int64 // operations begun, of all rows
}

// withPair starts both servers, calls do, and removes servers and data.
func (b *Bench) withPair(ctx context.Context, o clientOptions, do func(*Pair) error) (err error) {
	b.pairs++
	p := &Pair{dir: filepath.Join(b.dir, fmt.Sprint("pair", b.pairs))}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	for i, kind := range b.sides() {
		if p.servers[i], err = start(ctx, kind, b.place(p.dir, i), o); err != nil {
			return err
		}
		defer p.servers[i].kill() // the data go too
	}
	return do(p)
}

// place is where side i keeps its data below dir.
func (b *Bench) place(dir string, i int) string {
	return filepath.Join(dir, [2]string{"distribution", "skerry"}[i])
}

// compare lets both servers do each of works in turns: all rounds of one row, then the
// next.
func (b *Bench) compare(ctx context.Context, p *Pair, works ...Work) error {
	for _, w := range works {
		if !b.wants(w.row) {
			continue
		}
		warm := w
		warm.writes = false // nobody is charged for it
		if _, err := b.round(ctx, p, warm); err != nil {
			return err
		}
		for range b.opts.Rounds {
			samples, err := b.round(ctx, p, w)
			if err != nil {
				return err
			}
			for side, sample := range samples {
				b.add(w.row, side, sample)
			}
		}
		b.say(w.row)
	}
	return nil
}

// round gives each server one turn of w.
func (b *Bench) round(ctx context.Context, p *Pair, w Work) (samples [2]Sample, err error) {
	for side, s := range p.servers {
		if samples[side], err = b.turn(ctx, p, s, w); err != nil {
			return samples, fmt.Errorf("%s on %s: %w", w.row, b.report.Names[side], err)
		}
	}
	return samples, nil
}

// turn lets server s do w for a slice of time.
func (b *Bench) turn(ctx context.Context, p *Pair, s *Server, w Work) (Sample, error) {
	if err := resetPeak(s.pid); err != nil {
		return Sample{}, fmt.Errorf("reset peak memory: %w", err)
	}
	before, err := readUse(s.pid)
	if err != nil {
		return Sample{}, err
	}
	began := time.Now()
	latencies, err := b.drive(ctx, p, s, w)
	wall := time.Since(began)
	if err != nil {
		return Sample{}, err
	}
	if w.writes {
		if err := rest(ctx, settle); err != nil {
			return Sample{}, err
		}
	}
	after, err := readUse(s.pid)
	if err != nil {
		return Sample{}, err
	}

	slices.Sort(latencies)
	sample := Sample{
		Ops: len(latencies), Wall: wall, CPU: after.cpu - before.cpu, Written: after.written - before.written,
		Peak: after.peak, P50: percentile(latencies, 50), P99: percentile(latencies, 99),
	}
	sample.Value = sample.CPU.Seconds() / float64(sample.Ops)
	if w.latency {
		sample.Value = sample.P50.Seconds()
	}
	return sample, nil
}

// drive runs w's clients until the slice is over and returns every latency.
func (b *Bench) drive(ctx context.Context, p *Pair, s *Server, w Work) ([]time.Duration, error) {
	clients := w.clients
	if clients == 0 {
		clients = 4
	}
	deadline := time.Now().Add(b.opts.Slice)
	latencies := make([][]time.Duration, clients)
	g, ctx := errgroup.WithContext(ctx)
	for c := range clients {
		g.Go(func() error {
			for first := true; first || !w.once && time.Now().Before(deadline); first = false {
				began := time.Now()
				if err := w.op(ctx, s, int(p.op.Add(1))); err != nil {
					return err
				}
				latencies[c] = append(latencies[c], time.Since(began))
			}
			return nil
		})
	}
	err := s.explain(g.Wait())
	return slices.Concat(latencies...), err
}

// use is what a process has used so far; peak since the last reset.
type use struct {
	cpu           time.Duration
	peak, written int64
}

func readUse(pid int) (u use, err error) {
	if u.peak, err = peak(pid); err != nil {
		return u, err
	}
	if u.written, err = written(pid); err != nil {
		return u, err
	}
	u.cpu, err = cpuTime(pid) // last: what is read before costs the server nothing
	return u, err
}

// percentile returns the nearest-rank percentile of sorted values.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// seed does op n times on each server, four at a time: content for rows to come.
func (b *Bench) seed(ctx context.Context, p *Pair, n int, op Op) error {
	for side, s := range p.servers {
		if err := seedServer(ctx, s, n, op); err != nil {
			return fmt.Errorf("prepare %s: %w", b.report.Names[side], err)
		}
	}
	return rest(ctx, settle)
}

// seedServer does op for 0 to n-1 on s, several at a time.
func seedServer(ctx context.Context, s *Server, n int, op Op) error {
	const clients = 8
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range clients {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := op(ctx, s, int(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s.explain(g.Wait())
}

// add notes a sample of side in row.
func (b *Bench) add(row string, side int, s Sample) {
	r := b.results[row]
	if r == nil {
		r = &Result{}
		b.results[row] = r
	}
	r.Samples[side] = append(r.Samples[side], s)
}

// say tells whoever waits how far it is.
func (b *Bench) say(row string) {
	r := b.results[row]
	r.Row = b.report.row(row)
	r.judge()
	fmt.Fprintf(b.progress, "%-18s %10s %10s  %s\n", row, r.figure(0), r.figure(1), r.ratioText())
}
