// Package acme has certificates issued to bin/skerry by a real ACME server,
// Debian's pebble, by both challenges, and takes that server away.
//
// Its tests need pebble and pebble-challtestsrv, and run with the tag acme:
// make acme. Everything listens on loopback; the names exist only for a DNS
// server that pebble alone asks.
package acme
