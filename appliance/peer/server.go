package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Server returns an HTTP server for h, a [Handler], on connections that tell of
// themselves by a method Peer() (protocol, server string).
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           paced(h),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerMax,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if p, ok := c.(interface {
				Peer() (protocol, server string)
			}); ok {
				var id identity
				id.protocol, id.server = p.Peer()
				return context.WithValue(ctx, identityKey{}, id)
			}
			return ctx // the handler refuses it
		},
	}
}

// An identity is who is at the other end of a connection.
type identity struct{ protocol, server string }

type identityKey struct{}

func identityOf(r *http.Request) identity {
	id, _ := r.Context().Value(identityKey{}).(identity)
	return id
}

// paced serves h, and cuts off who brings or takes no byte for too long. A
// deadline for the whole of it would cut off large blobs on slow links.
func paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, pathPublic+"/") {
			// A client may be as slow through another node as it may be here.
			h.ServeHTTP(w, r)
			return
		}
		// What does not know deadlines, in tests, has none: hence the errors that
		// are let go. The server lifts those that were set when a request is over.
		rc := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &pacedReader{ReadCloser: r.Body, rc: rc}
		}
		// What is still in buffers when h is done is written after that.
		defer func() { _ = rc.SetWriteDeadline(time.Now().Add(stallMax)) }()
		h.ServeHTTP(&pacedWriter{w, rc}, r)
	})
}

type pacedReader struct {
	io.ReadCloser
	rc  *http.ResponseController
	end time.Time // of the whole body; zero: there is none
}

// Read implements io.Reader. After the last byte the server lifts the deadline:
// it goes on reading, to learn of a client that goes away.
func (p *pacedReader) Read(b []byte) (int, error) {
	at := time.Now().Add(stallMax)
	if !p.end.IsZero() && p.end.Before(at) {
		at = p.end
	}
	_ = p.rc.SetReadDeadline(at)
	n, err := p.ReadCloser.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errors.Join(ErrStalled, err)
	}
	return n, err
}

type pacedWriter struct {
	http.ResponseWriter
	rc *http.ResponseController
}

// Write implements io.Writer.
func (p *pacedWriter) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(stallMax))
	return p.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (p *pacedWriter) Flush() {
	_ = p.rc.SetWriteDeadline(time.Now().Add(stallMax))
	_ = p.rc.Flush() // what fails, fails again at the next write
}

// Unwrap is for http.ResponseController.
func (p *pacedWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
