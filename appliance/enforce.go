package appliance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
	"skerry.dev/skerry/tls"
)

const (
	// enforceEvery is how often it is looked whether objects, or what their conditions
	// are about, have changed by other ways than through this node.
	enforceEvery = 5 * time.Second
	// renderEvery is how often conditions are looked at though nothing is known to have
	// changed: certificates end by themselves.
	renderEvery = time.Minute
)

var errRemoved = errors.New("the registry is removed (managementState of config.imageregistry/cluster): " +
	"its data stays, and Managed brings it back")

// A rule is what the configuration objects come to, for the request path. It is
// immutable.
type rule struct {
	resource.Config
	reads, writes *limiter // nil: no limit
	hosts         []tls.Host
	hostsError    string // why hosts are not served; "" when they are
}

// enforce takes over what the objects say, and looks at what came of it.
func (a *Appliance) enforce(ctx context.Context) {
	a.enforcing.Lock()
	defer a.enforcing.Unlock()
	if a.takeOver(ctx) {
		a.observe(ctx)
	}
}

// takeOver makes a rule of what the objects say. What cannot be is told by their
// status, not here. The caller holds enforcing.
func (a *Appliance) takeOver(ctx context.Context) bool {
	c, err := a.inForce()
	if err != nil {
		a.log.WarnContext(ctx, "config.imageregistry is not readable: it stays as it was", "err", err)
		return false
	}
	hosts, _, err := a.routes(c.Routes)
	if err != nil {
		a.log.WarnContext(ctx, "routes are not readable: they stay as they were", "err", err)
		return false
	}
	before := a.rule.Load()
	next := &rule{Config: c, reads: newLimiter(c.Reads), writes: newLimiter(c.Writes), hosts: hosts}
	if before.Reads == c.Reads {
		next.reads = before.reads // with those who wait in it
	}
	if before.Writes == c.Writes {
		next.writes = before.writes
	}
	a.expose(ctx, before, next)
	a.rule.Store(next)
	if before.Spread != c.Spread && a.cluster.copies != nil {
		a.cluster.copies.Poke()
	}
	if before.Verbosity != c.Verbosity && a.cfg.Verbosity != nil {
		a.cfg.Verbosity(levelOf(c.Verbosity))
	}
	select {
	case a.reconsider <- struct{}{}:
	default: // it is told already
	}
	return true
}

// observe looks at the status of the objects, so that it is known since when it
// is what it is. The caller holds enforcing.
func (a *Appliance) observe(ctx context.Context) {
	for _, k := range resource.Kinds() {
		if !k.Single() {
			continue
		}
		r, err := a.object(k, resource.SingleName)
		if err == nil {
			_, err = a.withStatus(r, view{since: a.since.of})
		}
		if err != nil {
			a.log.WarnContext(ctx, "object has no status", "object", k.Short, "err", err)
		}
	}
	a.noteTransitions(ctx)
}

// objectLoop enforces what other nodes agreed on, and sees conditions change. To
// look whether it has to costs nearly nothing, to do it reads and renders objects.
func (a *Appliance) objectLoop(ctx context.Context) error {
	var seen circumstances
	for every(ctx, enforceEvery) {
		now := a.circumstances(time.Now())
		if v := a.verdict.Load(); now == seen && (v == nil || v.move == nil) { // else a storage is to be tried again
			continue
		}
		seen = now
		a.enforce(ctx)
	}
	return nil
}

// levelOf is the level that a verbosity asks for; nil is what the machine's own
// configuration says.
func levelOf(v resource.Verbosity) *slog.Level {
	level := slog.LevelDebug
	switch v {
	case resource.DebugLog:
	case resource.WarnLog:
		level = slog.LevelWarn
	default:
		return nil
	}
	return &level
}

// routes is what routes come to: hosts with certificates, and by its name what
// is wrong with each of the others.
func (a *Appliance) routes(routes []resource.Route) ([]tls.Host, map[string]string, error) {
	var hosts []tls.Host
	trouble := map[string]string{}
	for _, r := range routes {
		host, wrong, err := a.route(r)
		switch {
		case err != nil:
			return nil, nil, err
		case wrong != "":
			trouble[r.Name] = wrong
		case host.Cert != nil:
			hosts = append(hosts, host)
		}
	}
	return hosts, trouble, nil
}

// route is a host, what is wrong with it, or neither: the node's own certificate
// will do.
func (a *Appliance) route(r resource.Route) (host tls.Host, wrong string, err error) {
	switch {
	case r.Hostname == "":
		return host, "it has no hostname, and there is no router here that would give it one", nil
	case r.Secret == "":
		if !a.covered(r.Hostname) {
			wrong = "it has no secretName, and the node's own certificate does not name it: add it to name in skerry.yaml"
		}
		return host, wrong, nil
	}
	secret, err := a.secret(r.Secret)
	if errors.Is(err, meta.ErrNotFound) {
		return host, fmt.Sprintf("there is no Secret %s/%s", resource.SecretNamespace, r.Secret), nil
	}
	if err != nil {
		return host, "", err
	}
	host.Names = []string{r.Hostname}
	if host.Cert, host.Key, err = resource.RouteCertificate(secret, r.Hostname, time.Now()); err != nil {
		return host, err.Error(), nil
	}
	if a.tls == nil {
		return host, "the registry speaks plain HTTP: tls is off in skerry.yaml", nil
	}
	return host, "", nil
}

// covered reports whether a certificate that the node shows is for a host.
func (a *Appliance) covered(host string) bool {
	if a.tls == nil {
		return true // nobody looks at certificates
	}
	_, rest, _ := strings.Cut(host, ".")
	for _, c := range a.tls.Status().Shown {
		if slices.Contains(c.Names, host) || slices.Contains(c.Names, "*."+rest) {
			return true
		}
	}
	return false
}

// expose serves the hosts of routes with their own certificates, beside the
// node's.
func (a *Appliance) expose(ctx context.Context, before, next *rule) {
	if a.tls == nil || reflect.DeepEqual(before.hosts, next.hosts) {
		next.hostsError = before.hostsError
		return
	}
	warnings, err := a.tls.SetHosts(next.hosts)
	if err != nil {
		next.hostsError = err.Error()
		a.log.WarnContext(ctx, "certificates of routes are not served", "err", err)
	}
	for _, w := range warnings {
		a.log.WarnContext(ctx, "certificate of a route", "warning", w)
	}
}

// readOnly reports whether pushes and deletes are refused because somebody
// asked for it: the machine's configuration or the object.
func (a *Appliance) readOnly() bool { return a.config().ReadOnly || a.rule.Load().ReadOnly }

// served returns why no request is served, or nil. It reads memory only.
func (a *Appliance) served() error { return cmp.Or(a.notClosing(), a.notRemoved()) }

func (a *Appliance) notRemoved() error {
	if a.rule.Load().State == resource.Removed {
		return errRemoved
	}
	return nil
}
