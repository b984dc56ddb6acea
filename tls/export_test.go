package tls

import (
	"context"
	cryptotls "crypto/tls"

	"github.com/caddyserver/certmagic"
)

// Look is one round of Run.
func (p *Public) Look(ctx context.Context) { p.look(ctx) }

// Guest is a Storage as certmagic sees it.
func Guest(s Storage) certmagic.Storage { return guestStorage{s} }

// Show is what a client is shown that asks for a name by these protocols.
func (p *Public) Show(name string, protocols ...string) (*cryptotls.Certificate, error) {
	return p.certificate(&cryptotls.ClientHelloInfo{ServerName: name, SupportedProtos: protocols})
}

// ReadGreeting is what a dial ends with.
var ReadGreeting = readGreeting
