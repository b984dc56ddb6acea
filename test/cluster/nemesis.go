//go:build cluster

package cluster

import (
	"fmt"
	"slices"
	"syscall"
	"time"
)

// A fault is something that machines, networks and people do. It ends with all
// processes running and no cut left.
type fault struct {
	name string
	do   func(x *chaos)
}

func faults() []fault {
	return []fault{
		{"kill a node", func(x *chaos) { x.killed(x.one()) }},
		{"kill the leader", func(x *chaos) { x.killed(x.lead()) }},
		{"pause a node", func(x *chaos) { x.paused(x.one()) }},
		{"pause the leader", func(x *chaos) { x.paused(x.lead()) }},
		{"cut a node off", func(x *chaos) { x.cutOff(x.one()) }},
		{"cut the leader off", func(x *chaos) { x.cutOff(x.lead()) }},
		{"have a node hear nobody", (*chaos).deafened},
		{"have one not hear another", (*chaos).oneWay},
		{"cut on and off", (*chaos).flapping},
		{"kill all", (*chaos).outage},
		{"drain a node, and activate it", (*chaos).drained},
		{"replace a node", (*chaos).replaced},
		{"replace a lost disk", (*chaos).lost},
	}
}

func (x *chaos) killed(n *node) {
	x.end(n)
	x.wait(0, 4000)
	x.begin(n)
}

func (x *chaos) paused(n *node) {
	x.signal(n, syscall.SIGSTOP)
	x.wait(1000, 8000)
	x.signal(n, syscall.SIGCONT)
}

func (x *chaos) cutOff(n *node) {
	x.isolate(n)
	x.wait(1000, 8000)
	x.heal()
}

func (x *chaos) deafened() {
	n := x.one()
	for _, other := range x.without(n) {
		n.deaf(other.host)
	}
	x.wait(1000, 6000)
	x.heal()
}

func (x *chaos) oneWay() {
	n := x.one()
	rest := x.without(n)
	other := rest[x.rand.IntN(len(rest))].host
	n.deaf(other)
	x.wait(1000, 6000)
	n.hears(other)
}

func (x *chaos) flapping() {
	n := x.one()
	for range 3 + x.rand.IntN(5) {
		x.isolate(n)
		x.wait(100, 1200)
		x.heal()
		x.wait(100, 800)
	}
}

func (x *chaos) outage() {
	for _, n := range x.nodes {
		x.end(n)
	}
	x.wait(0, 1000)
	late := x.one()
	x.begin(x.without(late)...)
	x.wait(0, 2000)
	x.begin(late)
}

func (x *chaos) drained() {
	n, by := x.one(), x.one()
	x.insist(by, "cluster", "drain", n.name)
	x.wait(1000, 5000)
	x.insist(by, "cluster", "activate", n.name)
}

// replaced takes a node out in good order, and another one in.
func (x *chaos) replaced() {
	x.whole()
	n := x.one()
	rest := x.without(n)
	x.insist(rest[0], "cluster", "drain", n.name)
	x.insist(rest[0], "cluster", "remove", n.name)
	x.end(n)
	x.books.drop() // what came to it since, without a manifest
	x.replace(n)
}

// lost takes a disk away from a node that cannot help it, and another node in.
func (x *chaos) lost() {
	x.whole()
	n := x.one()
	x.end(n)
	x.books.drop()
	x.wait(0, 2000)
	x.insist(x.without(n)[0], "cluster", "remove", "--force", n.name)
	x.replace(n)
}

// replace has a new node in the place of one that was ended and removed, and waits
// until there are as many copies as before.
func (x *chaos) replace(n *node) {
	x.t.Helper()
	n.wipe()
	delete(x.down, n)
	at := slices.Index(x.nodes, n)
	x.nodes = slices.Delete(x.nodes, at, at+1)
	x.aim()
	x.join(x.next, zone(x.next), x.net.host(x.next), x.args()...)
	x.next++
	x.aim()
	x.whole()
}

// whole waits until one more node can be lost for good: whoever was drained, or is new,
// has no vote for some seconds, and what only it lacks has one copy less.
func (x *chaos) whole() {
	x.t.Helper()
	x.eventually("all nodes vote", x.vote)
	x.eventually("all copies are made", x.copied)
}

// vote is allVote while there may be no answer.
func (x *chaos) vote() error {
	for _, n := range x.nodes {
		if _, err := n.attempt("cluster", "members"); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return x.allVote()
}

// insist has a command done, however long it takes to find somebody who can.
func (x *chaos) insist(by *node, args ...string) {
	x.t.Helper()
	x.eventually(fmt.Sprint(args), func() error {
		_, err := by.attempt(args...)
		return err
	})
}

// torment makes faults until the end, each kind once before any comes again.
func (x *chaos) torment(end time.Time) {
	x.t.Helper()
	all := faults()
	for count := 0; time.Now().Before(end); count++ {
		if count%len(all) == 0 {
			x.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		f := all[count%len(all)]
		begun := time.Now()
		f.do(x)
		x.t.Logf("%s %s: %s", begun.UTC().Format("15:04:05.000"), f.name, time.Since(begun).Round(time.Millisecond))
		x.wait(500, 2500)
		for _, n := range x.nodes {
			x.alive(n)
		}
		if count%6 == 5 {
			x.epoch.Add(1)
		}
	}
}
