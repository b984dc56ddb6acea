package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the table of appliance/doc/sizing.md")

// What was measured, and where it comes from: README.md beside this file, and the
// benchmark that is named.
const (
	metaPerImage     = 2375                    // bytes on disk: -cluster -rows sizing, 20,000 images of two blobs
	wantedOfHundred  = 65 * time.Microsecond   // CPU: BenchmarkWanted/100
	scanRest         = 10                      // appliance/replicate: rests so many times as long as it works
	joinPerManifest  = 149 * time.Microsecond  // -cluster -rows join: 14.9 s for 100,000
	cpuPerPush       = 6700 * time.Microsecond // of three nodes, 8 clients through the leader: -cluster -rows pushes
	repairPerSecond  = 320e6                   // bytes: -cluster -rows repair, 512 MiB in 1.6 s, two nodes
	sightSeconds     = 5                       // appliance: how often a node asks every other
	linkBytesPerSec  = 125e6                   // an assumption: 1 Gbit/s for each node
	entriesPerImage  = 3                       // of the log: two blobs, one manifest
	entryBytes       = 400                     // with what is around it; an assumption from BenchmarkFill
	copiesOfEach     = 2
	blobsPerManifest = 2 // that no other image has
)

// A plan is how large a registry is to be.
type plan struct {
	nodes, manifests int
	bytes            float64 // of all blobs, each counted once
	pushes           float64 // images a second
}

// row is a line of the table: what, the arithmetic, the outcome.
type row struct{ what, how, comes string }

// rows is the arithmetic.
func (p plan) rows() []row {
	blobs := p.manifests * blobsPerManifest
	meta := float64(p.manifests) * metaPerImage
	share := p.bytes * copiesOfEach / float64(p.nodes)
	scan := time.Duration(blobs) * wantedOfHundred
	repair := share / float64(p.nodes-1)
	logRate := p.pushes * entriesPerImage * entryBytes
	return []row{
		{"metadata on every node", fmt.Sprintf("%d × %d B", p.manifests, metaPerImage), bytesOf(meta)},
		{"metadata of all nodes", fmt.Sprintf("× %d", p.nodes), bytesOf(meta * float64(p.nodes))},
		{"blobs on each node", fmt.Sprintf("%s × %d ÷ %d", bytesOf(p.bytes), copiesOfEach, p.nodes), bytesOf(share)},
		{
			"blobs by number, on each", fmt.Sprintf("%d × %d ÷ %d", blobs, copiesOfEach, p.nodes),
			fmt.Sprint(blobs * copiesOfEach / p.nodes),
		},
		{
			"a node joins: metadata", fmt.Sprintf("%d × %s, or %s at 1 Gbit/s", p.manifests, joinPerManifest, bytesOf(meta)),
			fmt.Sprintf("%s, or %s", spell(time.Duration(p.manifests)*joinPerManifest), spell(seconds(meta/linkBytesPerSec))),
		},
		{
			"a node joins: its share of blobs", fmt.Sprintf("%s at 1 Gbit/s", bytesOf(share)),
			spell(seconds(share / linkBytesPerSec)),
		},
		{
			"a node is lost: each of the others fetches", fmt.Sprintf("%s ÷ %d", bytesOf(share), p.nodes-1),
			fmt.Sprintf("%s, %s at 1 Gbit/s", bytesOf(repair), spell(seconds(repair/linkBytesPerSec))),
		},
		{"a look at all blobs, on every node: CPU", fmt.Sprintf("%d × %s", blobs, wantedOfHundred), spell(scan)},
		{"the same with its rests", fmt.Sprintf("× %d", 1+scanRest), spell(scan * (1 + scanRest))},
		{
			"the leader sends, of the log",
			fmt.Sprintf("%.0f/s × %d × %d B × %d", p.pushes, entriesPerImage, entryBytes, p.nodes-1),
			bytesOf(logRate*float64(p.nodes-1)) + "/s",
		},
		{
			"nodes ask each other how they are", fmt.Sprintf("%d ÷ %d s, on each", p.nodes-1, sightSeconds),
			fmt.Sprintf("%.0f/s", float64(p.nodes-1)/sightSeconds),
		},
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// spell is a duration for people.
func spell(d time.Duration) string {
	switch {
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func bytesOf(b float64) string {
	for _, u := range []struct {
		of   float64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if b >= u.of {
			return fmt.Sprintf("%.3g %s", b/u.of, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", b)
}

// TestTheSizingPageIsComputed compares the table of the manual with the arithmetic.
func TestTheSizingPageIsComputed(t *testing.T) {
	const (
		file  = "../../appliance/doc/sizing.md"
		begin = "<!-- sizing: made by go test ./test/bench -run Sizing -update -->\n"
		end   = "<!-- end of sizing -->"
	)
	p := plan{nodes: 100, manifests: 10_000_000, bytes: 50e12, pushes: 100}
	want := "| What | How | Comes to |\n|---|---|---|\n"
	for _, r := range p.rows() {
		want += fmt.Sprintf("| %s | %s | %s |\n", r.what, r.how, r.comes)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	table, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: the markers of the table are gone", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("%s is out of date: go test ./test/bench -run Sizing -update", file)
	}
}
