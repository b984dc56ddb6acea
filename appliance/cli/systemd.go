package cli

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor is systemd, if it started this process and wants to hear from
// it: sd_notify(3). The zero value is nobody.
type supervisor struct {
	conn     *net.UnixConn // nil: nobody listens
	watchdog time.Duration // after so much silence it kills us; 0: never
}

func newSupervisor() (supervisor, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return supervisor{}, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // "@…" is abstract
	if err != nil {
		return supervisor{}, fmt.Errorf("connect to NOTIFY_SOCKET: %w", err)
	}
	s := supervisor{conn: conn}
	pid := os.Getenv("WATCHDOG_PID")
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 &&
		(pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s, nil
}

// tell sends one message of NAME=value lines. A supervisor that does not listen
// is no reason to stop working.
func (s supervisor) tell(format string, args ...any) {
	if s.conn != nil {
		_, _ = fmt.Fprintf(s.conn, format, args...)
	}
}

// reloading tells that a reload begins; READY=1 ends it.
func (s supervisor) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		s.tell("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond))
	}
}

func (s supervisor) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}
