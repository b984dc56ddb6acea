package registry

import (
	"net/http"
	"net/url"
	"strconv"
)

// getTags lists tags in bytewise order, which is one of the two the spec allows.
// Without n the page is the largest there is; Link tells that there is more.
func (h *front) getTags(w http.ResponseWriter, r *http.Request, t target) error {
	if _, err := h.allow(w, r, Access{t.repo, Pull}); err != nil {
		return err
	}
	p, err := parsePage(r.URL, pageMax)
	if err != nil {
		return err
	}
	h.confirm(w, r)
	tags, more, err := h.meta.Tags(t.repo, p.last, max(p.n, 1)) // also for n=0: is there such a repository?
	if err != nil {
		return err
	}
	if p.n == 0 {
		tags, more = nil, false
	}
	// Names and tags are valid, so no character of theirs has to be escaped.
	body := make([]byte, 0, 64+len(tags)*24)
	body = append(body, `{"name":"`...)
	body = append(body, t.repo...)
	body = append(body, `","tags":[`...)
	body = appendStrings(body, tags)
	body = append(body, "]}\n"...)
	if more {
		w.Header()["Link"] = []string{nextLink(r.URL.Path, p.n, string(tags[len(tags)-1]))}
	}
	return sendJSON(w, r, valueJSON, body)
}

// A page is what part of a list is asked for.
type page struct {
	n    int    // at most pageMax
	last string // everything after it
}

// parsePage reads n and last. More than pageMax is not refused but cut: Link says
// where to go on.
func parsePage(u *url.URL, n int) (page, error) {
	p := page{n: n}
	if u.RawQuery == "" {
		return p, nil
	}
	q := u.Query()
	p.last = q.Get("last")
	if s := q.Get("n"); s != "" {
		asked, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return p, &fault{
				status: http.StatusBadRequest, code: codeUnsupported, message: "n must be a number, 0 or more",
				detail: map[string]string{"n": s},
			}
		}
		p.n = int(min(asked, pageMax))
	}
	return p, nil
}

// nextLink is the Link header (RFC 8288) to the page after last.
func nextLink(path string, n int, last string) string {
	return "<" + path + "?last=" + url.QueryEscape(last) + "&n=" + strconv.Itoa(n) + `>; rel="next"`
}

// appendStrings appends a JSON list's elements that need no escaping.
func appendStrings[S ~string](b []byte, list []S) []byte {
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, s...)
		b = append(b, '"')
	}
	return b
}

// sendJSON sends a whole body.
func sendJSON(w http.ResponseWriter, r *http.Request, contentType []string, body []byte) error {
	head := w.Header()
	head["Content-Type"] = contentType
	head["Content-Length"] = []string{strconv.Itoa(len(body))}
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who went away misses nothing
	}
	return nil
}
