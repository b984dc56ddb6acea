package appliance

import (
	"context"
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
		released, answers := false, []error{meta.ErrUnsettled, meta.ErrUnavailable, nil}
		a.unsettled.add(blobstore.NewPin(func() { released = true }), func(context.Context) error {
			err := answers[0]
			answers = answers[1:]
			return err
		})
		time.Sleep(settleEvery * 5 / 2) //nolint:forbidigo // of a bubble
		if synctest.Wait(); released || len(answers) != 1 {
			t.Errorf("after two tries: released %t, %d to come", released, len(answers))
		}
		time.Sleep(settleEvery) //nolint:forbidigo // of a bubble
		if synctest.Wait(); !released {
			t.Error("after an answer the bytes are still pinned")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
