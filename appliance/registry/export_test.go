package registry

import (
	"context"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/meta"
)

// What the front takes a path for, to the tests.
const (
	KindUnknown   = kindUnknown
	KindBase      = kindBase
	KindCatalog   = kindCatalog
	KindTags      = kindTags
	KindManifest  = kindManifest
	KindBlob      = kindBlob
	KindUploads   = kindUploads
	KindUpload    = kindUpload
	KindReferrers = kindReferrers

	ProgressWindow = progressWindow
	ProgressBytes  = progressBytes
	PageBytesMax   = pageBytesMax
	SmallBytes     = smallBytes
)

// Target is target with its fields in sight.
type Target struct {
	Kind   kind
	Repo   meta.RepoName
	Ref    string
	Tag    meta.Tag
	Digest digest.Digest
	Upload string
}

// ParsePath is parsePath; status is that of its error.
func ParsePath(u *url.URL) (t Target, status int) {
	parsed, err := parsePath(u)
	if err != nil {
		return Target{}, translate(parsed, err).status
	}
	return Target{parsed.kind, parsed.repo, parsed.ref, parsed.tag, parsed.digest, parsed.upload}, 0
}

// Oracle is distribution's App with every route, over the same repository type.
func Oracle(ctx context.Context, cfg Config) (http.Handler, error) {
	h, err := Handler(ctx, cfg)
	if err != nil {
		return nil, err
	}
	app := h.(*front).app
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app.ServeHTTP(w, r.WithContext(withGrant(r.Context(), grant{actor: anonymous})))
	}), nil
}

// AppAlone is distribution's App as it is when the front did not ask anybody.
func AppAlone(ctx context.Context, cfg Config) (http.Handler, error) {
	h, err := Handler(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return h.(*front).app, nil
}

// Recorder is what handlers get to answer through instead of w.
func Recorder(w http.ResponseWriter) http.ResponseWriter { return NewMetrics().begin(w) }

// Counting counts a request that is answered with two bytes of a manifest.
func Counting() func(http.ResponseWriter, *http.Request) {
	m, body := NewMetrics(), []byte("{}")
	return func(w http.ResponseWriter, r *http.Request) {
		rec := m.begin(w)
		defer m.end(rec, r, kindManifest)
		_, _ = rec.Write(body)
	}
}
