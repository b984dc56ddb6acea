package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A process that computes for a while and one that waits for as long must differ.
func TestCPUTimeCountsWorkAndNotWaiting(t *testing.T) {
	before := mustCPU(t)
	for began := time.Now(); time.Since(began) < 5*time.Millisecond || mustCPU(t)-before < 20*time.Millisecond; {
		if time.Since(began) > time.Minute {
			t.Fatal("a minute of work and less than 20 ms of CPU time")
		}
	}
	worked := mustCPU(t)
	if err := rest(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if waited := mustCPU(t) - worked; waited > 40*time.Millisecond {
		t.Errorf("50 ms of waiting cost %s of CPU time", waited)
	}
}

func mustCPU(t *testing.T) time.Duration {
	t.Helper()
	d, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPeakForgetsWhatWasBeforeTheReset(t *testing.T) {
	if err := resetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	before, err := peak(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	touched := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		touched[i] = 1
	}
	after, err := peak(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 {
		t.Errorf("touched %d bytes, the peak grew by %d", len(touched), grown)
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	var v []time.Duration
	for i := range 200 {
		v = append(v, time.Duration(i+1))
	}
	for _, c := range []struct {
		of            []time.Duration
		percent, want int
	}{{v, 50, 100}, {v, 99, 198}, {v[:1], 50, 1}, {v[:1], 99, 1}, {v[:3], 50, 2}, {nil, 50, 0}} {
		if got := percentile(c.of, c.percent); int(got) != c.want {
			t.Errorf("p%d of %d values: %d, want %d", c.percent, len(c.of), got, c.want)
		}
	}
}

func TestVerdictComparesRoundByRound(t *testing.T) {
	sides := func(v ...float64) (s []Sample) {
		for _, v := range v {
			s = append(s, Sample{Value: v})
		}
		return s
	}
	for _, c := range []struct {
		name         string
		row          Row
		theirs, ours []Sample
		ratio        float64
		want         string
	}{
		// The second round was slow for both: the medians' ratio would be 6/1.
		{"paired", Row{Ratio: 3}, sides(2, 9, 6), sides(1, 3, 2), 3, "OK"},
		{"too little", Row{Ratio: 3.01}, sides(2, 9, 6), sides(1, 3, 2), 3, "MISS"},
		{"no aim", Row{}, sides(2), sides(1), 2, ""},
		{"at most", Row{Most: 5}, nil, sides(4, 5, 9), 0, "OK"},
		{"above", Row{Most: 5}, sides(100), sides(6), 100. / 6, "MISS"},
		{"not measured", Row{Ratio: 3}, sides(1), nil, 0, ""},
	} {
		r := Result{Row: c.row, Samples: [2][]Sample{c.theirs, c.ours}}
		r.judge()
		if r.Verdict != c.want || r.Held.Median != c.ratio {
			t.Errorf("%s: ratio %g, verdict %q; want %g, %q", c.name, r.Held.Median, r.Verdict, c.ratio, c.want)
		}
	}
}

func TestLargeBlobReadsTheSameHoweverItIsRead(t *testing.T) {
	l := Large{size: 3*blockSize + 5, stamp: 7, block: noiseBlock()}
	whole, err := io.ReadAll(l.reader())
	if err != nil || int64(len(whole)) != l.size {
		t.Fatalf("%d bytes and %v, want %d", len(whole), err, l.size)
	}
	var pieces []byte
	for r, odd := l.reader(), make([]byte, 4099); ; {
		n, err := r.Read(odd)
		if pieces = append(pieces, odd[:n]...); err != nil {
			break
		}
	}
	if !slices.Equal(whole, pieces) {
		t.Error("other bytes in pieces of 4099")
	}
	other := l
	other.stamp++
	a, errA := l.digest()
	b, errB := other.digest()
	if errA != nil || errB != nil || a == b {
		t.Errorf("two stamps, digests %s and %s (%v, %v)", a, b, errA, errB)
	}
}

func TestScatterMeetsAllAlike(t *testing.T) {
	const n, rounds = 97, 100
	met := make([]int, n)
	for i := range n * rounds {
		met[scatter(i, n)]++
	}
	if least, most := slices.Min(met), slices.Max(met); least < rounds/2 || most > rounds*2 {
		t.Errorf("each of %d met %d to %d times, want about %d", n, least, most, rounds)
	}
}

// Every row is measured by exactly one group, and nothing else is.
func TestEveryRowHasOneGroup(t *testing.T) {
	measured := map[string]int{}
	for _, g := range groups() {
		for _, row := range g.rows {
			measured[row]++
		}
	}
	for _, row := range rows(Sizes{}) {
		if measured[row.Name] != 1 {
			t.Errorf("%s: in %d groups, want 1", row.Name, measured[row.Name])
		}
		delete(measured, row.Name)
	}
	for row := range measured {
		t.Errorf("%s: measured and not in the table", row)
	}
}

func TestTablesShowAimsAndVerdict(t *testing.T) {
	r := &Report{Names: [2]string{"distribution", "skerry"}}
	result := &Result{
		Row:     Row{Name: "ping", What: "GET /v2/", Unit: perOp, Ratio: 5},
		Samples: [2][]Sample{{{Value: 57e-6, Ops: 10, Wall: time.Millisecond}}, {{Value: 19e-6}}},
	}
	result.judge()
	r.Results = []*Result{result}
	for name, text := range map[string]string{"text": r.text(), "markdown": r.markdown()} {
		for _, want := range []string{"ping", "57 µs", "19 µs", "3.00x", "≥ 5x", "MISS", "10000/s", "1 missed: ping"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not show %q:\n%s", name, want, text)
			}
		}
	}
}

func TestOptionsAreRefusedWithAReason(t *testing.T) {
	for _, args := range [][]string{{"-rows", "("}, {"-rounds", "0"}, {"-o", "xml"}, {"more"}, {"-slice", "0s"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q: accepted", args)
		}
	}
	o, err := parse([]string{"-quick"}, io.Discard)
	if err != nil || o.Sizes.Manifests >= 500_000 {
		t.Errorf("-quick: %+v, %v", o.Sizes, err)
	}
}

// What is not wanted is not run: no server is started for it.
func TestUnwantedRowsStartNothing(t *testing.T) {
	o, err := parse([]string{"-rows", "nothing", "-dir", t.TempDir(), "-distribution", "/nonexistent"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, err := bench(context.Background(), o, io.Discard)
	if err != nil || len(r.Results) != 0 {
		t.Errorf("%d results, %v", len(r.Results), err)
	}
}
