package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/skerry/appliance/api"
)

// Limits of the HTTP servers. There is none on a whole body: a slow link may
// take its hours, as long as bytes keep coming.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	headerBytesMax = 64 << 10
)

// public is the handler of the public address.
func (a *Appliance) public() http.Handler {
	guard := api.Config{Operator: operator{a}, Admit: a.admit, Audit: a.controlEvent, Log: a.log}
	control, scrape := api.Handler(guard), api.Admitted(guard, a.metrics.handler(a.log))
	ruled := a.ruled(a.registry)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		switch {
		case path == "/v2" || strings.HasPrefix(path, "/v2/"):
			ruled.ServeHTTP(w, r)
		case path == "/token":
			a.authority.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/apis/"), strings.HasPrefix(path, "/api/"):
			control.ServeHTTP(w, r)
		case path == "/metrics":
			scrape.ServeHTTP(w, r)
		case path == "/ca.crt" && a.CA() != nil:
			w.Header().Set("Content-Type", "application/x-pem-file")
			_, _ = w.Write(a.CA())
		default:
			a.healthy(w, r)
		}
	})
}

// listenPublic opens the public address, where nobody is answered yet but other nodes:
// this one may need them for all that follows.
func (a *Appliance) listenPublic(ctx context.Context) (err error) {
	if a.publicListener, err = a.listenAs(ctx, publicSocket, "tcp", a.cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	a.addr = a.publicListener.Addr()
	return nil
}

// listen lets clients in at the public address, and opens that for ACME challenges, and
// the socket.
func (a *Appliance) listen(ctx context.Context) (err error) {
	if a.tls != nil {
		a.publicListener = a.tls.Wrap(a.publicListener)
	}
	if a.cfg.ACMEHTTP != "" {
		if a.acmeListener, err = a.listenAs(ctx, acmeSocket, "tcp", a.cfg.ACMEHTTP); err != nil {
			return fmt.Errorf("listen for ACME challenges: %w", err)
		}
	}
	if err := a.listenMetrics(ctx); err != nil {
		return err
	}

	path := a.dir.join(socketName)
	if a.cfg.from.socket(controlSocket) == nil { // else it is the one that is listened on
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove old socket: %w", err)
		}
	}
	// The directory is 0700, so nobody else gets between bind and chmod.
	if a.socketListener, err = a.listenAs(ctx, controlSocket, "unix", path); err != nil {
		return fmt.Errorf("listen on socket: %w", err)
	}
	return os.Chmod(path, 0o600)
}

// serve answers on all listeners until ctx ends, and then until running
// requests are done or the drain timeout is over.
func (a *Appliance) serve(ctx context.Context) error {
	public := a.server(a.counted(a.public()))
	local := a.server(api.Handler(api.Config{Operator: operator{a}, Admit: admitLocal, Audit: a.localEvent, Log: a.log}))
	stopScrapers := a.serveScrapers()
	g, ctx := errgroup.WithContext(ctx)
	listeners, servers := []net.Listener{a.publicListener, a.socketListener}, []*http.Server{public, local}
	if a.acmeListener != nil {
		listeners, servers = append(listeners, a.acmeListener), append(servers, a.server(a.tls.Challenge()))
	}
	for i, srv := range servers {
		l := listeners[i]
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		return a.drain(ctx, servers...)
	})
	return errors.Join(g.Wait(), stopScrapers())
}

func (a *Appliance) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}
