//go:build crash

package powerloss

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Cut returns the disk as the next start finds it. d is not changed.
func (d *Disk) Cut(f Fate, o Options) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &cutter{from: d, to: NewDisk(o), fate: f, last: all, made: map[*node]*node{}}
	if f.Journal || d.options.Journal {
		c.fate.Journal = true
		c.last = c.end()
	}
	c.fill(c.to.root, d.root)
	return c.to
}

// A cutter makes the disk that is left.
type cutter struct {
	from, to *Disk
	fate     Fate
	last     uint64          // of a journal, the last change that survives
	made     map[*node]*node // files, which may have several names
}

// end chooses where the journal ends.
func (c *cutter) end() uint64 {
	switch c.fate.Keep {
	case 0:
		return 0
	case 1:
		return all
	}
	first := c.from.seq + 1
	eachFolder(c.from.root, map[*node]bool{}, func(f *folder) {
		if len(f.unsynced) > 0 {
			first = min(first, f.unsynced[0].seq)
		}
	})
	return first - 1 + c.fate.Rand.Uint64N(c.from.seq+2-first)
}

// eachFolder visits each directory that may be found below n.
func eachFolder(n *node, seen map[*node]bool, visit func(*folder)) {
	if n == nil || n.folder == nil || seen[n] {
		return
	}
	seen[n] = true
	visit(n.folder)
	for _, child := range n.folder.synced {
		eachFolder(child, seen, visit)
	}
	for _, ch := range n.folder.unsynced {
		for _, child := range ch.set {
			eachFolder(child, seen, visit)
		}
	}
}

// fill puts into the directory to what survives of from.
func (c *cutter) fill(to, from *node) {
	names := from.folder.survivors(c.fate, c.last)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		child := c.copy(names[name])
		child.parent, child.name = to, name
		to.folder.names[name] = child
	}
	to.folder.sync()
}

func (c *cutter) copy(n *node) *node {
	if have := c.made[n]; have != nil {
		have.links++
		return have
	}
	m := c.to.newNode(n.mode, n.owner)
	m.changed = n.changed
	if n.folder != nil { // under two names, which a rename may leave, it is two
		c.fill(m, n)
		return m
	}
	c.made[n] = m
	if n.content != nil {
		m.content = n.content.survivor(c.fate)
	}
	return m
}

// Export writes what programs see into the directory dir, which is made.
func (d *Disk) Export(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return export(d.root, dir)
}

func export(n *node, path string) error {
	switch n.mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		if err := os.Mkdir(path, os.FileMode(n.mode&0o777)); err != nil {
			return err
		}
		for name, child := range n.folder.names {
			if err := export(child, filepath.Join(path, name)); err != nil {
				return err
			}
		}
		return nil
	case syscall.S_IFREG:
		b := make([]byte, n.content.size)
		n.content.read(b, 0)
		return os.WriteFile(path, b, os.FileMode(n.mode&0o777))
	default:
		return syscall.Mknod(path, n.mode, 0)
	}
}

// History tells the last operations, one on each line.
func (d *Disk) History() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.history.String()
}
