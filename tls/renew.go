package tls

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"
)

// How long an ACME server is left alone after it failed: at first a moment, then
// three times as long each time. Five failures in the first hour, and one in
// twelve minutes, are what Let's Encrypt allows.
const (
	retryFirst = 10 * time.Second
	retryMax   = time.Hour
	retryClock = 24 * time.Hour // when asking cannot help
	obtainFor  = 5 * time.Minute
	shortPause = time.Second
)

// run keeps every name's certificate fresh until ctx ends.
func (a *acme) run(ctx context.Context) {
	g, err := newGuest(a, a.listener())
	if err != nil {
		a.diary.note(ctx, partACME, err)
		return
	}
	defer g.stop()
	a.guest.Store(g)
	defer a.guest.Store(nil)
	for {
		for _, name := range slices.Sorted(maps.Keys(a.names)) {
			if n := a.names[name]; ctx.Err() == nil && a.due(n) && !a.now().Before(n.next) {
				a.tend(ctx, g, n)
			}
		}
		timer := time.NewTimer(a.pause())
		select {
		case <-timer.C:
		case <-a.kick:
			for _, n := range a.names {
				n.next, n.wait = time.Time{}, 0
			}
		case <-ctx.Done():
			return
		}
		timer.Stop()
	}
}

// listener is where the challenges are answered.
func (a *acme) listener() string {
	if a.cfg.HTTP != "" {
		return a.cfg.HTTP
	}
	if public := a.public.Load(); public != nil {
		return *public
	}
	return ""
}

// due says whether a name wants a certificate, or a new one.
func (a *acme) due(n *acmeName) bool {
	c := n.cert.Load()
	return c == nil || renewable(c.Leaf, a.now())
}

// renewable says whether a third of a certificate's life, or less, is left: the
// guest's own rule. A clock that was set back makes none due.
func renewable(c *x509.Certificate, now time.Time) bool { return now.After(renewAt(c)) }

func renewAt(c *x509.Certificate) time.Time {
	end := c.NotAfter.Truncate(time.Second).Add(time.Second)
	return end.Add(-end.Sub(c.NotBefore) / 3)
}

// pause is how long there is nothing to do; a minute at most, for clocks jump.
func (a *acme) pause() time.Duration {
	now, pause := a.now(), checkEvery
	for _, n := range a.names {
		at := n.next
		if c := n.cert.Load(); c != nil && renewAt(c.Leaf).After(at) {
			at = renewAt(c.Leaf)
		}
		pause = min(pause, at.Sub(now))
	}
	return max(pause, shortPause)
}

// tend has a certificate issued, or says why there is none.
func (a *acme) tend(ctx context.Context, g *guest, n *acmeName) {
	err := a.obtain(ctx, g, n)
	if ctx.Err() != nil {
		return // the end of this process says nothing about the server
	}
	a.diary.note(ctx, partACME+n.name, err)
	if err == nil {
		n.next, n.wait = time.Time{}, 0
		return
	}
	n.wait = min(max(3*n.wait, retryFirst), retryMax)
	if n.clockWrong.Load() {
		n.wait = retryClock
	}
	n.next = a.now().Add(n.wait)
}

// obtain gets a certificate and shows it.
func (a *acme) obtain(ctx context.Context, g *guest, n *acmeName) error {
	ctx, cancel := context.WithTimeout(ctx, obtainFor)
	defer cancel()
	c, err := g.obtain(ctx, n.name)
	if err != nil {
		return err
	}
	old := n.cert.Swap(c)
	now := a.now()
	n.clockWrong.Store(expired(c, now) != nil)
	if n.clockWrong.Load() {
		return fmt.Errorf("the certificate just issued ended on %s: the clock of this machine (%s) is wrong, set it",
			c.Leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if old == nil || !old.Leaf.Equal(c.Leaf) {
		a.log.InfoContext(ctx, "certificate obtained", "name", n.name,
			"issuer", c.Leaf.Issuer.CommonName, "not_after", c.Leaf.NotAfter)
	}
	return nil
}
