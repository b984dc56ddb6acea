package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

// getReferrers answers with an index of the manifests whose subject is t.digest.
// There is always an answer: a 404 would send clients to the fallback tag. Manifests
// that some client listed there were pushed here like all others, so they are found.
func (h *front) getReferrers(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := h.allow(w, r, Access{t.repo, Pull}); err != nil {
		return err
	}
	q := r.URL.Query()
	// An unescaped "+" arrives as a space, which no media type contains.
	artifactType := strings.ReplaceAll(q.Get("artifactType"), " ", "+")
	var last digest.Digest
	if s := q.Get("last"); s != "" {
		var err error
		if last, err = parseDigest(s); err != nil {
			return err
		}
	}
	h.confirm(w, r)
	body, next, err := h.referrersPage(t, artifactType, last)
	if err != nil {
		return err
	}
	head := w.Header()
	if artifactType != "" {
		head["Oci-Filters-Applied"] = []string{"artifactType"}
	}
	if next != "" {
		values := url.Values{"last": {next.String()}}
		if artifactType != "" {
			values.Set("artifactType", artifactType)
		}
		head["Link"] = []string{"<" + r.URL.Path + "?" + values.Encode() + `>; rel="next"`}
	}
	return sendJSON(w, r, valueIndex, body)
}

// referrersPage makes one page's index: as many as fit by number and by bytes, and
// at least one. next is the last of the page when there are more.
func (h *front) referrersPage(t target, artifactType string, last digest.Digest) (
	body []byte, next digest.Digest, err error,
) {
	refs, more, err := h.meta.Referrers(t.repo, t.digest, artifactType, last, pageMax)
	if err != nil {
		return nil, "", err
	}
	body = append(body, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`...)
	for i, ref := range refs {
		b, err := json.Marshal(ref)
		if err != nil {
			return nil, "", fmt.Errorf("encode referrer %s: %w", ref.Digest, err)
		}
		if i > 0 {
			if len(body)+len(b) > pageBytesMax {
				more, refs = true, refs[:i]
				break
			}
			body = append(body, ',')
		}
		body = append(body, b...)
	}
	body = append(body, "]}\n"...)
	if more {
		next = refs[len(refs)-1].Digest
	}
	return body, next, nil
}
