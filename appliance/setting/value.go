package setting

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Shape is what a value looks like in a file and on a command line.
type Shape int

// The shapes.
const (
	One    Shape = iota // one word
	Switch              // true or false; its flag needs no word
	Many                // a list; in a variable its words are parted by commas
)

// A Value is a variable of the configuration: how it is read from words, and
// written in them. The functions of this package make all there are.
type Value interface {
	// Shape tells how many words Set takes.
	Shape() Shape
	// Set gives it a new value. With an error, which says what would be right,
	// it keeps the one it had.
	Set(words []string) error
	// Texts is the value in the words that Set takes.
	Texts() []string

	restore(words []string)
}

var errNotOne = errors.New("want one value")

type scalar[T any] struct {
	at     *T
	shape  Shape
	parse  func(string) (T, error)
	format func(T) string
}

func (v scalar[T]) Shape() Shape    { return v.shape }
func (v scalar[T]) Texts() []string { return []string{v.format(*v.at)} }

func (v scalar[T]) Set(words []string) error {
	if len(words) != 1 {
		return errNotOne
	}
	x, err := v.parse(words[0])
	if err == nil {
		*v.at = x
	}
	return err
}

func (v scalar[T]) restore(words []string) {
	if x, err := v.parse(words[0]); err == nil { // always: they are what Texts gave
		*v.at = x
	}
}

// Text is any word.
func Text(at *string) Value {
	same := func(s string) string { return s }
	return scalar[string]{at: at, parse: func(s string) (string, error) { return s, nil }, format: same}
}

// Choice is one of a few words.
func Choice[T ~string](at *T, words ...T) Value {
	return scalar[T]{
		at: at,
		parse: func(s string) (T, error) {
			if slices.Contains(words, T(s)) {
				return T(s), nil
			}
			return "", fmt.Errorf("%q: want %s", s, or(words))
		},
		format: func(x T) string { return string(x) },
	}
}

// or is "a, b or c".
func or[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// OnOff is true or false.
func OnOff(at *bool) Value {
	return scalar[bool]{
		at: at, shape: Switch, format: strconv.FormatBool,
		parse: func(s string) (bool, error) {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return false, fmt.Errorf("%q: want true or false", s)
			}
			return b, nil
		},
	}
}

// Number is a whole number that is not negative.
func Number[T int | uint64](at *T) Value {
	return number(at, 0, math.MaxInt64, "a whole number that is not negative")
}

// Percent is a whole number from 1 to 100.
func Percent(at *int) Value {
	return number(at, 1, 100, "a whole number from 1 to 100, without a sign")
}

func number[T int | uint64](at *T, low, high uint64, want string) Value {
	return scalar[T]{
		at:     at,
		format: func(x T) string { return strconv.FormatUint(uint64(x), 10) },
		parse: func(s string) (T, error) {
			n, err := strconv.ParseUint(s, 10, 63)
			if err != nil || n < low || n > high {
				return 0, fmt.Errorf("%q: want %s", s, want)
			}
			return T(n), nil
		},
	}
}

// Period is a length of time, as Go writes them, and in days. It is longer than
// none, unless none is the default, for one that is found out at the start.
func Period(at *time.Duration) Value {
	none := *at == 0
	parse := func(s string) (time.Duration, error) {
		if none && s == "0" {
			return 0, nil
		}
		return ParsePeriod(s)
	}
	return scalar[time.Duration]{at: at, parse: parse, format: formatPeriod}
}

const day = 24 * time.Hour

// ParsePeriod reads a duration longer than none, in Go's form or with days: 90s, 24h,
// 30d, 1d12h.
func ParsePeriod(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q: want a duration as in 90s, 24h or 30d", s)
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 16) // 179 years: no overflow
	if err != nil {
		return 0, bad
	}
	var more time.Duration
	if rest != "" {
		if more, err = time.ParseDuration(rest); err != nil {
			return 0, bad
		}
	}
	d := time.Duration(n)*day + more
	if d <= 0 {
		return 0, fmt.Errorf("%q: must be longer than none", s)
	}
	return d, nil
}

// formatPeriod writes whole days from two on as days, and no zero parts.
func formatPeriod(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d >= 2*day && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

type list struct{ at *[]string }

// List is any number of words, none of them empty.
func List(at *[]string) Value { return list{at} }

func (v list) Shape() Shape           { return Many }
func (v list) Texts() []string        { return slices.Clone(*v.at) }
func (v list) restore(words []string) { *v.at = slices.Clone(words) }

func (v list) Set(words []string) error {
	if slices.Contains(words, "") {
		return errors.New("an element is empty")
	}
	*v.at = slices.Clone(words)
	return nil
}
