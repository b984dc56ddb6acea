// Package tls is trust: certificates that look after themselves.
//
// [OpenPublic] keeps a certificate authority of our own in a directory, and
// under it a leaf for the names this node is reached by. Clients trust ca.crt
// once; the leaf may change under them as often as it likes. [Public.Listen]
// gives a listener that speaks TLS, for net/http to serve on; nobody else
// needs crypto/tls.
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
// Every file is written beside its place and renamed, those of the authority
// synced before: after a crash there is the old one or the new one. A damaged
// authority is an error, for it cannot be replaced without asking every client;
// a damaged leaf is replaced.
//
// The short word is ours; the guest is cryptotls.
package tls
