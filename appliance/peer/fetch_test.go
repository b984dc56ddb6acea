package peer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/appliance/peer"
)

func TestBlobsAreReadFromAnyOffset(t *testing.T) {
	a, b := pair(t)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	d := a.put(content)
	for _, offset := range []int64{0, 1, 500_000, int64(len(content)) - 1} {
		body, size, err := b.client.Blob(t.Context(), a.at, d, offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || size != int64(len(content)) || !bytes.Equal(got, content[offset:]) {
			t.Errorf("from %d: %d bytes of %d, %v", offset, len(got), size, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := b.dials.Load(); n != 1 {
		t.Errorf("%d connections for what came one after another", n)
	}
	empty := a.put(nil)
	body, size, err := b.client.Blob(t.Context(), a.at, empty, 0)
	if err != nil || size != 0 {
		t.Fatalf("an empty one: %d, %v", size, err)
	}
	_ = body.Close()
	if _, _, err := b.client.Blob(t.Context(), a.at, digest.FromString("none"), 0); !errors.Is(err, errNoBlob) {
		t.Errorf("absent: %v", err)
	}
	if _, _, err := b.client.Blob(t.Context(), a.at, d, int64(len(content))); err == nil {
		t.Error("from its end on there is nothing")
	}
	if _, _, err := b.client.Blob(t.Context(), a.at, "../../etc/passwd", 0); err == nil {
		t.Error("a path was taken for a digest")
	}
}

func TestBlobsEndWithTheirContext(t *testing.T) {
	a, b := pair(t)
	d := a.put(make([]byte, 32<<20))
	ctx, cancel := context.WithCancel(t.Context())
	body, _, err := b.client.Blob(ctx, a.at, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, body); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	_ = body.Close()
	// The holder goes away in the middle.
	body, _, err = b.client.Blob(t.Context(), a.at, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	a.peers.Disconnect("b.disk2")
	if n, err := io.Copy(io.Discard, body); err == nil {
		t.Errorf("%d bytes and no error", n)
	}
	_ = body.Close()
}

// TestAnswersAreNotBelieved has a node of the cluster answer nonsense.
func TestAnswersAreNotBelieved(t *testing.T) {
	d := digest.FromString("x")
	tag := `"` + d.String() + `"`
	for _, c := range []struct {
		name   string
		offset int64
		answer func(http.ResponseWriter)
	}{
		{"another blob", 0, func(w http.ResponseWriter) { w.Header().Set("ETag", `"sha256:00"`) }},
		{"no name", 0, func(http.ResponseWriter) {}},
		{"no length", 0, func(w http.ResponseWriter) {
			w.Header().Set("ETag", tag)
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}},
		{"all instead of the rest", 5, func(w http.ResponseWriter) { w.Header().Set("ETag", tag) }},
		{"another part", 5, func(w http.ResponseWriter) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Content-Range", "bytes 4-9/10")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(http.StatusPartialContent)
		}},
		{"a part of the rest", 5, func(w http.ResponseWriter) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Content-Range", "bytes 5-6/10")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusPartialContent)
		}},
		{"a part that nobody asked for", 0, func(w http.ResponseWriter) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Content-Range", "bytes 0-1/10")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusPartialContent)
		}},
		{"somewhere else", 0, func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://elsewhere/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}},
	} {
		b, mad := withMad(t, c.answer)
		if body, size, err := b.client.Blob(t.Context(), mad, d, c.offset); err == nil {
			t.Errorf("%s: %d bytes", c.name, size)
			_ = body.Close()
		}
	}
	b, mad := withMad(t, func(w http.ResponseWriter) {
		w.Header().Set("Skerry-Index", "1")
		_, _ = w.Write(make([]byte, 2<<20))
	})
	if _, _, err := b.client.Propose(t.Context(), mad, nil); !errors.Is(err, peer.ErrAnswer) {
		t.Errorf("a large answer: %v", err)
	}
	b, mad = withMad(t, func(w http.ResponseWriter) { w.Header().Set("Skerry-Index", "-1") })
	if _, err := b.client.ReadIndex(t.Context(), mad); !errors.Is(err, peer.ErrAnswer) {
		t.Errorf("a negative index: %v", err)
	}
	b, mad = withMad(t, func(w http.ResponseWriter) {
		w.Header().Set("Skerry-Error", "no-leader")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "\x1b[31m\nlevel=INFO "+strings.Repeat("a", 1<<20))
	})
	_, err := b.client.ReadIndex(t.Context(), mad)
	if !errors.Is(err, errNoLeader) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 5000 {
		t.Errorf("%.300q", err)
	}
	b, mad = withMad(t, func(w http.ResponseWriter) {
		w.Header().Set("Skerry-Index", "1")
		w.Header().Set("X-Large", strings.Repeat("a", 1<<17))
	})
	if _, err := b.client.ReadIndex(t.Context(), mad); err == nil {
		t.Error("large headers were read")
	}
}

// withMad is a node, and another that answers everything like this.
func withMad(t *testing.T, answer func(http.ResponseWriter)) (b *node, mad peer.Node) {
	t.Helper()
	a, b := pair(t)
	return b, a.bare("mad.disk3", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
}
