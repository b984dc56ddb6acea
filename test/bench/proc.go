package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time, user and system, that process pid has used, threads
// that are gone included.
//
// It reads the process's CPU clock, the kernel's sum_exec_runtime, in nanoseconds.
// /proc/PID/stat shows the same sum cut to ticks of 10 ms, /proc/PID/schedstat that of
// the first thread only, and adding up /proc/PID/task forgets the threads that ended.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED; the clock's id is ~pid above three bits of kind
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("read CPU clock of %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// resetPeak makes the peak of process pid's resident memory what it is now.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peak returns the most memory process pid had resident since resetPeak, in bytes.
func peak(pid int) (int64, error) { return procField(pid, "status", "VmHWM:") }

// resident returns the memory process pid has resident now, in bytes. Pages of a
// mapped database are among it.
func resident(pid int) (int64, error) { return procField(pid, "status", "VmRSS:") }

// written returns the bytes process pid made the kernel write to a disk, so far. What
// was dirtied and not yet written back counts too.
func written(pid int) (int64, error) { return procField(pid, "io", "write_bytes:") }

// procField returns the number after key in /proc/PID/file, kB turned into bytes.
func procField(pid int, file, key string) (int64, error) {
	path := fmt.Sprintf("/proc/%d/%s", pid, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != key {
			continue
		}
		n, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if len(fields) == 3 {
			n *= 1024
		}
		return n, err
	}
	return 0, fmt.Errorf("read %s: no %s", path, key)
}

// traced reports whether all threads of process pid have a tracer.
func traced(pid int) (bool, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return false, err
		}
		if tracer, err := procField(tid, "status", "TracerPid:"); err != nil || tracer == 0 {
			return false, nil // this thread not yet, or it has just ended
		}
	}
	return true, nil
}
