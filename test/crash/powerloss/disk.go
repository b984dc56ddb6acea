//go:build crash

package powerloss

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Options say what kind of disk it is. The zero value promises no more than
// POSIX, and keeps it.
type Options struct {
	// Journal makes each sync, of whatever, make all changes of directories
	// durable that went before, as ext4 does.
	Journal bool
	// Lie, if not nil, names the syncs that are answered and not done, by the
	// path below the mount point and by whether it is a directory.
	Lie func(path string, dir bool) bool
}

// A Disk is a file system in memory that knows what is durable. [Disk.Mount]
// shows it to programs. It is safe for concurrent use.
type Disk struct {
	options Options

	mu      sync.Mutex    // guards all that follows, and all nodes; held for one operation
	frozen  chan struct{} // closed when the power goes
	thawed  chan struct{} // closed when all who would notice are gone
	root    *node
	known   map[uint64]*node // that the kernel may ask for
	lists   map[uint64][]fuse.DirEntry
	lastID  uint64 // of a node or a list
	seq     uint64 // of the last change of a directory
	steps   int    // operations that changed or synced something
	last    int    // the step before which the power goes, or -1
	off     bool   // the power went
	history *history
	rand    *rand.Rand // chooses which of many versions to remember
}

// A node is a file, a directory or a socket.
type node struct {
	id      uint64
	mode    uint32
	owner   fuse.Owner
	links   uint32
	changed time.Time
	lookups uint64 // references of the kernel's

	content *content // of a file, else nil
	folder  *folder  // of a directory, else nil

	parent *node // where it was last seen, for its path
	name   string
}

// NewDisk returns an empty disk.
func NewDisk(o Options) *Disk {
	d := &Disk{
		options: o, frozen: make(chan struct{}), thawed: make(chan struct{}),
		known: map[uint64]*node{}, lists: map[uint64][]fuse.DirEntry{},
		last: -1, history: &history{}, rand: rand.New(rand.NewPCG(1, 1)),
	}
	d.root = d.newNode(syscall.S_IFDIR|0o755, fuse.Owner{})
	d.known[fuse.FUSE_ROOT_ID] = d.root
	return d
}

// Freeze cuts the power: no operation that has not begun will be answered,
// until Thaw.
func (d *Disk) Freeze() { d.FreezeAfter(0) }

// FreezeAfter cuts the power after n more operations that change or sync
// something, before the next operation of any kind.
func (d *Disk) FreezeAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = d.steps + n
	d.freezeLocked()
}

func (d *Disk) freezeLocked() {
	if d.off || d.last < 0 || d.steps < d.last {
		return
	}
	d.off = true
	close(d.frozen)
}

// Frozen is closed when the power is off.
func (d *Disk) Frozen() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.frozen
}

// Thaw answers all operations since Freeze with an error. Whoever could act on
// that has to be dead, or dying.
func (d *Disk) Thaw() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.thawed)
}

// Resume goes on after Thaw as if only the process had died, not the kernel,
// which remembers everything.
func (d *Disk) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off, d.last = false, -1
	d.frozen, d.thawed = make(chan struct{}), make(chan struct{})
}

// Steps counts the operations that changed or synced something.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// look begins an operation that changes nothing, and holds mu if it may go on.
func (d *Disk) look() bool {
	d.mu.Lock()
	if !d.off {
		return true
	}
	thawed := d.thawed
	d.mu.Unlock()
	<-thawed
	return false
}

// done ends an operation.
func (d *Disk) done() { d.mu.Unlock() }

// stepped ends an operation that changed or synced something.
func (d *Disk) stepped() {
	d.steps++
	d.freezeLocked()
	d.mu.Unlock()
}

func (d *Disk) newNode(mode uint32, owner fuse.Owner) *node {
	d.lastID++
	n := &node{id: d.lastID, mode: mode, owner: owner, links: 1, changed: time.Now()}
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		n.content = &content{}
	case syscall.S_IFDIR:
		n.folder = newFolder()
	}
	return n
}

// path is the way to n from the root.
func (n *node) path() string {
	if n.parent == nil {
		return n.name
	}
	return n.parent.below(n.name)
}

// below is the path of name in n.
func (n *node) below(name string) string {
	if n.parent == nil {
		return name
	}
	return n.path() + "/" + name
}

// bind makes changes of one directory.
func (d *Disk) bind(dir *node, set map[string]*node) {
	dir.folder.change(d.seq, set)
	dir.changed = time.Now()
	for name, n := range set {
		if n != nil {
			n.parent, n.name = dir, name
		}
	}
}

// sync makes n durable, unless it is to be a lie.
func (d *Disk) sync(n *node) {
	d.history.add("sync", n.path(), 0, 0)
	if d.options.Lie != nil && d.options.Lie(n.path(), n.folder != nil) {
		return
	}
	if n.content != nil {
		n.content.sync()
	}
	if n.folder != nil {
		n.folder.sync()
	}
	if d.options.Journal {
		d.root.commit()
	}
}

// commit syncs all directories that are, or were, below n.
func (n *node) commit() {
	below := map[*node]bool{}
	for _, names := range []map[string]*node{n.folder.synced, n.folder.names} {
		for _, c := range names {
			below[c] = c.folder != nil
		}
	}
	n.folder.sync()
	for c, dir := range below {
		if dir {
			c.commit()
		}
	}
}
