package registry

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// A recorder passes an answer on and keeps its status and length. It hides
// nothing of what it wraps: the kernel still copies files ([io.ReaderFrom]),
// and deadlines are still set, through Unwrap.
type recorder struct {
	http.ResponseWriter
	begun  time.Time
	status int // 0 until a header is written
	sent   int64
}

// recorders saves the allocation of one for each request.
//
//nolint:gochecknoglobals // a pool has no state that anybody could see
var recorders = sync.Pool{New: func() any { return new(recorder) }}

var (
	_ io.ReaderFrom   = (*recorder)(nil)
	_ io.StringWriter = (*recorder)(nil)
	_ http.Flusher    = (*recorder)(nil)
)

// WriteHeader implements http.ResponseWriter. Informational answers are not
// the answer.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.wrote(int64(n))
	return n, err
}

// WriteString implements io.StringWriter.
func (r *recorder) WriteString(s string) (int, error) {
	n, err := io.WriteString(r.ResponseWriter, s)
	r.wrote(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom: with what it wraps, which hands files to
// the kernel, or else in large pieces.
func (r *recorder) ReadFrom(src io.Reader) (n int64, err error) {
	if kernel, ok := r.ResponseWriter.(io.ReaderFrom); ok {
		n, err = kernel.ReadFrom(src)
	} else {
		buf := buffers.Get().(*[copyBytes]byte)
		defer buffers.Put(buf)
		n, err = io.CopyBuffer(onlyWriter{r.ResponseWriter}, onlyReader{src}, buf[:])
	}
	r.wrote(n)
	return n, err
}

// Flush implements http.Flusher, where what it wraps can.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap is how http.ResponseController finds what it needs.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) wrote(n int64) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.sent += n
}

// code is the status of the answer. A handler that wrote none means 200, unless
// the client had gone.
func (r *recorder) code(req *http.Request) int {
	switch {
	case r.status != 0:
		return r.status
	case req.Context().Err() != nil:
		return statusClientGone
	}
	return http.StatusOK
}
