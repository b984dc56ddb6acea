// Package resource turns configuration objects in the types of Kubernetes and
// OpenShift into what the appliance works with, and back. It consists of pure
// functions: no client, no clock, no state.
//
// The objects are the ones that administrators of OpenShift know, field by
// field. Each field is either honoured or named by the object's status as not
// applicable here; none is silently ignored, and an unknown one is an error
// that names it.
package resource
