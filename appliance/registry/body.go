package registry

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// A body must bring so much in so long, or it is given up: no whole-body timeout
// would let a slow link push a large layer.
const (
	progressWindow = time.Minute
	progressBytes  = 60 << 10 // 1 KiB/s
)

// A body reads a request's body and gives up when it makes no progress. Its errors
// are *errBody, so that they can be told from those of the disk.
type body struct {
	from    io.Reader
	control *http.ResponseController // nil when the server has no deadlines (tests)
	got     int                      // bytes since the deadline was last moved
	moved   time.Time
}

// watch wraps r's body. The server lifts the deadline itself at the end of the body,
// and before the next request.
func watch(w http.ResponseWriter, r *http.Request) *body {
	b := &body{from: r.Body, control: http.NewResponseController(w)}
	b.extend(time.Now())
	return b
}

// extend gives the body another window.
func (b *body) extend(now time.Time) {
	if b.control == nil {
		return
	}
	b.got, b.moved = 0, now
	if err := b.control.SetReadDeadline(now.Add(progressWindow)); err != nil {
		b.control = nil
	}
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.got += n
	// Moving the deadline costs more than reading does; once a second is enough. Not at
	// the end: by then the server reads on, to see whether the client is still there, and
	// would take a timeout for its end.
	if err == nil && b.got >= progressBytes && b.control != nil {
		if now := time.Now(); now.Sub(b.moved) >= time.Second {
			b.extend(now)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, &errBody{err}
	}
	return n, err
}
