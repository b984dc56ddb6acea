package replicate

import (
	"errors"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

func blobHeldBy(name string, holders int) meta.BlobCopies {
	return meta.BlobCopies{Digest: digest.FromString(name), Size: 1, Holders: make([]meta.NodeID, holders)}
}

func queue() *transfers {
	var q transfers
	q.init(1 << 20)
	return &q
}

func TestTheMostUrgentTransferIsNext(t *testing.T) {
	q := queue()
	for _, w := range []struct {
		name    string
		holders int
		class   class
	}{
		{"move", 2, classMove},
		{"two copies", 2, classRepair},
		{"one copy", 1, classRepair},
		{"two copies, later", 2, classRepair},
		{"pushed", 1, classPush},
		{"one copy, later", 1, classRepair},
	} {
		q.want(blobHeldBy(w.name, w.holders), w.class)
	}
	if tr := q.follow(blobHeldBy("two copies, later", 2), false); tr == nil {
		t.Fatal("a client finds no transfer")
	}
	for _, want := range []string{"two copies, later", "pushed", "one copy", "one copy, later", "two copies", "move"} {
		if tr, _ := q.next(); tr == nil || tr.copies.Digest != digest.FromString(want) {
			t.Fatalf("next is %v, want %s", tr, want)
		}
	}
	if tr, _ := q.next(); tr != nil {
		t.Errorf("there is one more: %v", tr.copies)
	}
}

func TestAFullQueueKeepsTheMostEndangered(t *testing.T) {
	q := queue()
	for i := range queueMax {
		q.want(blobHeldBy(fmt.Sprint(i), 2), classRepair)
	}
	youngest := q.all[digest.FromString(fmt.Sprint(queueMax-1))]
	q.want(blobHeldBy("one copy", 1), classRepair)
	q.want(blobHeldBy("move", 2), classMove)
	if !errors.Is(youngest.err, ErrNoSource) || q.queued != queueMax {
		t.Errorf("queued are %d of %d, and the youngest ended with %v", q.queued, queueMax, youngest.err)
	}
	if q.all[digest.FromString("move")] != nil {
		t.Error("a move took the place of a repair")
	}
	if tr, _ := q.next(); tr.copies.Digest != digest.FromString("one copy") {
		t.Error("the blob with one copy is not next")
	}
	if q.drained() {
		t.Error("it is drained while it is nearly full")
	}
	for range queueMax/2 + 1 {
		q.next()
	}
	if !q.drained() || q.drained() {
		t.Error("room again for what was left out is not told exactly once")
	}
}

func TestRepairDoesNotTakeThePlaceOfPushes(t *testing.T) {
	var q transfers
	q.init(1)
	q.want(blobHeldBy("a", 1), classRepair)
	q.want(blobHeldBy("b", 1), classRepair)
	first, l := q.next()
	if second, _ := q.next(); second != nil {
		t.Error("two repairs run where one may")
	}
	q.want(blobHeldBy("pushed", 1), classPush)
	if tr, _ := q.next(); tr == nil || tr.copies.Digest != digest.FromString("pushed") {
		t.Error("a push waits for a repair")
	}
	q.done(first, l)
	if tr, _ := q.next(); tr == nil || tr.copies.Digest != digest.FromString("b") {
		t.Error("the second repair does not follow the first")
	}
}
