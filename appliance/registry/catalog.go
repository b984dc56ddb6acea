package registry

import (
	"errors"
	"net/http"

	"skerry.dev/skerry/meta"
)

// getCatalog lists repositories that hold a manifest and that the caller may see.
func (h *front) getCatalog(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.allow(w, r, Access{"", Catalog}); err != nil {
		return err
	}
	p, err := parsePage(r.URL, pageDefault)
	if err != nil {
		return err
	}
	h.confirm(w, r)
	var names []meta.RepoName
	more := false
	if p.n > 0 {
		if names, more, err = h.visible(r, p); err != nil {
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

// visible fills a page with names that the caller may see. That there is more is
// said only of names like that: a link must not tell of others.
func (h *front) visible(r *http.Request, p page) (names []meta.RepoName, more bool, err error) {
	if h.auth == nil {
		return h.meta.Repositories(p.last, p.n)
	}
	for last, n := p.last, p.n+1; ; n = pageMax { // mostly all are visible
		all, rest, err := h.meta.Repositories(last, n)
		if err != nil {
			return nil, false, err
		}
		for _, name := range all {
			_, err := h.allow(discard{}, r, Access{name, Catalog})
			switch {
			case errors.Is(err, ErrDenied), errors.Is(err, ErrUnauthorized):
			case err != nil:
				return nil, false, err
			case len(names) == p.n:
				return names, true, nil
			default:
				names = append(names, name)
			}
		}
		if !rest || r.Context().Err() != nil {
			return names, false, r.Context().Err()
		}
		last = string(all[len(all)-1])
	}
}
