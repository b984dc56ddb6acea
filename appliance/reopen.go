package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// ErrReopen is how Run ends when blobs are to be kept elsewhere from now on: Reopen
// goes on there.
var ErrReopen = errors.New("the storage of blobs has changed")

var errReopening = errors.New("the registry is reopening with another storage")

// letIn is how long a connection that was accepted has to bring its first request.
const letIn = 100 * time.Millisecond

// What listens.
const (
	publicSocket  = "public"
	acmeSocket    = "acme"
	metricsSocket = "metrics"
	controlSocket = "control"
)

// sockets are listening sockets by name, kept from one appliance to the next: clients
// that connect meanwhile wait, and the addresses stay.
type sockets map[string]*os.File

// A legacy is what an appliance that reopens leaves to its successor.
type legacy struct {
	next    *place // where blobs are to be
	sockets sockets
	started time.Time
}

// socket is a listening socket that is there already, or nil.
func (l *legacy) socket(name string) *os.File {
	if l == nil {
		return nil
	}
	return l.sockets[name]
}

func (s sockets) close() error {
	var errs []error
	for _, f := range s {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// listenAs opens a listener, or takes over what the appliance before had.
func (a *Appliance) listenAs(ctx context.Context, name, network, addr string) (l net.Listener, err error) {
	if f := a.cfg.from.socket(name); f != nil {
		l, err = net.FileListener(f)
	} else {
		l, err = new(net.ListenConfig).Listen(ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(true)
	}
	g := newGate(l)
	a.gates[name] = g
	return g, nil
}

// queue has who connects from now on wait for the successor, if there is to be one, and
// lets those in who came before.
func (a *Appliance) queue(ctx context.Context) {
	select {
	case <-a.reopening:
	default:
		return
	}
	for _, g := range a.gates {
		g.stop()
	}
	every(ctx, letIn)
	wait(ctx, func() bool { return a.traffic.running.Load() == 0 })
}

// prepareReopen has the sockets outlive a run that is about to end with [ErrReopen].
func (a *Appliance) prepareReopen(ctx context.Context, next place) error {
	kept := sockets{}
	for name, g := range a.gates {
		s, ok := g.Listener.(interface{ File() (*os.File, error) })
		if !ok {
			return errors.Join(fmt.Errorf("keep the %s socket: it is no file", name), kept.close())
		}
		f, err := s.File()
		if err != nil {
			return errors.Join(fmt.Errorf("keep the %s socket: %w", name, err), kept.close())
		}
		kept[name] = f
		if u, ok := g.Listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
	}
	a.log.InfoContext(ctx, "reopening with another storage", "from", a.place.location, "to", next.location)
	a.next, a.kept = &next, kept
	close(a.reopening)
	return nil
}

// Reopening is closed when Run is about to end with [ErrReopen].
func (a *Appliance) Reopening() <-chan struct{} { return a.reopening }

// Reopen closes a, whose Run ended with [ErrReopen], and opens its successor: the same
// node, as it was configured last, at the same addresses.
func (a *Appliance) Reopen(ctx context.Context) (*Appliance, error) {
	cfg, kept := a.config(), a.kept
	cfg.from = &legacy{a.next, kept, a.started}
	a.kept = nil
	a.noteTransitions(ctx)
	if err := a.Close(); err != nil {
		return nil, errors.Join(err, kept.close())
	}
	next, err := Open(ctx, cfg, a.log)
	if err != nil {
		return nil, errors.Join(err, kept.close())
	}
	if err := kept.close(); err != nil {
		return nil, errors.Join(err, next.Close())
	}
	return next, nil
}
