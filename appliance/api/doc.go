// Package api is the control surface: what an administrator asks a running
// registry to tell or to do, as JSON over HTTP under /apis/.
//
// It has two halves that share their types: [Handler] serves an [Operator],
// and [Client] speaks to a served one. The same handler answers on the public
// address, where the caller must be an administrator, and on a socket in the
// data directory, which only the data's owner can open.
//
// Everything here is a thin shell: what an operation does is the Operator's
// business. Long operations answer with one JSON object a line, progress
// first, the result last.
package api
