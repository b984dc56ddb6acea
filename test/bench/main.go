package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// Options is the command line.
type Options struct {
	Skerry       string // our program
	Distribution string // theirs; "" builds it
	Dir          string // where the servers' data go, on the disk to be measured
	Rows         *regexp.Regexp
	Rounds       int
	Slice        time.Duration // how long each server works per round and row
	Quick        bool
	Null         bool // distribution on both sides
	Cluster      bool // three nodes beside one, and nothing of theirs
	HTTP2        bool
	Htpasswd     bool
	Format       string // table, markdown, json
	JSON         string // file that gets everything measured
	Timeout      time.Duration
	Sizes        Sizes
}

// Sizes says how much content the rows work on.
type Sizes struct {
	Tags         int   `json:"tags"`         // in the repository whose tags are paged
	Repositories int   `json:"repositories"` // in the catalog that is paged
	Large        int64 `json:"large"`        // bytes of the large blob
	Manifests    int   `json:"manifests"`    // in the registry whose start, or whose join, is timed
	Images       int   `json:"images"`       // in the registry whose metadata are weighed
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	if opts.Cluster {
		err = benchCluster(ctx, opts, stdout, stderr)
	} else {
		err = benchPeers(ctx, opts, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// benchPeers measures Skerry beside distribution's registry.
func benchPeers(ctx context.Context, opts Options, stdout, progress io.Writer) error {
	report, err := bench(ctx, opts, progress)
	if err != nil {
		return err
	}
	return publish(report, opts, stdout)
}

func parse(args []string, stderr io.Writer) (Options, error) {
	var o Options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Skerry, "skerry", "bin/skerry", "Skerry's `program`")
	f.StringVar(&o.Distribution, "distribution", "", "distribution's `program`; built from its module if not given")
	f.StringVar(&o.Dir, "dir", "bin", "`directory` for the servers' data, on a real disk")
	rows := f.String("rows", ".", "only the rows whose name matches this `regexp`")
	f.IntVar(&o.Rounds, "rounds", 5, "how often the servers take turns")
	f.DurationVar(&o.Slice, "slice", time.Second, "how long a turn is")
	f.BoolVar(&o.Quick, "quick", false, "less of everything: a look within two minutes, not a result")
	f.BoolVar(&o.Null, "null", false, "distribution against itself: how far from 1 the ratios are is the noise")
	f.BoolVar(&o.Cluster, "cluster", false,
		"three nodes of Skerry beside one; -rows of pushes, large, failover, repair, join, sizing")
	f.BoolVar(&o.HTTP2, "http2", false, "let the TLS rows negotiate HTTP/2")
	f.BoolVar(&o.Htpasswd, "htpasswd", false, "let distribution check passwords too (bcrypt, cost 5)")
	f.StringVar(&o.Format, "o", "table", "`format` of the output: table, markdown or json")
	f.StringVar(&o.JSON, "json", "bin/bench-peers.json", "`file` that gets every sample; \"\" none")
	f.DurationVar(&o.Timeout, "timeout", time.Hour, "give up after this")
	if err := f.Parse(args); err != nil {
		return Options{}, err
	}

	var err error
	if o.Rows, err = regexp.Compile(*rows); err != nil {
		return Options{}, fmt.Errorf("parse -rows: %w", err)
	}
	if f.NArg() > 0 || o.Rounds < 1 || o.Slice <= 0 {
		return Options{}, errors.New("no arguments, at least one round and a positive slice are expected")
	}
	if o.Format != "table" && o.Format != "markdown" && o.Format != "json" {
		return Options{}, fmt.Errorf("unknown format %q: table, markdown or json", o.Format)
	}
	o.Sizes = Sizes{Tags: 10_000, Repositories: 5_000, Large: 1 << 30, Manifests: 500_000}
	if o.Cluster {
		o.Sizes.Manifests, o.Sizes.Images = 100_000, 20_000 // each is pushed, not made up
	}
	if o.Quick {
		o.Rounds, o.Slice = 2, 200*time.Millisecond
		o.Sizes = Sizes{Tags: 500, Repositories: 300, Large: 64 << 20, Manifests: 2_000, Images: 500}
	}
	return o, nil
}

// bench builds what has to be built, runs the groups of rows one after the other and
// removes what the servers left.
func bench(ctx context.Context, opts Options, progress io.Writer) (_ *Report, err error) {
	// The servers run in directories of their own.
	for _, program := range []*string{&opts.Skerry, &opts.Distribution} {
		if *program == "" {
			continue
		}
		if *program, err = filepath.Abs(*program); err != nil {
			return nil, fmt.Errorf("find program: %w", err)
		}
	}
	if opts.Distribution == "" {
		fmt.Fprintln(progress, "building distribution's registry (minutes the first time)")
		if opts.Distribution, err = buildDistribution(ctx, opts.Dir); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", opts.Dir, err)
	}
	if err = os.MkdirAll(dir, 0o755); err == nil {
		dir, err = os.MkdirTemp(dir, "bench-")
	}
	if err != nil {
		return nil, fmt.Errorf("make a place for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	b := &Bench{opts: opts, dir: dir, progress: progress, results: map[string]*Result{}}
	b.report = newReport(opts, dir)
	for _, g := range groups() {
		if !b.wants(g.rows...) {
			continue
		}
		if err := g.run(b, ctx); err != nil {
			return nil, fmt.Errorf("measure %s: %w", g.name, err)
		}
	}
	return b.finish(), nil
}
