package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Report is everything a run found, and where.
type Report struct {
	Names    [2]string     `json:"names"` // distribution first
	Versions [2]string     `json:"versions"`
	Machine  Machine       `json:"machine"`
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"tookNanoseconds"`
	Rounds   int           `json:"rounds"`
	Slice    time.Duration `json:"sliceNanoseconds"`
	Sizes    Sizes         `json:"sizes"`
	Quick    bool          `json:"quick"`
	Htpasswd bool          `json:"htpasswd"`
	HTTP2    bool          `json:"http2"`
	Results  []*Result     `json:"results"`

	rows []Row
}

// Machine is what a reader must know to compare two reports.
type Machine struct {
	CPU        string    `json:"cpu"`
	CPUs       int       `json:"cpus"`
	Kernel     string    `json:"kernel"`
	FileSystem string    `json:"fileSystem"`
	Load       [2]string `json:"load"` // /proc/loadavg at the beginning and at the end
}

// A Result is one row, measured.
type Result struct {
	Row
	Samples [2][]Sample `json:"samples"` // distribution first; in the order of the rounds
	Median  [2]float64  `json:"median"`
	Held    Spread      `json:"ratio"`   // distribution's figure divided by ours, round by round
	Verdict string      `json:"verdict"` // OK, MISS, "" without an aim
}

// A Spread is a median and what it lies between.
type Spread struct{ Median, Min, Max float64 }

func newReport(o Options, dir string) *Report {
	r := &Report{
		Names: [2]string{"distribution", "skerry"}, Versions: [2]string{version(o.Distribution), version(o.Skerry)},
		Machine: machine(dir), Began: time.Now().UTC().Truncate(time.Second),
		Rounds: o.Rounds, Slice: o.Slice, Sizes: o.Sizes,
		Quick: o.Quick, Htpasswd: o.Htpasswd, HTTP2: o.HTTP2, rows: rows(o.Sizes),
	}
	if o.Null {
		r.Names[1], r.Versions[1] = "distribution again", r.Versions[0]
	}
	for i := range r.rows {
		if row := &r.rows[i]; o.Null || o.Quick && row.Sized { // there is nothing to aim at
			row.Ratio, row.Most = 0, 0
		}
	}
	return r
}

// row returns the row of that name.
func (r *Report) row(name string) Row {
	i := slices.IndexFunc(r.rows, func(row Row) bool { return row.Name == name })
	if i < 0 {
		panic("every measured row is in rows: " + name)
	}
	return r.rows[i]
}

// finish puts the results in the table's order.
func (b *Bench) finish() *Report {
	r := b.report
	for _, row := range r.rows {
		if result := b.results[row.Name]; result != nil {
			r.Results = append(r.Results, result)
		}
	}
	r.Took = time.Since(r.Began)
	r.Machine.Load[1] = load()
	return r
}

// judge works out medians, ratios and the verdict.
func (r *Result) judge() {
	for side, samples := range r.Samples {
		r.Median[side] = spreadOf(values(samples)).Median
	}
	theirs, ours := values(r.Samples[0]), values(r.Samples[1])
	var ratios []float64
	for i := range min(len(theirs), len(ours)) {
		ratios = append(ratios, theirs[i]/ours[i])
	}
	r.Held = spreadOf(ratios)

	met := r.Ratio > 0 && r.Held.Median >= r.Ratio || r.Most > 0 && r.Median[1] <= r.Most
	switch {
	case r.Ratio == 0 && r.Most == 0 || len(ours) == 0:
		r.Verdict = ""
	case met:
		r.Verdict = "OK"
	default:
		r.Verdict = "MISS"
	}
}

func values(samples []Sample) []float64 {
	var v []float64
	for _, s := range samples {
		v = append(v, s.Value)
	}
	return v
}

// spreadOf returns median, least and greatest of v, zeros of nothing.
func spreadOf(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	v = slices.Sorted(slices.Values(v))
	middle := (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	return Spread{Median: middle, Min: v[0], Max: v[len(v)-1]}
}

// version returns the version of the program at path and of the Go it was built with.
func version(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	return v + ", " + info.GoVersion
}

func machine(dir string) Machine {
	var uts unix.Utsname
	m := Machine{CPU: "unknown", CPUs: runtime.NumCPU(), Kernel: "unknown", FileSystem: fileSystem(dir)}
	if err := unix.Uname(&uts); err == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name\t: ")
		m.CPU, _, _ = strings.Cut(rest, "\n")
	}
	m.Load[0] = load()
	return m
}

// fileSystem names the kind of file system dir is on. On tmpfs nothing is durable and
// every fsync is free: a run there says little about pushes.
func fileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	switch s.Type {
	case unix.TMPFS_MAGIC:
		return "tmpfs (fsync is free here: pushes say little)"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("type %#x", s.Type)
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
