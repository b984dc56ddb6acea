package cli

import "runtime"

// heapFloor is added to what the process holds when the garbage collector decides
// how long it may wait. What a registry holds is a few megabytes, so the collector
// would run twenty times a second under load and take a fifth of the CPU.
const heapFloor = 16 << 20

// holdFloor takes the floor until its result is called. It is never touched, and
// so costs address space and no memory.
func holdFloor() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
