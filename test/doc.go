// Package test holds what no single package can check about itself: the import
// ladder, tidiness, and, in the packages below it, the running binary judged
// from outside.
//
//	skerry/       starts bin/skerry for a test, and stops, kills and restarts it
//	clients/      pushes and pulls with the clients that people use
//	conformance/  the OCI distribution specification, section by section
//	storage/      blobs in object stores, by the servers that can be had here
//	alerts/       alert rules and the dashboard, by promtool
//	crash/        kills the process at the worst instants and reopens it
//	bench/        the same work against Skerry and its peers
//	tally/        runs the stages of make test and counts
package test
