package appliance

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What stands where in the data directory.
const (
	lockName       = "lock"             // held by the process that uses the directory
	conditionsName = "conditions"       // since when conditions are what they are
	nodeIDName     = "node-id"          // who this disk is
	passwordName   = "admin-password"   // of the account made at the first start
	memberName     = "member"           // of which cluster, if others founded it
	scrubName      = "scrub"            // how far the slow scrub came
	socketName     = "skerry.sock"      // the control API for whoever owns the directory
	storageName    = "storage"          // blobstore
	locationName   = "storage-location" // where the blobs are, if not here
	metaName       = "meta"             // meta
	raftName       = "raft"             // raft
	tlsName        = "tls"              // tls
	trustName      = "trust"            // the CA's certificate, for clients on this machine
)

// A dataDir is a data directory in use by this process, and by no other.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir creates the directory when absent and takes its lock. The lock
// ends with the process, however it ends.
func openDataDir(path string) (*dataDir, error) {
	if err := makeDir(path); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder) // the number only helps the reader of the message
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{Dir: path, PID: strings.TrimSpace(string(holder[:n]))}
		}
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid()) // for InUseError only
	}
	return &dataDir{path: path, lock: f}, nil
}

// An InUseError says that another process works in the data directory.
type InUseError struct{ Dir, PID string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("data directory %s is in use by process %s: stop it first, or give another --data", e.Dir, e.PID)
}

func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

func (d *dataDir) close() error { return d.lock.Close() }

// nodeID returns who this disk is: the node's name when the directory was made
// and 130 random bits. It stays when the name changes, and a new disk never has
// an old identity, so that raft cannot take one for the other.
func (d *dataDir) nodeID(node string) (string, error) {
	b, err := os.ReadFile(d.join(nodeIDName))
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read node id: %w", err)
	}
	id := node + "." + strings.ToLower(rand.Text())
	return id, d.write(nodeIDName, id+"\n")
}

// write puts a small private file in place, durably and all or nothing.
func (d *dataDir) write(name, content string) error {
	temp := d.join(name + ".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, d.join(name))
	}
	if err == nil {
		err = syncDir(d.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// publish keeps a copy of content, which is no secret, in a directory of its
// own. It is made again whenever it is not the same.
func (d *dataDir) publish(dir, name string, content []byte) error {
	path := filepath.Join(d.join(dir), name)
	if have, err := os.ReadFile(path); err == nil && string(have) == string(content) {
		return nil
	}
	if err := os.MkdirAll(d.join(dir), 0o755); err != nil {
		return fmt.Errorf("publish %s: %w", name, err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // meant to be read
		return fmt.Errorf("publish %s: %w", name, err)
	}
	return nil
}

// makeDir makes a directory, and what leads to it, where absent. Their names outlive
// a power cut: what is kept in them would be lost with them.
func makeDir(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err == nil {
		return syncDir(filepath.Dir(path))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(path, 0o700) // no error when it is there
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return makeDir(path)
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
