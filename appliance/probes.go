package appliance

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"skerry.dev/skerry/blobstore"
)

// A check is one thing that a probe asks about; its error says what is wrong.
type check struct {
	name string
	err  func() error
}

// alive is what /livez asks: that there is an answer at all. What a restart
// could mend ends the process by itself.
func (a *Appliance) alive() []check {
	return []check{{"ping", func() error { return nil }}}
}

// readable is what pulls need, which is nobody else (I8).
func (a *Appliance) readable() []check {
	return append(a.alive(),
		check{"shutdown", a.notClosing},
		check{"management-state", a.notRemoved},
		check{"metadata", func() error { _, err := a.db.Stats(); return err }},
		check{"storage", func() error { _, err := a.blobs.Usage(); return err }},
	)
}

// writing is what pushes need: what pulls do, and more.
func (a *Appliance) writing() []check { return append(a.readable(), a.writingAlone()...) }

// writingAlone is what only pushes need. It reads memory only.
func (a *Appliance) writingAlone() []check {
	return []check{
		{"read-only", a.notReadOnly},
		{"disk", a.roomForUploads},
		{"object-store", a.storageTrouble},
		{"log", func() error { return a.node.Status().Trouble }},
	}
}

func (a *Appliance) notClosing() error {
	if !a.closing.Load() {
		return nil
	}
	select {
	case <-a.reopening:
		return errReopening
	default:
		return errClosing
	}
}

func (a *Appliance) notReadOnly() error {
	if a.readOnly() {
		return errReadOnly
	}
	return nil
}

func (a *Appliance) roomForUploads() error {
	if blobstore.Pressure(a.pressure.Load()) >= blobstore.High {
		return fmt.Errorf("%w: uploads are refused: delete images and run skerry gc, or make the disk larger",
			blobstore.ErrFull)
	}
	return nil
}

// pushable returns why a push as a whole would be refused now, or nil. It reads
// memory only.
func (a *Appliance) pushable() error {
	if err := a.served(); err != nil {
		return err
	}
	for _, c := range a.writingAlone() {
		if err := c.err(); err != nil {
			return err
		}
	}
	return nil
}

// healthy serves the probes, in the manner of Kubernetes' API server: "ok", or
// with ?verbose, and always when something is wrong, a line for each check.
// ?exclude=NAME, repeated, leaves checks out.
//
// /readyz tells that pulls are served, /readyz/writes that pushes are, too.
func (a *Appliance) healthy(w http.ResponseWriter, r *http.Request) {
	var checks []check
	switch r.URL.Path {
	case "/healthz", "/livez":
		checks = a.alive()
	case "/readyz":
		checks = a.readable()
	case "/readyz/writes":
		checks = a.writing()
	default:
		http.NotFound(w, r)
		return
	}
	q := r.URL.Query()
	list, ok := report(strings.TrimPrefix(r.URL.Path, "/"), checks, q["exclude"])
	head := w.Header()
	head.Set("Content-Type", "text/plain; charset=utf-8")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	switch {
	case !ok:
		w.WriteHeader(http.StatusServiceUnavailable)
	case !q.Has("verbose"):
		list = []byte("ok\n")
	}
	_, _ = w.Write(list) // a probe that went away misses nothing
}

// report runs the checks and tells of each.
func report(probe string, checks []check, exclude []string) (list []byte, ok bool) {
	var b bytes.Buffer
	ok = true
	for _, c := range checks {
		if slices.Contains(exclude, c.name) {
			fmt.Fprintf(&b, "[+]%s excluded: ok\n", c.name)
			continue
		}
		if err := c.err(); err != nil {
			ok = false
			fmt.Fprintf(&b, "[-]%s failed: %s\n", c.name, strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Fprintf(&b, "[+]%s ok\n", c.name)
	}
	for _, name := range exclude {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.name == name }) {
			fmt.Fprintf(&b, "warn: no check is called %q\n", name)
		}
	}
	verdict := "passed"
	if !ok {
		verdict = "failed"
	}
	fmt.Fprintf(&b, "%s check %s\n", probe, verdict)
	return b.Bytes(), ok
}
