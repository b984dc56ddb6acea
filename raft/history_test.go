package raft_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"skerry.dev/skerry/raft"
)

// A deed is what a client did with one register. Each value is written once.
type deed struct {
	key   string
	write string // "" for a read
}

// latest is the value of a register, as commands "key=value" left it.
func (l *ledger) latest(key string) (value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var newest uint64
	for c, index := range l.now.Entries {
		if v, ok := strings.CutPrefix(c, key+"="); ok && index > newest {
			value, newest = v, index
		}
	}
	return value
}

// A history is what clients saw, in the order in which they saw it.
type history struct {
	clock atomic.Int64

	mu    sync.Mutex // guards the rest
	deeds []porcupine.Operation
	open  []porcupine.Operation // writes of which nobody knows whether they took effect
}

// do has a client of a node do one thing with one register, and notes it.
func (h *history) do(tb testing.TB, client int, m *member, d deed) {
	tb.Helper()
	op := porcupine.Operation{ClientId: client, Input: d, Call: h.clock.Add(1)}
	var err error
	if d.write != "" {
		_, err = m.node.Propose(within(tb, 2*time.Second), []byte(d.key+"="+d.write))
	} else if err = m.node.ReadIndex(within(tb, time.Second)); err == nil {
		op.Output = m.ledger.latest(d.key)
	}
	op.Return = h.clock.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.deeds = append(h.deeds, op)
	case d.write != "" && !errors.Is(err, raft.ErrNoLeader): // that had no effect, and must not show
		op.Return = 1 << 62
		h.open = append(h.open, op)
	}
}

// all is the whole history. A write of unknown fate that nobody ever saw needs no
// place in it.
func (h *history) all() []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.deeds)
	for _, open := range h.open {
		d, _ := open.Input.(deed)
		if slices.ContainsFunc(h.deeds, func(op porcupine.Operation) bool { return op.Output == d.write }) {
			all = append(all, open)
		}
	}
	return all
}

// registers is what the nodes together promise to be: one register per key.
func registers() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			d, _ := input.(deed)
			if d.write != "" {
				return true, d.write
			}
			return output == state, state
		},
		Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
			byKey := map[string][]porcupine.Operation{}
			for _, op := range all {
				d, _ := op.Input.(deed)
				byKey[d.key] = append(byKey[d.key], op)
			}
			for _, ops := range byKey {
				parts = append(parts, ops)
			}
			return parts
		},
	}
}

// TestRegistersAreLinearizable has clients of all nodes read and write while the
// network breaks and leadership moves. The first node is slow to notice that it
// leads no more, which no clock of the others may rely on.
func TestRegistersAreLinearizable(t *testing.T) {
	mesh := newMesh()
	patience := map[string]time.Duration{"n1.d1": 1500 * time.Millisecond}
	members := mesh.three(t, func(c *raft.Config) {
		c.Election = cmp.Or(patience[c.NodeID], 200*time.Millisecond)
		c.LeaderWait = 300 * time.Millisecond
	})
	var h history
	done := make(chan struct{})
	var work sync.WaitGroup
	for client := range 9 {
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 7))
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(random.IntN(10)) * time.Millisecond):
				}
				d := deed{key: fmt.Sprint("k", random.IntN(3))}
				if client >= 3 && random.IntN(2) == 0 { // the first three only read: they do not hang in a write
					d.write = fmt.Sprintf("c%d-%d", client, i)
				}
				h.do(t, client, members[client%3], d)
			}
		})
	}
	for round := range 12 {
		trouble(t, mesh, members, round)
	}
	close(done)
	work.Wait()
	all := h.all()
	t.Logf("%d deeds, %d of unknown fate, of which %d showed", len(h.deeds), len(h.open), len(all)-len(h.deeds))
	if len(h.deeds) < 500 {
		t.Errorf("only %d deeds", len(h.deeds))
	}
	if result := porcupine.CheckOperationsTimeout(registers(), all, time.Minute); result != porcupine.Ok {
		t.Errorf("history is not linearizable: %v", result)
	}
}

// trouble lets the first node lead, if it can, breaks something for a while, and
// mends it.
func trouble(tb testing.TB, mesh *mesh, members []*member, round int) {
	tb.Helper()
	first := members[0]
	eventually(tb, "the first leads", func() bool {
		lead := leading(tb, members...)
		return lead == first || memberOf(lead, first).Reachable && lead.node.Transfer(soon(tb), first.cfg.NodeID) == nil
	})
	eventually(tb, "the first is ready", func() bool { return leading(tb, members...) == first })
	switch round % 4 {
	case 0: // the leader alone, while others still can ask it
		for _, m := range members[1:] {
			mesh.cutWires(first, m)
			mesh.cutWires(m, first)
		}
	case 1: // the leader alone
		mesh.isolate(first, members...)
	case 2: // the leader hears, and is not heard
		for _, m := range members[1:] {
			mesh.cutWires(first, m)
		}
		mesh.cutCalls(members[1], first)
	case 3: // one follower alone, and the other cannot ask
		mesh.isolate(members[1], members...)
		mesh.cutCalls(members[2], first)
	}
	<-time.After(time.Duration(500+rand.IntN(500)) * time.Millisecond)
	mesh.heal()
	<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
}
