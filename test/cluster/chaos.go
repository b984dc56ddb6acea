//go:build cluster

package cluster

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skerry.dev/skerry/test/skerry"
)

// A target is a node as clients know it.
type target struct{ name, url, data string }

// A chaos is a cluster that is worked and broken at the same time. Its methods are
// for the test's own goroutine; what workers use of it is safe for them.
type chaos struct {
	*cluster
	history

	t        *testing.T
	rand     *rand.Rand
	long     bool // the grace: nothing that was acknowledged is collected
	password string
	patience time.Duration // of clients
	books    books
	targets  atomic.Pointer[[]target]
	epoch    atomic.Int64 // the tags of today
	next     int          // the number of the next node
	logs     string       // directory
	down     map[*node]bool
}

// newChaos starts a cluster of so many nodes.
func newChaos(t *testing.T, nodes int, seed uint64) *chaos {
	t.Helper()
	x := &chaos{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), patience: 10 * time.Second, next: nodes + 1, down: map[*node]bool{},
	}
	x.long = x.rand.IntN(2) == 0
	x.logs = os.Getenv("CHAOS_LOGS")
	if x.logs == "" {
		x.logs = t.TempDir()
	} else if err := os.MkdirAll(x.logs, 0o700); err != nil {
		t.Fatal(err)
	}
	x.cluster = &cluster{t: t, net: newNetwork(t), bin: skerry.New(t, skerry.Options{}).Options.Binary}
	for i := range nodes {
		x.join(i+1, zone(i), x.net.host(i+1), x.args()...)
	}
	x.eventually("all nodes vote", x.allVote)
	x.password = x.nodes[0].Password
	x.aim()
	t.Cleanup(func() {
		for _, n := range x.nodes {
			if !x.down[n] {
				x.read(n)
			}
		}
	})
	return x
}

func zone(i int) string { return string(rune('a' + i%3)) }

// args has deleted content collected soon, in every other run.
func (x *chaos) args() []string {
	if x.long {
		return nil
	}
	return []string{"--grace", "2s"}
}

// aim tells the workers which nodes there are.
func (x *chaos) aim() {
	var all []target
	for _, n := range x.nodes {
		all = append(all, target{n.name, n.URL, n.Options.Data})
	}
	x.targets.Store(&all)
}

// work starts workers. The function returned has them stop, and waits for that.
func (x *chaos) work(workers int, seed uint64) (stop func()) {
	quit := make(chan struct{})
	var group sync.WaitGroup
	for i := range workers {
		w := x.worker(i, seed)
		group.Go(func() { w.run(quit) })
	}
	return func() {
		close(quit)
		group.Wait()
	}
}

func (x *chaos) worker(number int, seed uint64) *worker {
	r := rand.New(rand.NewPCG(seed, uint64(100+number)))
	return &worker{chaos: x, number: number, rand: r, client: x.nodes[0].Client()}
}

// end kills a node, which must not have ended before.
func (x *chaos) end(n *node) {
	if x.down[n] {
		return
	}
	x.alive(n)
	n.Kill()
	x.down[n] = true
	x.read(n)
}

// alive complains when a process has ended that nobody ended.
func (x *chaos) alive(n *node) {
	select {
	case <-n.Done():
		x.books.complain("%s ended by itself", n.name)
	default:
	}
}

// bad is what no log may have.
var bad = regexp.MustCompile(`(?m)^(panic|fatal error|WARNING: DATA RACE)|level=ERROR.*panic`)

// read keeps the log of a process that was ended.
func (x *chaos) read(n *node) {
	log := n.Log()
	if at := bad.FindStringIndex(log); at != nil {
		x.books.complain("%s logs: %.2000s", n.name, log[at[0]:])
	}
	f, err := os.OpenFile(filepath.Join(x.logs, n.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		x.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(log); err != nil {
		x.t.Fatal(err)
	}
}

// begin starts nodes that were ended, all at once: one alone may wait for others.
func (x *chaos) begin(nodes ...*node) {
	x.t.Helper()
	errs := make([]error, len(nodes))
	var group sync.WaitGroup
	for i, n := range nodes {
		if x.down[n] {
			group.Go(func() { errs[i] = n.TryRestart() })
		}
	}
	group.Wait()
	for i, n := range nodes {
		if errs[i] != nil {
			x.t.Fatalf("start %s again: %v", n.name, errs[i])
		}
		delete(x.down, n)
	}
}

// one is any node.
func (x *chaos) one() *node { return x.nodes[x.rand.IntN(len(x.nodes))] }

// lead is the node that leads, as the first says that knows, or else any.
func (x *chaos) lead() *node {
	for _, at := range x.nodes {
		out, err := at.attempt("cluster", "members", "-o", "json")
		var all []member
		if err != nil || json.Unmarshal([]byte(out), &all) != nil {
			continue
		}
		for _, m := range all {
			for _, n := range x.nodes {
				if m.Leader && n.name == m.Name {
					return n
				}
			}
		}
	}
	return x.one()
}

// signal sends a signal to a node's process.
func (x *chaos) signal(n *node, s syscall.Signal) {
	if err := syscall.Kill(n.PID(), s); err != nil {
		x.t.Fatalf("signal %s: %v", n.name, err)
	}
}

// wait lets time pass, of between so many milliseconds.
func (x *chaos) wait(least, most int) {
	<-time.After(time.Duration(least+x.rand.IntN(most-least)) * time.Millisecond)
}
