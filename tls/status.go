package tls

import (
	"cmp"
	cryptotls "crypto/tls"
	"maps"
	"slices"
	"time"
)

// A Status is how the certificates of a server are.
type Status struct {
	// Shown are the certificates that clients are shown, those of the server
	// itself last.
	Shown []Shown
	// Trouble is what is wrong beside them; "" if nothing is.
	Trouble string
}

// Shown is one certificate, or the want of one.
type Shown struct {
	From     string    // "own CA", "files", "acme" or "hosts"
	Names    []string  // of the certificate
	Issuer   string    // common name of who signed it
	NotAfter time.Time // zero: there is none yet, and the own authority's is shown
	Trouble  string    // what is wrong with it, or was when it was to be renewed
}

// Status tells how the certificates are.
func (p *Public) Status() Status {
	var s Status
	if h := p.hosts.Load(); h != nil {
		for _, c := range h.shown {
			s.Shown = append(s.Shown, p.shown("hosts", c, ""))
		}
	}
	if p.acme != nil {
		for _, name := range slices.Sorted(maps.Keys(p.acme.names)) {
			trouble := p.diary.of(partACME + name)
			if c := p.acme.names[name].cert.Load(); c != nil {
				s.Shown = append(s.Shown, p.shown("acme", c, trouble))
			} else {
				s.Shown = append(s.Shown, Shown{From: "acme", Names: []string{name}, Trouble: trouble})
			}
		}
	}
	if p.files != nil {
		s.Shown = append(s.Shown, p.shown("files", p.files.cert.Load(), p.diary.of(partFiles)))
	}
	if p.self != nil {
		s.Shown = append(s.Shown, p.shown("own CA", p.self.issued.Load().leaf, p.diary.of(partSelf)))
	}
	s.Trouble = cmp.Or(p.diary.of(partClients), p.diary.of(partACME))
	return s
}

// shown describes a certificate. Trouble that nobody told of is what the clock
// says about it.
func (p *Public) shown(from string, c *cryptotls.Certificate, trouble string) Shown {
	if trouble == "" {
		if err := expired(c, p.now()); err != nil {
			trouble = err.Error()
		} else if p.now().Before(c.Leaf.NotBefore) {
			trouble = "not valid before " + c.Leaf.NotBefore.UTC().Format(time.RFC3339) + ": is the clock right?"
		}
	}
	return Shown{
		From: from, Names: certNames(c.Leaf), Issuer: c.Leaf.Issuer.CommonName, NotAfter: c.Leaf.NotAfter, Trouble: trouble,
	}
}
