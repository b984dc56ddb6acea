package tls

import (
	cryptotls "crypto/tls"
	"fmt"
	"slices"
	"strings"
)

// A Host is a further name of this server, with a certificate of its own.
type Host struct {
	// Names are what clients ask for; the first label may be "*", for exactly
	// one label. Empty means those in the certificate.
	Names []string
	// Cert and Key are PEM, Cert with the chain to its authority.
	Cert, Key []byte
}

// hosts are certificates by name. A nil *hosts has none.
type hosts struct {
	byName map[string]*cryptotls.Certificate
	shown  []*cryptotls.Certificate // each once, in the order given
}

// pick is the certificate for a name: of the name itself, or of the wildcard
// that covers it.
func (h *hosts) pick(name string) *cryptotls.Certificate {
	if h == nil || name == "" {
		return nil
	}
	if c := h.byName[name]; c != nil {
		return c
	}
	_, rest, _ := strings.Cut(name, ".")
	return h.byName["*."+rest]
}

// SetHosts replaces all further names at once, or none of them: an error says
// which host cannot be used and why. What can be used but will not please
// clients, because it expired or does not cover a name, is in the warnings.
func (p *Public) SetHosts(all []Host) (warnings []string, err error) {
	h := &hosts{byName: map[string]*cryptotls.Certificate{}}
	for i, host := range all {
		c, names, err := host.parse()
		if err != nil {
			return nil, fmt.Errorf("host %d %v: %w", i+1, host.Names, err)
		}
		for _, n := range names {
			if h.byName[n] != nil {
				return nil, fmt.Errorf("host %d: %s is the name of another host, too", i+1, n)
			}
			h.byName[n] = c
			if !covers(c, n) {
				warnings = append(warnings, fmt.Sprintf("%s: its certificate is for %s",
					n, strings.Join(certNames(c.Leaf), ", ")))
			}
		}
		if err := expired(c, p.now()); err != nil {
			warnings = append(warnings, fmt.Sprintf("%s: its certificate %v", strings.Join(names, ", "), err))
		}
		h.shown = append(h.shown, c)
	}
	p.hosts.Store(h)
	return warnings, nil
}

func (h Host) parse() (*cryptotls.Certificate, []string, error) {
	c, err := parsePair(h.Cert, h.Key)
	if err != nil {
		return nil, nil, err
	}
	names, err := normalize(h.Names)
	if len(names) == 0 && err == nil {
		names = certNames(c.Leaf)
	}
	if len(names) == 0 && err == nil {
		err = fmt.Errorf("it has no name, and neither has its certificate")
	}
	return c, names, err
}

// covers says whether clients that ask for a name accept the certificate for it.
func covers(c *cryptotls.Certificate, name string) bool {
	if strings.HasPrefix(name, "*.") {
		return slices.Contains(certNames(c.Leaf), name)
	}
	return c.Leaf.VerifyHostname(name) == nil
}
