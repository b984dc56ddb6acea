package tls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

var (
	errNoCertificate = errors.New("it showed no certificate")
	errNoProtocol    = errors.New("it asked for no protocol of nodes, and here are no others")
)

// explain says in words that help what is wrong with the certificate of another
// node; other errors are left as they are.
func explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return fmt.Errorf("its certificate is of another cluster's authority: %w: %w", ErrOtherCluster, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("its certificate is not valid now, is a clock wrong? %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("%w: %w", errNoServer, err)
	case strings.Contains(err.Error(), "didn't provide a certificate"): // it has no type
		return fmt.Errorf("%w: %w", errNoCertificate, err)
	}
	return err
}

const (
	tellEvery   = time.Minute
	tellOfAtAll = 64 // different things
)

// refusals tells the log what strangers do, and not as often as they like.
type refusals struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex // guards what follows; held for one look
	told map[string]time.Time
	more int // not told since
}

func newRefusals(log *slog.Logger, now func() time.Time) *refusals {
	return &refusals{log: log, now: now, told: map[string]time.Time{}}
}

// refuse tells that somebody was not let in: of the same one once a minute.
func (r *refusals) refuse(protocol, server string, from net.Addr, err error) {
	host, _, splitErr := net.SplitHostPort(from.String())
	if splitErr != nil {
		host = from.String()
	}
	if more, ok := r.tell(strings.Join([]string{protocol, server, host}, " ")); ok {
		r.log.Warn("node refused", "protocol", protocol, "server", server, "remote", from.String(),
			"err", err, "not_told", more)
	}
}

// tell says whether to warn of something, or that was done a moment ago; and
// how much was not told since the last warning.
func (r *refusals) tell(key string) (more int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for k, at := range r.told {
		if since := now.Sub(at); since < 0 || since >= tellEvery { // or the clock was set back
			delete(r.told, k)
		}
	}
	if _, told := r.told[key]; told || len(r.told) >= tellOfAtAll {
		r.more++
		return 0, false
	}
	r.told[key] = now
	more, r.more = r.more, 0
	return more, true
}
