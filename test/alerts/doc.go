// Package alerts judges packaging/prometheus and packaging/grafana with
// promtool, Debian's: that the rules are valid,
// that each fires when it should and else does not, and that every query of the
// dashboard is one. "make alerts" brings promtool and runs the tests, which have
// the tag alerts.
//
// That the metrics they name exist is tested beside the code that exports them.
package alerts
