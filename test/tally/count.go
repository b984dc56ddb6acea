package main

import (
	"maps"
	"slices"
	"strings"
)

// An event is one line of go test -json; see "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string // empty: the event concerns the package
	Elapsed float64
	Output  string
}

// A count is what the events of one stage said so far. The zero value is ready
// to use; it is owned by one goroutine.
type count struct {
	passed, failed int
	seen           bool // any event at all
	packages       map[string]*pkg
}

// A pkg is one test process, from its first event until it is reported.
type pkg struct {
	name           string
	passed, failed int
	seconds        float64
	running        map[string]*strings.Builder // output by test; "" is the package's own
	trouble        string                      // output of what failed
}

// add takes e in and returns the package that e ends, or nil.
func (c *count) add(e event) *pkg {
	c.seen = true
	if e.Package == "" {
		return nil // build output: the package's own fail event follows
	}
	p := c.pkg(e.Package)
	switch e.Action {
	case "run":
		p.output(e.Test)
	case "output":
		p.output(e.Test).WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			p.end(e.Test, e.Action == "pass")
			return nil
		}
		p.seconds = e.Elapsed
		p.close(e.Action == "fail")
		c.passed += p.passed
		c.failed += p.failed
		delete(c.packages, e.Package)
		return p
	}
	return nil
}

// close ends the stage, whose command succeeded or not, and returns the
// packages that never ended: their process, or go test itself, was killed.
func (c *count) close(ok bool) []*pkg {
	var cut []*pkg
	for _, name := range slices.Sorted(maps.Keys(c.packages)) {
		p := c.packages[name]
		p.close(true)
		c.passed += p.passed
		c.failed += p.failed
		cut = append(cut, p)
	}
	c.packages = nil
	switch {
	case !ok && c.failed == 0:
		c.failed++
	case c.seen && c.passed+c.failed == 0:
		c.failed++ // a test stage without a test
	case !c.seen && ok:
		c.passed++
	}
	return cut
}

func (c *count) pkg(name string) *pkg {
	if c.packages == nil {
		c.packages = map[string]*pkg{}
	}
	p := c.packages[name]
	if p == nil {
		p = &pkg{name: name, running: map[string]*strings.Builder{}}
		c.packages[name] = p
	}
	return p
}

func (p *pkg) output(test string) *strings.Builder {
	if p.running[test] == nil {
		p.running[test] = &strings.Builder{}
	}
	return p.running[test]
}

func (p *pkg) end(test string, passed bool) {
	if passed {
		p.passed++
	} else {
		p.failed++
		p.trouble += p.output(test).String()
	}
	delete(p.running, test)
}

// close ends the tests that are still running, as failures, and counts a
// failure of the process that no test accounts for.
func (p *pkg) close(failed bool) {
	own := p.output("").String()
	delete(p.running, "")
	for _, test := range slices.Sorted(maps.Keys(p.running)) {
		p.end(test, false)
	}
	if failed && p.failed == 0 {
		p.failed++
	}
	if p.failed > 0 {
		p.trouble += own
	}
}
