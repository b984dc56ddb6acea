package appliance_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeS3 does what the registry asks of S3 for small blobs. Its buckets are those
// that it is asked for; the access key is "good".
type fakeS3 struct {
	url string

	mu      sync.Mutex
	objects map[string][]byte // guarded by mu: by bucket and key
	closed  bool              // guarded by mu
}

func openS3(t *testing.T) *fakeS3 {
	t.Helper()
	s := &fakeS3{objects: map[string][]byte{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// blobs are the keys of the blobs in a bucket.
func (s *fakeS3) blobs(bucket string) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.objects {
		if strings.HasPrefix(key, bucket+"/blobs/") {
			keys = append(keys, key)
		}
	}
	return keys
}

func (s *fakeS3) setClosed(closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = closed
}

func (s *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/")
	content, ok := s.objects[key]
	fail := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
	}
	switch {
	case s.closed:
		fail(http.StatusForbidden, "AccessDenied")
	case !strings.Contains(r.Header.Get("Authorization")+r.URL.RawQuery, "Credential=good"):
		fail(http.StatusForbidden, "InvalidAccessKeyId")
	case r.URL.Query().Has("list-type"):
		s.list(w, key, r.URL.Query().Get("prefix"))
	case r.URL.Query().Has("uploads"):
		_, _ = io.WriteString(w, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
	case r.Method == http.MethodPut:
		s.objects[key], _ = io.ReadAll(r.Body)
		w.Header().Set("ETag", `"x"`)
	case !ok:
		fail(http.StatusNotFound, "NoSuchKey")
	default:
		http.ServeContent(w, r, "", time.Unix(1, 0), strings.NewReader(string(content)))
	}
}

func (s *fakeS3) list(w io.Writer, bucket, prefix string) {
	var keys []string
	for key := range s.objects {
		if rest, ok := strings.CutPrefix(key, bucket+"/"); ok && strings.HasPrefix(rest, prefix) {
			keys = append(keys, rest)
		}
	}
	slices.Sort(keys)
	_, _ = io.WriteString(w, "<ListBucketResult>")
	for _, key := range keys {
		_, _ = fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>%d</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"+
			"</Contents>", key, len(s.objects[bucket+"/"+key]))
	}
	_, _ = fmt.Fprintf(w, "<KeyCount>%d</KeyCount></ListBucketResult>", len(keys))
}
