//go:build cluster

package cluster

import (
	"fmt"
	"net/http"
	"strings"
)

// upload pushes the blobs of a new image, some of which an earlier one had, that may
// be deleted by now. Nil: not all of them were acknowledged.
func (w *worker) upload(repo string) *artifact {
	blobs := []blob{newBlob(w.rand), newBlob(w.rand)}
	if len(w.recent) > 0 && w.rand.IntN(2) == 0 {
		blobs[1] = w.recent[w.rand.IntN(len(w.recent))]
	}
	for _, b := range blobs {
		if !w.there(repo, b) && !w.pushBlob(repo, b) {
			return nil
		}
		w.books.take(repo, b)
	}
	w.recent = append(w.recent, blobs...)
	w.recent = w.recent[max(0, len(w.recent)-20):]
	return newArtifact(repo, blobs)
}

// there asks for a blob, or mounts it from the repository of the worker's own.
func (w *worker) there(repo string, b blob) bool {
	if w.rand.IntN(2) == 0 {
		r := w.ask(http.MethodHead, blobPath(repo, b.digest), nil, nil)
		return r.status == http.StatusOK && !r.warned()
	}
	path := fmt.Sprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", repo, b.digest, w.own())
	r := w.ask(http.MethodPost, path, nil, nil)
	if r.status == http.StatusAccepted { // an upload instead, which nobody needs
		w.ask(http.MethodDelete, pathOf(r), nil, nil)
	}
	return r.status == http.StatusCreated
}

// pushBlob sends the whole at once, or parts through whatever nodes.
func (w *worker) pushBlob(repo string, b blob) bool {
	content := b.bytes()
	path := "/v2/" + repo + "/blobs/uploads/"
	if w.rand.IntN(3) > 0 {
		return w.ask(http.MethodPost, path+"?digest="+b.digest.String(), nil, content).status == http.StatusCreated
	}
	r := w.ask(http.MethodPost, path, nil, nil)
	half := b.size / 2
	for _, part := range [][2]int{{0, half}, {half, b.size}} {
		if r.status != http.StatusAccepted {
			return false
		}
		if part[0] == part[1] {
			continue
		}
		r = w.ask(http.MethodPatch, pathOf(r), http.Header{
			"Content-Type":  {"application/octet-stream"},
			"Content-Range": {fmt.Sprintf("%d-%d", part[0], part[1]-1)},
		}, content[part[0]:part[1]])
	}
	if r.status != http.StatusAccepted {
		return false
	}
	path = pathOf(r)
	join := "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	return w.ask(http.MethodPut, path+join+"digest="+b.digest.String(), nil, nil).status == http.StatusCreated
}
