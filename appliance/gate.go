package appliance

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A gate is a listener that can stop accepting without closing: who connects then waits
// in the queue of the socket, for the appliance that takes it over. A server that is
// shut down while it accepts drops the request that it has just read.
type gate struct {
	net.Listener
	shut, closed chan struct{}
	shutting     sync.Once
	closing      sync.Once
}

func newGate(l net.Listener) *gate {
	return &gate{Listener: l, shut: make(chan struct{}), closed: make(chan struct{})}
}

// Accept implements [net.Listener].
func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	select {
	case <-g.shut:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			<-g.closed
			return nil, net.ErrClosed
		}
	default:
	}
	return c, err
}

// stop ends accepting. Who was let in before is served.
func (g *gate) stop() {
	g.shutting.Do(func() {
		close(g.shut)
		if l, ok := g.Listener.(interface{ SetDeadline(time.Time) error }); ok {
			_ = l.SetDeadline(time.Unix(1, 0)) // fails only for one that is closed
		}
	})
}

// Close implements [net.Listener].
func (g *gate) Close() error {
	err := g.Listener.Close()
	g.closing.Do(func() { close(g.closed) })
	return err
}
