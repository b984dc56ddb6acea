// Package tls is trust: certificates that look after themselves.
//
// [OpenPublic] knows which certificate each client is shown, and [Public.Listen]
// gives a listener that speaks TLS, for net/http to serve on; nobody else needs
// crypto/tls. Where the certificates come from:
//
//	own CA   self.go, authority.go, leaf.go: an authority in a directory, and a
//	         leaf under it for the names this node is reached by
//	files    pair.go: a pair that somebody else renews
//	ACME     acme.go, renew.go, guest.go, storage.go: for each host name one from
//	         an ACME server, by certmagic; the own CA's where there is none
//	hosts    hosts.go: further names with certificates of their own, in front of
//	         all of these
//
// [Public.Run] renews and reads again what is due, every minute. What goes wrong
// is logged once and stands in [Public.Status]; what was good stays in use.
//
// Clients trust ca.crt once; the leaf may change under them as often as it likes.
//
//	ca.key    the authority's key, 0600. Whoever has it can be any server to
//	          the clients that trust ca.crt: back it up, keep it secret
//	ca.crt    its certificate, for clients
//	leaf.pem  certificate and key of this server, 0600, in one file so that
//	          they cannot disagree; made anew whenever it is lost
//
// The leaf lives for 90 days and is replaced after 60, when a name is missing,
// when it is not signed by the authority, and when the clock stands outside of
// its validity, which happens on machines whose clock was wrong before. None of
// that interrupts a connection or needs a restart.
//
// Between nodes there is another trust, [Peers], which needs nothing but the
// authority's files and is opened before anything else; each node has them all,
// and signs its own certificate:
//
//	peers.go     which cluster this is; passport.go: who a node says it is
//	door.go      one port for all: the protocol that ALPN names says whether a
//	             client or a node is coming; arrival.go: who serves it then
//	dial.go      the way out, and that of a node that wants to join; install.go:
//	             what it does with the authority that it is given
//	refusal.go   what is said of those who are not let in
//
// Every file is written beside its place and renamed, those of the authority
// synced before: after a crash there is the old one or the new one. A damaged
// authority is an error, for it cannot be replaced without asking every client;
// a damaged leaf is replaced.
//
// The package does not know what certificates from an ACME server rest in: that
// is a [Storage], given by whoever has one. The short word is ours; the guests
// are cryptotls and certmagic, of which the latter keeps some state of the
// process (challenges under way, its rate limit), but none of its defaults.
package tls
