package setting

import (
	"strings"
)

// A Source is a kind of place that values come from, weakest first.
type Source int

// The sources.
const (
	Default Source = iota
	File
	Variable
	Flag
)

// An Origin is where a value came from.
type Origin struct {
	Source Source
	Where  string // "default", "skerry.yaml:7:1", "SKERRY_GRACE", "--grace"
}

// A Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	Origin
	Key  string // "" when it is about the file as a whole
	Text string
}

// Error is "place: what is wrong".
func (m Mistake) Error() string {
	if m.Source == File || m.Key == "" {
		return m.Where + ": " + m.Text
	}
	return m.Where + " " + m.Text
}

// Mistakes is everything that is wrong with a configuration: at least one thing.
type Mistakes []Mistake

// Error has a line for each.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// About reports whether one of them is about a key.
func (m Mistakes) About(key string) bool {
	for _, one := range m {
		if one.Key == key {
			return true
		}
	}
	return false
}

// All reports whether all of them were made in one kind of place.
func (m Mistakes) All(s Source) bool {
	for _, one := range m {
		if one.Source != s {
			return false
		}
	}
	return true
}

// nearest returns the name that someone who wrote s is likely to have meant, or
// "": at most a third of it may be different, two letters at least.
func nearest(s string, names []string) string {
	best, at := "", max(2, len(s)/3)+1
	for _, name := range names {
		if d := distance(plain(s), plain(name)); d < at {
			best, at = name, d
		}
	}
	return best
}

// plain is a name without what people write differently.
func plain(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }

// distance is how many letters must be changed, left out, put in, or exchanged
// with the next, to make b of a.
func distance(a, b string) int {
	before, last, next := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, last[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last, next = last, next, make([]int, len(b)+1)
	}
	return last[len(b)]
}
