package appliance

import (
	"context"
	"net/http"
	"path/filepath"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/tls"
)

// What the command line needs of the parts below, so that it knows only this
// package and the API.

// SocketName is where in the data directory the control API listens.
const SocketName = socketName

// ClientTransport speaks to a registry whose certificate caPEM signed; without
// one, to those that the system trusts.
func ClientTransport(caPEM []byte) (*http.Transport, error) { return tls.HTTPTransport(caPEM) }

// FetchCA asks the registry at an https URL for its CA's certificate, PEM,
// without trusting it: compare the [Fingerprint]. What answered is signed by it.
func FetchCA(ctx context.Context, base string) ([]byte, error) { return tls.FetchCA(ctx, base) }

// Fingerprint names a CA's certificate for people: sha256:….
func Fingerprint(caPEM []byte) (string, error) { return tls.Fingerprint(caPEM) }

// CAFile is where in the data directory the CA's certificate is for anybody to
// read.
func CAFile(data string) string { return filepath.Join(data, trustName, "ca.crt") }

// YAML renders JSON as YAML.
func YAML(doc []byte) ([]byte, error) { return resource.YAML(doc) }

// A Kind is a kind of configuration object.
type Kind = resource.Kind

// Kinds lists them.
func Kinds() []Kind { return resource.Kinds() }

// FindKind finds a kind by a word that people use for it.
func FindKind(word string) (Kind, error) { return resource.FindKind(word) }

// SplitObjects cuts a file into documents of one object each.
func SplitObjects(file []byte) ([][]byte, error) { return resource.Split(file) }

// Explain tells what a field of an object is, and what becomes of it here.
func Explain(path string) (string, error) { return resource.Explain(path) }
