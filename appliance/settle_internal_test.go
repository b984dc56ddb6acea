package appliance

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

// TestAnUnsettledBlobIsLinkedAgainUntilThereIsAnAnswer needs three tries.
func TestAnUnsettledBlobIsLinkedAgainUntilThereIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Appliance{unsettled: unsettled{some: make(chan struct{}, 1)}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.settleLoop(ctx) }()
		var released atomic.Bool
		var tries atomic.Int64
		answers := []error{meta.ErrUnsettled, meta.ErrUnavailable, nil}
		a.unsettled.add(blobstore.NewPin(func() { released.Store(true) }), func(context.Context) error {
			return answers[tries.Add(1)-1]
		})
		time.Sleep(settleEvery * 5 / 2) //nolint:forbidigo // of a bubble
		if synctest.Wait(); released.Load() || tries.Load() != 2 {
			t.Errorf("after two tries: released %t, tried %d times", released.Load(), tries.Load())
		}
		time.Sleep(settleEvery) //nolint:forbidigo // of a bubble
		if synctest.Wait(); !released.Load() {
			t.Error("after an answer the bytes are still pinned")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
