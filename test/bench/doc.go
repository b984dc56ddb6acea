// Command bench runs the same work against Skerry and against distribution's own
// registry, in one run, and prints what each request cost either of them.
//
// Both servers are up at the same time and take turns, slice by slice, so that what
// else the machine does meets both. The figure that counts is server CPU per
// operation: it repeats within a few per cent where wall time repeats within twenty.
// README.md says what is compared, what is not, and how to read the table.
//
// It is a program and not a test: it asserts no figure, needs a quiet machine and
// takes minutes. It knows both servers only from outside, by HTTP and /proc.
package main
