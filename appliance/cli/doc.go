// Package cli is the command line: one file for each family of commands, each
// a thin shell over [appliance] or over the control API of a running registry.
//
// What can be set about the machine is one table, settings; flags, variables,
// skerry.yaml, reloads and the documentation follow from it through
// [setting.Table]. Nothing below this package reads files or variables of
// configuration, or hears signals.
//
// Exit codes: 0 done; 1 it failed, or the configuration is mistaken; 2 the command line makes no sense; 3 it was
// done and found something wrong (check, scrub, backup).
package cli
