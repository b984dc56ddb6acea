//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A worker is one client, who asks any node.
type worker struct {
	*chaos
	number int
	rand   *rand.Rand
	client *http.Client
	recent []blob // of its own images, kept or not: to be used again
}

// A reply is what came back. None at all has the status 0.
type reply struct {
	node   string
	status int
	head   http.Header
	body   []byte
}

func (r reply) ok() bool     { return r.status >= 200 && r.status < 300 }
func (r reply) warned() bool { return r.head.Get("Warning") != "" }

// String tells a reply.
func (r reply) String() string { return fmt.Sprintf("%s answers %d %.300s", r.node, r.status, r.body) }

// fate is what a write's reply says about it. Whatever is not a clear no may have
// happened.
func (r reply) fate() fate {
	switch {
	case r.ok():
		return done
	case r.status >= 400 && r.status < 500:
		return refused
	}
	return unknown
}

// ask sends a request to any node.
func (w *worker) ask(method, path string, head http.Header, body []byte) reply {
	all := *w.targets.Load()
	return w.askOf(all[w.rand.IntN(len(all))], method, path, head, body)
}

func (w *worker) askOf(n target, method, path string, head http.Header, body []byte) reply {
	ctx, cancel := context.WithTimeout(context.Background(), w.patience) // what is under way at the end, ends
	defer cancel()
	r := reply{node: n.name}
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, bytes.NewReader(body))
	if err != nil {
		w.books.complain("%v", err)
		return r
	}
	for k, v := range head {
		req.Header[k] = v
	}
	req.SetBasicAuth("admin", w.password)
	resp, err := w.client.Do(req)
	if err != nil {
		return r
	}
	defer resp.Body.Close()
	if r.body, err = io.ReadAll(resp.Body); err == nil {
		r.status, r.head = resp.StatusCode, resp.Header
	}
	return r
}

// run works until it is told to stop.
func (w *worker) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(w.rand.IntN(60)) * time.Millisecond):
		}
		switch n := w.rand.IntN(100); {
		case n < 22:
			w.pushTagged()
		case n < 30:
			w.move()
		case n < 36:
			w.untag()
		case n < 70:
			w.look()
		case n < 86:
			w.pull()
		case n < 92:
			w.churn()
		case n < 98:
			w.remove()
		default:
			w.collect()
		}
	}
}

// tag is one of the few that all fight for. Now and then there are new ones, which
// keeps their histories short.
func (w *worker) tag() (repo, tag string) {
	return fmt.Sprint("team/app", w.rand.IntN(2)), fmt.Sprintf("t%d.%d", w.epoch.Load(), w.rand.IntN(3))
}

// pushTagged pushes a new image.
func (w *worker) pushTagged() {
	repo, tag := w.tag()
	if a := w.upload(repo); a != nil {
		w.write(a, tag)
	}
}

// move has a tag point at an image that is there.
func (w *worker) move() {
	repo, tag := w.tag()
	if a := w.books.any(w.rand, func(a *artifact) bool { return a.repo == repo }); a != nil {
		w.write(a, tag)
	}
}

// write puts the manifest as a tag that all know.
func (w *worker) write(a *artifact, tag string) {
	d := deed{key: a.repo + ":" + tag, write: true, value: a.digest.String()}
	call := w.clock.Add(1)
	r := w.put(a, tag)
	w.note(w.number, d, call, r.fate(), "")
	if r.ok() {
		w.books.keep(a)
	}
}

func (w *worker) put(a *artifact, ref string) reply {
	r := w.ask(http.MethodPut, "/v2/"+a.repo+"/manifests/"+ref,
		http.Header{"Content-Type": {ocispec.MediaTypeImageManifest}}, a.manifest)
	if r.fate() == refused && w.long {
		w.books.complain("push of %s to %s, whose blobs were acknowledged: %s", a.digest, a.repo, r)
	}
	return r
}

// untag deletes a tag. That there is none is an answer, too.
func (w *worker) untag() {
	repo, tag := w.tag()
	d := deed{key: repo + ":" + tag, write: true}
	call := w.clock.Add(1)
	r := w.ask(http.MethodDelete, "/v2/"+repo+"/manifests/"+tag, nil, nil)
	f := r.fate()
	if r.status == http.StatusNotFound {
		d.write, f = false, done
	}
	w.note(w.number, d, call, f, "")
}

// look reads a tag.
func (w *worker) look() {
	repo, tag := w.tag()
	all := *w.targets.Load()
	w.lookAt(all[w.rand.IntN(len(all))], repo, tag)
}

// lookAt reads a tag from one node, and says whether that was a clear answer.
func (w *worker) lookAt(n target, repo, tag string) bool {
	call := w.clock.Add(1)
	r := w.askOf(n, http.MethodGet, "/v2/"+repo+"/manifests/"+tag, nil, nil)
	f, value := refused, ""
	switch {
	case r.warned():
		f = warned
	case r.status == http.StatusOK:
		f, value = done, digest.FromBytes(r.body).String()
	case r.status == http.StatusNotFound:
		f = done
	}
	w.note(w.number, deed{key: repo + ":" + tag}, call, f, value)
	return f == done
}

// pull reads an image that was acknowledged. It may not be had, but if, it is right.
func (w *worker) pull() {
	a := w.books.any(w.rand, func(*artifact) bool { return true })
	if a == nil {
		return
	}
	w.judge(a, "manifest "+a.digest.String(), a.manifest, w.ask(http.MethodGet, manifestPath(a), nil, nil))
	for _, b := range a.blobs {
		w.judge(a, "blob "+b.digest.String(), b.bytes(), w.ask(http.MethodGet, blobPath(a.repo, b.digest), nil, nil))
	}
}

func (w *worker) judge(a *artifact, what string, want []byte, r reply) {
	switch {
	case r.status == http.StatusOK && !bytes.Equal(r.body, want):
		w.books.complain("%s of %s has other bytes: %d from %s", what, a.repo, len(r.body), r.node)
	case r.fate() == refused && !r.warned() && w.books.has(a):
		w.books.complain("%s of %s was acknowledged: %s", what, a.repo, r)
	}
}

// churn pushes an image of its own, to be removed by remove.
func (w *worker) churn() {
	if a := w.upload(w.own()); a != nil {
		if r := w.put(a, "c"+a.digest.Encoded()[:8]); r.ok() {
			w.books.keep(a)
		}
	}
}

func (w *worker) own() string { return fmt.Sprint("own/w", w.number) }

// remove deletes an image of its own by digest, with its tag.
func (w *worker) remove() {
	a := w.books.any(w.rand, func(a *artifact) bool { return a.repo == w.own() })
	if a == nil {
		return
	}
	w.books.forget(a)
	if r := w.ask(http.MethodDelete, manifestPath(a), nil, nil); r.ok() {
		w.books.deleted(a)
	}
}

// collect has a node collect garbage.
func (w *worker) collect() {
	all := *w.targets.Load()
	n := all[w.rand.IntN(len(all))]
	ctx, cancel := context.WithTimeout(context.Background(), w.patience)
	defer cancel()
	_ = exec.CommandContext(ctx, w.cluster.bin, "gc", "--data", n.data).Run() // it may be away
}

func manifestPath(a *artifact) string { return "/v2/" + a.repo + "/manifests/" + a.digest.String() }

func blobPath(repo string, d digest.Digest) string { return "/v2/" + repo + "/blobs/" + d.String() }

// pathOf is what a Location is on any node.
func pathOf(r reply) string {
	u, err := url.Parse(r.head.Get("Location"))
	if err != nil {
		return "/"
	}
	return u.RequestURI()
}
