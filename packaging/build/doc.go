// Command build makes what people install: packages for Debian and RPM systems,
// and an image of nothing but the binary, each for amd64 and arm64.
//
//	build -root ../.. -out ../../dist packages   skerry_VERSION_ARCH.deb and .rpm, SHA256SUMS
//	build -root ../.. -out ../../dist image      an OCI layout in the directory image
//
// It needs neither root nor a daemon, and makes the same bytes from the same
// sources: nothing in them tells when or where they were made but the time of
// the commit.
//
// It is a module of its own, so that what it needs is no dependency of the
// registry.
package main
