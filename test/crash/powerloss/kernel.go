//go:build crash

package powerloss

import (
	"cmp"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// believed is how long the kernel may believe what it was told: nobody else
// changes anything.
const believed = time.Hour

// A kernel answers the kernel's questions about a disk. What it does not
// implement the kernel does itself (locks) or does without.
type kernel struct {
	fuse.RawFileSystem
	*Disk
}

// String implements fuse.RawFileSystem.
func (k *kernel) String() string { return "powerloss" }

// SetDebug implements fuse.RawFileSystem.
func (k *kernel) SetDebug(bool) {}

// StatFs implements fuse.RawFileSystem: a disk of 64 GiB with a quarter in use.
func (k *kernel) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const blocks = 64 << 30 / pageSize
	*out = fuse.StatfsOut{
		Blocks: blocks, Bfree: blocks / 4 * 3, Bavail: blocks / 4 * 3,
		Files: 1 << 24, Ffree: 1 << 23, Bsize: pageSize, Frsize: pageSize, NameLen: 255,
	}
	return fuse.OK
}

// Lookup implements fuse.RawFileSystem.
func (k *kernel) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.done()
	n := k.known[h.NodeId].folder.names[name]
	if n == nil {
		return fuse.ENOENT
	}
	k.tell(n, out)
	return fuse.OK
}

// Forget implements fuse.RawFileSystem.
func (k *kernel) Forget(id, lookups uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.known[id]
	if n == nil || n == k.root {
		return
	}
	n.lookups -= min(n.lookups, lookups)
	if n.lookups == 0 {
		delete(k.known, id)
	}
}

// tell describes n to the kernel, which from then on may ask for it.
func (k *kernel) tell(n *node, out *fuse.EntryOut) {
	n.lookups++
	k.known[n.id] = n
	out.NodeId, out.Generation = n.id, 1
	out.SetEntryTimeout(believed)
	out.SetAttrTimeout(believed)
	n.attr(&out.Attr)
}

func (n *node) attr(a *fuse.Attr) {
	*a = fuse.Attr{Ino: n.id, Mode: n.mode, Nlink: n.links, Owner: n.owner, Blksize: pageSize}
	a.SetTimes(&n.changed, &n.changed, &n.changed)
	if n.content != nil {
		a.Size = uint64(n.content.size)
		a.Blocks = uint64(max(n.content.size, n.content.reserved)+sectorSize-1) / sectorSize
	}
}

// GetAttr implements fuse.RawFileSystem.
func (k *kernel) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.done()
	out.SetTimeout(believed)
	k.known[in.NodeId].attr(&out.Attr)
	return fuse.OK
}

// SetAttr implements fuse.RawFileSystem.
func (k *kernel) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	n := k.known[in.NodeId]
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode&0o7777
	}
	if uid, ok := in.GetUID(); ok {
		n.owner.Uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		n.owner.Gid = gid
	}
	n.changed = time.Now()
	if t, ok := in.GetMTime(); ok {
		n.changed = t
	}
	if size, ok := in.GetSize(); ok {
		k.history.add("truncate", n.path(), int64(size), 0)
		n.content.resize(int64(size), k.rand)
		n.content.reserved = min(n.content.reserved, n.content.size)
	}
	out.SetTimeout(believed)
	n.attr(&out.Attr)
	return fuse.OK
}

// OpenDir implements fuse.RawFileSystem. What ReadDir lists is fixed here: names
// that come and go meanwhile must not make others appear twice, or never.
func (k *kernel) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.done()
	n := k.known[in.NodeId]
	list := []fuse.DirEntry{{Name: ".", Mode: n.mode, Ino: n.id}, {Name: "..", Mode: n.mode}}
	for _, name := range slices.SortedFunc(maps.Keys(n.folder.names), cmp.Compare) {
		child := n.folder.names[name]
		list = append(list, fuse.DirEntry{Name: name, Mode: child.mode, Ino: child.id})
	}
	k.lastID++
	out.Fh = k.lastID
	k.lists[out.Fh] = list
	return fuse.OK
}

// ReadDir implements fuse.RawFileSystem.
func (k *kernel) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.done()
	list := k.lists[in.Fh]
	for _, e := range list[min(in.Offset, uint64(len(list))):] {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

// ReleaseDir implements fuse.RawFileSystem.
func (k *kernel) ReleaseDir(in *fuse.ReleaseIn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.lists, in.Fh)
}
