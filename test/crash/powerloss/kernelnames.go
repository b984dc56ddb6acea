//go:build crash

package powerloss

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// make adds a new node to a directory.
func (k *kernel) make(h *fuse.InHeader, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	dir := k.known[h.NodeId]
	if dir.folder.names[name] != nil {
		return fuse.Status(syscall.EEXIST)
	}
	n := k.newNode(mode, h.Owner)
	k.enter("create", dir, name, n)
	k.tell(n, out)
	return fuse.OK
}

// enter changes one name of a directory; nil takes it away.
func (k *kernel) enter(what string, dir *node, name string, n *node) {
	k.seq++
	k.history.add(what, dir.below(name), 0, 0)
	k.bind(dir, map[string]*node{name: n})
}

// Mkdir implements fuse.RawFileSystem.
func (k *kernel) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	return k.make(&in.InHeader, name, in.Mode&0o7777|syscall.S_IFDIR, out)
}

// Mknod implements fuse.RawFileSystem. It is how sockets come into being.
func (k *kernel) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	return k.make(&in.InHeader, name, in.Mode, out)
}

// Create implements fuse.RawFileSystem.
func (k *kernel) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	status := k.make(&in.InHeader, name, in.Mode&0o7777|syscall.S_IFREG, &out.EntryOut)
	return status
}

// Link implements fuse.RawFileSystem.
func (k *kernel) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	dir, n := k.known[in.NodeId], k.known[in.Oldnodeid]
	if dir.folder.names[name] != nil {
		return fuse.Status(syscall.EEXIST)
	}
	n.links++
	k.enter("link", dir, name, n)
	k.tell(n, out)
	return fuse.OK
}

// Unlink implements fuse.RawFileSystem.
func (k *kernel) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	dir := k.known[h.NodeId]
	n := dir.folder.names[name]
	if n == nil {
		return fuse.ENOENT
	}
	n.links--
	k.enter("unlink", dir, name, nil)
	return fuse.OK
}

// Rmdir implements fuse.RawFileSystem.
func (k *kernel) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	dir := k.known[h.NodeId]
	n := dir.folder.names[name]
	if n == nil {
		return fuse.ENOENT
	}
	if len(n.folder.names) > 0 {
		return fuse.Status(syscall.ENOTEMPTY)
	}
	k.enter("rmdir", dir, name, nil)
	return fuse.OK
}

// Rename implements fuse.RawFileSystem.
func (k *kernel) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	source, target := k.known[in.NodeId], k.known[in.Newdir]
	n, old := source.folder.names[from], target.folder.names[to]
	switch {
	case in.Flags&^unix.RENAME_NOREPLACE != 0:
		return fuse.EINVAL
	case n == nil:
		return fuse.ENOENT
	case old == n:
		return fuse.OK
	case old != nil && in.Flags != 0:
		return fuse.Status(syscall.EEXIST)
	case old != nil && old.folder != nil && len(old.folder.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	case old != nil:
		old.links--
	}
	k.seq++
	k.history.add("rename", n.path()+" to "+target.below(to), 0, 0)
	if source == target {
		k.bind(source, map[string]*node{from: nil, to: n})
		return fuse.OK
	}
	k.bind(source, map[string]*node{from: nil})
	k.bind(target, map[string]*node{to: n})
	return fuse.OK
}

// FsyncDir implements fuse.RawFileSystem.
func (k *kernel) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	k.sync(k.known[in.NodeId])
	return fuse.OK
}
