package appliance

import (
	"net/http"

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

// YAML renders JSON as YAML.
func YAML(doc []byte) ([]byte, error) { return resource.YAML(doc) }

// Identify reads which object a document in YAML or JSON is.
func Identify(doc []byte) (resource.Object, error) { return resource.Identify(doc) }
