package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// publish writes the report as asked for, and everything measured to the JSON file.
func publish(r *Report, o Options, stdout io.Writer) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	text = append(text, '\n')
	if o.JSON != "" {
		if err := os.WriteFile(o.JSON, text, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	switch o.Format {
	case "json":
		_, err = stdout.Write(text)
	case "markdown":
		_, err = io.WriteString(stdout, r.markdown())
	default:
		_, err = io.WriteString(stdout, r.text())
	}
	return err
}

// text is the report for a terminal.
func (r *Report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", strings.Join(r.head(), "\n"))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\n"+strings.Join(r.columns(), "\t"))
	for _, result := range r.Results {
		fmt.Fprintln(w, strings.Join(result.cells(), "\t"))
	}
	_ = w.Flush() // to a strings.Builder, which takes everything
	fmt.Fprintf(&b, "\n%s\n", r.verdict())
	return b.String()
}

// markdown is the report for a document.
func (r *Report) markdown() string {
	var b strings.Builder
	for _, line := range r.head() {
		fmt.Fprintf(&b, "%s  \n", line)
	}
	columns := r.columns()
	fmt.Fprintf(&b, "\n| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, result := range r.Results {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(result.cells(), " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", r.verdict())
	return b.String()
}

// head says what was compared, where and how.
func (r *Report) head() []string {
	m := r.Machine
	lines := []string{
		fmt.Sprintf("%s %s, and %s %s", r.Names[0], r.Versions[0], r.Names[1], r.Versions[1]),
		fmt.Sprintf("%s, %d CPUs, Linux %s, %s; load %s before, %s after",
			m.CPU, m.CPUs, m.Kernel, m.FileSystem, m.Load[0], m.Load[1]),
		fmt.Sprintf("%s, %s, %d rounds of %s; medians, ratios round by round",
			r.Began.Format(time.DateTime), r.Took.Round(time.Second), r.Rounds, r.Slice),
	}
	if r.Quick {
		lines = append(lines, "quick: few and short rounds on less content; aims that are about content are not judged")
	}
	return lines
}

func (r *Report) columns() []string {
	ours := strings.ToUpper(strings.TrimPrefix(r.Names[1], "distribution "))
	return []string{
		"ROW", "WHAT", "DISTRIBUTION", ours, "RATIO", "(MIN–MAX)", "AIM", "",
		"RATE", "P50", "P99", "PEAK RSS", "TO DISK/OP",
	}
}

// cells is the result as one line: the figures of both, then of each "theirs / ours".
func (r *Result) cells() []string {
	return []string{
		r.Name, r.What, r.figure(0), r.figure(1), r.ratioText(), r.rangeText(), r.aim(), r.Verdict,
		r.both(Sample.rate), r.both(func(s Sample) string { return short(s.P50) }),
		r.both(func(s Sample) string { return short(s.P99) }),
		r.both(func(s Sample) string { return size(float64(s.Peak)) }),
		r.both(Sample.disk),
	}
}

// verdict counts the aims.
func (r *Report) verdict() string {
	var met int
	var missed []string
	for _, result := range r.Results {
		switch result.Verdict {
		case "OK":
			met++
		case "MISS":
			missed = append(missed, result.Name)
		}
	}
	if len(missed) == 0 {
		return fmt.Sprintf("%d aims met, none missed", met)
	}
	return fmt.Sprintf("%d aims met, %d missed: %s", met, len(missed), strings.Join(missed, ", "))
}

// figure is the median of a side in the row's unit.
func (r *Result) figure(side int) string {
	v := r.Median[side]
	switch {
	case len(r.Samples[side]) == 0:
		return "–"
	case r.Unit == memory:
		return size(v)
	case r.Unit == perPush:
		return fmt.Sprintf("%.1f", v)
	}
	return short(time.Duration(v * float64(time.Second)))
}

func (r *Result) ratioText() string {
	if r.Held.Median == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2fx", r.Held.Median)
}

func (r *Result) rangeText() string {
	if r.Held.Median == 0 {
		return ""
	}
	return fmt.Sprintf("(%.2f–%.2f)", r.Held.Min, r.Held.Max)
}

func (r *Result) aim() string {
	switch {
	case r.Ratio > 0:
		return fmt.Sprintf("≥ %gx", r.Ratio)
	case r.Most > 0 && r.Unit == memory:
		return "≤ " + size(r.Most)
	case r.Most > 0:
		return "≤ " + short(time.Duration(r.Most*float64(time.Second)))
	}
	return ""
}

// both shows something of the median sample of either side, "theirs / ours".
func (r *Result) both(show func(Sample) string) string {
	var of [2]string
	for side, samples := range r.Samples {
		if of[side] = "–"; len(samples) > 0 {
			of[side] = show(nearest(samples, r.Median[side]))
		}
	}
	if of[0] == "" && of[1] == "" || of[0] == "–" && of[1] == "" {
		return ""
	}
	return of[0] + " / " + of[1]
}

// nearest returns the sample whose value is closest to v.
func nearest(samples []Sample, v float64) Sample {
	best := samples[0]
	for _, s := range samples[1:] {
		if (s.Value-v)*(s.Value-v) < (best.Value-v)*(best.Value-v) {
			best = s
		}
	}
	return best
}

// rate is operations per second of wall time.
func (s Sample) rate() string {
	if s.Ops == 0 || s.Wall == 0 {
		return ""
	}
	r := float64(s.Ops) / s.Wall.Seconds()
	if r < 10 {
		return fmt.Sprintf("%.2f/s", r)
	}
	return fmt.Sprintf("%.0f/s", r)
}

// disk is what an operation wrote to the disk; "" for nothing.
func (s Sample) disk() string {
	if s.Ops == 0 {
		return ""
	}
	return size(float64(s.Written) / float64(s.Ops))
}

// short is d with three digits; "" for nothing.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}

// size is bytes in units of a thousand, or of 1024 where that comes out even; "" for
// less than one.
func size(bytes float64) string {
	switch n := int64(bytes); {
	case n == 0:
		return ""
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", bytes/1e3)
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f MB", bytes/1e6)
}

// count writes n with a comma between thousands.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
