package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// A clusterBench is one run of three nodes beside one.
type clusterBench struct {
	opts     Options
	program  string
	dir      string
	progress io.Writer
	rows     [][3]string // what, one node, three nodes
	trios    int
}

// row notes a row, and says it to whoever waits.
func (b *clusterBench) row(what, one, three string) {
	b.rows = append(b.rows, [3]string{what, one, three})
	fmt.Fprintf(b.progress, "%-52s %-38s %s\n", what, one, three)
}

// table prints all rows as Markdown.
func (b *clusterBench) table(w io.Writer) error {
	_, err := fmt.Fprint(w, "| What | one node | three nodes |\n|---|---|---|\n")
	for _, r := range b.rows {
		if err == nil {
			_, err = fmt.Fprintf(w, "| %s | %s | %s |\n", r[0], r[1], r[2])
		}
	}
	return err
}

// with runs f with one node, which is alone, and three, over empty directories.
func (b *clusterBench) with(ctx context.Context, f func(one *Server, three *Trio) error) error {
	b.trios++
	dir := filepath.Join(b.dir, fmt.Sprint(b.trios))
	one, err := start(ctx, skerryKind(b.program), filepath.Join(dir, "one"), clientOptions{TLS: true, Large: true})
	if err != nil {
		return err
	}
	defer one.kill()
	three, err := startTrio(ctx, b.program, dir)
	if err != nil {
		return err
	}
	defer three.stop()
	return f(one, three)
}

// A turn is what some work cost all servers together.
type turn struct {
	ops       int
	wall, cpu time.Duration
	latencies []time.Duration // sorted
}

// spend does work and notes what CPU the servers used for it, and in the time after.
func spend(ctx context.Context, servers []*Server, work func() ([]time.Duration, error)) (t turn, err error) {
	before, err := cpuOf(servers)
	if err != nil {
		return t, err
	}
	begun := time.Now()
	t.latencies, err = work()
	t.wall = time.Since(begun)
	if err != nil {
		return t, err
	}
	if err := rest(ctx, settle); err != nil {
		return t, err
	}
	after, err := cpuOf(servers)
	slices.Sort(t.latencies)
	t.ops, t.cpu = len(t.latencies), after-before
	return t, err
}

func cpuOf(servers []*Server) (sum time.Duration, err error) {
	for _, s := range servers {
		d, err := cpuTime(s.pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// rate is a turn of many operations.
func (t turn) rate() string {
	return fmt.Sprintf("%.0f/s, p50 %s, p99 %s, CPU %s each", float64(t.ops)/t.wall.Seconds(),
		short(percentile(t.latencies, 50)), short(percentile(t.latencies, 99)), short(t.cpu/time.Duration(max(1, t.ops))))
}

// single is a turn of one.
func (t turn) single() string { return fmt.Sprintf("%s, CPU %s", short(t.wall), short(t.cpu)) }
