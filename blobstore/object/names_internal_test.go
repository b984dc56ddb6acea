package object

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestPathsAreReadBack(t *testing.T) {
	at := time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.UTC)
	for _, d := range []digest.Digest{
		digest.FromString("x"), digest.SHA384.FromString("x"), digest.SHA512.FromString("x"),
	} {
		path, err := blobPath(d)
		if back, ok := parseBlobPath(path); err != nil || !ok || back != d {
			t.Errorf("%s: %v, %s, %v", path, err, back, ok)
		}
		back, when, ok := parseQuarantined(quarantinePath(d, at))
		if !ok || back != d || !when.Equal(at) {
			t.Errorf("%s: %s, %v, %v", quarantinePath(d, at), back, when, ok)
		}
	}
	hex := digest.FromString("x").Encoded()
	for _, path := range []string{
		"", "/blobs", "/blobs/sha256/00/" + hex, "/blobs/md5/" + hex[:2] + "/" + hex,
		"/blobs/sha256/" + hex[:2] + "/" + hex + "0", "/blobs/sha256/" + hex[:2] + "/../" + hex,
		"/quarantine/x-sha256-" + hex,
	} {
		if d, ok := parseBlobPath(path); ok {
			t.Errorf("%q is taken for %s", path, d)
		}
		if d, _, ok := parseQuarantined(path); ok {
			t.Errorf("%q is taken for what was put aside of %s", path, d)
		}
	}
}

// TestWhatIsTakenIsNotPinned has pins and removals of one blob take turns.
func TestWhatIsTakenIsNotPinned(t *testing.T) {
	var n names
	n.init()
	d := digest.FromString("x")
	pin := n.pin(d)
	if n.take(d, false) {
		t.Error("took what is pinned")
	}
	pin.Release()
	if !n.take(d, false) {
		t.Error("did not take what nobody needs")
	}
	pinned := make(chan struct{})
	go func() { // ends with give
		n.pin(d).Release()
		close(pinned)
	}()
	select {
	case <-pinned:
		t.Error("pinned what is being removed")
	case <-time.After(20 * time.Millisecond):
	}
	n.give(d)
	<-pinned
}

func TestProgressEndsWithoutSteps(t *testing.T) {
	ctx, p := watch(t.Context(), 10*time.Millisecond)
	defer p.end()
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errStalled) {
		t.Errorf("ended by %v", context.Cause(ctx))
	}
	ctx, p = watch(t.Context(), 10*time.Millisecond)
	p.rest()
	select {
	case <-ctx.Done():
		t.Error("ended while nothing was waited for")
	case <-time.After(50 * time.Millisecond):
	}
	p.end()
}
