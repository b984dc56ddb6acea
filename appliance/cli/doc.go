// Package cli is the command line: one file for each family of commands, each
// a thin shell over [appliance] or over the control API of a running registry.
//
// Exit codes: 0 done; 1 it failed; 2 the command line makes no sense; 3 it was
// done and found something wrong (check, scrub, backup).
package cli
