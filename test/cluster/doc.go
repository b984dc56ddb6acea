// Package cluster runs several nodes of the real binary, each in a network
// namespace of its own, and takes from them what failing machines and networks
// take.
//
//	network.go  namespaces behind one bridge, and cuts between them
//	cluster.go  nodes that joined one another, started, killed, paused, wiped
//
// It needs root, ip and iptables, and the build tag cluster: make cluster. Delay
// and loss cannot be had from the kernels that this is tested on; what depends on
// them is tested inside of processes, beside the code.
package cluster
