// Package cluster runs several nodes of the real binary, each in a network
// namespace of its own, and takes from them what failing machines and networks
// take.
//
//	network.go  namespaces behind one bridge, and cuts between them
//	cluster.go  nodes that joined one another, started, killed, paused, wiped
//	chaos.go    a cluster that clients work while it breaks
//	worker.go   what the clients do, and what answers mean (upload.go: pushing blobs)
//	nemesis.go  the faults
//	books.go    what was acknowledged
//	history.go  what clients saw of tags, which must be linearizable
//	verdict.go  what is looked at in the end
//
// It needs root, ip and iptables, and the build tag cluster: make cluster, or make
// chaos for an hour. Delay and loss cannot be had from the kernels that this is
// tested on; what depends on them is tested inside of processes, beside the code.
package cluster
