// Package powerloss pulls the plug on the real binary.
package powerloss
