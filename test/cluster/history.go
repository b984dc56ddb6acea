//go:build cluster

package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// A deed is what a client did with one tag: a register that holds a digest, or
// nothing.
type deed struct {
	key   string
	write bool
	value string // that is written
}

// A history is what clients saw of tags, in the order in which they saw it.
type history struct {
	clock atomic.Int64

	mu    sync.Mutex // guards the rest
	deeds []porcupine.Operation
	open  []porcupine.Operation // writes of which nobody knows whether they took effect
	stale int                   // reads that said that they may be
}

// fate says what came of a deed.
type fate int

const (
	done    fate = iota
	refused      // had no effect, and tells nothing
	unknown
	warned // an answer that may be stale, and says so
)

// note adds a deed. The answer is what a read saw.
func (h *history) note(client int, d deed, call int64, f fate, answer string) {
	op := porcupine.Operation{ClientId: client, Input: d, Call: call, Output: answer, Return: h.clock.Add(1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case f == done:
		h.deeds = append(h.deeds, op)
	case f == warned:
		h.stale++
	case f == unknown && d.write:
		op.Return = 1 << 62
		h.open = append(h.open, op)
	}
}

// all is the whole history. A write of unknown fate whose value nobody ever saw needs
// no place in it.
func (h *history) all() []porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[deed]bool{}
	for _, op := range h.deeds {
		if d, _ := op.Input.(deed); !d.write {
			value, _ := op.Output.(string)
			seen[deed{key: d.key, value: value}] = true
		}
	}
	all := slices.Clone(h.deeds)
	for _, op := range h.open {
		if d, _ := op.Input.(deed); seen[deed{key: d.key, value: d.value}] {
			all = append(all, op)
		}
	}
	return all
}

// registers is what tags promise to be, together (I5).
func registers() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			d, _ := input.(deed)
			if d.write {
				return true, d.value
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

// check fails the test unless there is an order in which all of it makes sense.
func (h *history) check(t testing.TB) {
	t.Helper()
	all := h.all()
	t.Logf("%d deeds with tags; %d writes of unknown fate, %d of them may have showed; %d reads said they may be stale",
		len(h.deeds), len(h.open), len(all)-len(h.deeds), h.stale)
	for _, ops := range registers().Partition(all) {
		d, _ := ops[0].Input.(deed)
		one := registers()
		one.Partition = nil
		if result := porcupine.CheckOperationsTimeout(one, ops, time.Minute); result != porcupine.Ok {
			t.Errorf("history of %s is not linearizable: %v\n%s", d.key, result, narrate(ops))
		}
	}
}

// narrate tells a history, for whoever has to find out what went wrong.
func narrate(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var text strings.Builder
	for _, op := range ops {
		d, _ := op.Input.(deed)
		what := fmt.Sprintf("reads %.15q", op.Output)
		if d.write {
			what = fmt.Sprintf("writes %.15q", d.value)
		}
		fmt.Fprintf(&text, "  client %2d %7d–%7d %s\n", op.ClientId, op.Call, op.Return, what)
	}
	return text.String()
}
