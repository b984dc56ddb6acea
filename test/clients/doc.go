// Package clients pushes and pulls with the programs that people use: skopeo,
// podman, buildah and containerd's ctr as Debian ships them, crane, regctl,
// helm and cosign as packaging/tools/clients pins them, and oras-go as a
// library. "make clients" brings them and runs the tests, which have the tag
// clients.
//
// Every test has a server, a home directory and trust of its own, logs in over
// TLS, and compares the digests of what went in with those of what comes out. A
// client that is not there fails its test.
package clients
