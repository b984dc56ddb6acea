package registry

import (
	"net/http"

	"skerry.dev/skerry/meta"
)

// getCatalog lists repositories that hold a manifest. Who may see the catalog sees
// all of it.
func (h *front) getCatalog(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.allow(w, r, Access{"", Catalog}); err != nil {
		return err
	}
	p, err := parsePage(r.URL, pageDefault)
	if err != nil {
		return err
	}
	var names []meta.RepoName
	more := false
	if p.n > 0 {
		if names, more, err = h.meta.Repositories(p.last, p.n); err != nil {
			return err
		}
	}
	body := make([]byte, 0, 32+len(names)*32)
	body = append(body, `{"repositories":[`...)
	body = appendStrings(body, names)
	body = append(body, "]}\n"...)
	if more {
		w.Header()["Link"] = []string{nextLink(r.URL.Path, p.n, string(names[len(names)-1]))}
	}
	return sendJSON(w, r, valueJSON, body)
}
