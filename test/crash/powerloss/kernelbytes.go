//go:build crash

package powerloss

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Open implements fuse.RawFileSystem. The kernel's pages stay good: every write
// goes through it, and to the disk at once. It truncates by SetAttr.
func (k *kernel) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.done()
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

// Read implements fuse.RawFileSystem.
func (k *kernel) Read(_ <-chan struct{}, in *fuse.ReadIn, p []byte) (fuse.ReadResult, fuse.Status) {
	if !k.look() {
		return nil, fuse.EIO
	}
	defer k.done()
	n := k.known[in.NodeId].content.read(p, int64(in.Offset))
	return fuse.ReadResultData(p[:n]), fuse.OK
}

// Write implements fuse.RawFileSystem.
func (k *kernel) Write(_ <-chan struct{}, in *fuse.WriteIn, p []byte) (uint32, fuse.Status) {
	if !k.look() {
		return 0, fuse.EIO
	}
	defer k.stepped()
	n := k.known[in.NodeId]
	k.history.add("write", n.path(), int64(in.Offset), int64(len(p)))
	n.content.write(p, int64(in.Offset), k.rand)
	n.changed = time.Now()
	return uint32(len(p)), fuse.OK
}

// Fsync implements fuse.RawFileSystem, for fdatasync, too: of what it may leave
// out nothing is kept here.
func (k *kernel) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	k.sync(k.known[in.NodeId])
	return fuse.OK
}

// Fallocate implements fuse.RawFileSystem. There is always room.
func (k *kernel) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if !k.look() {
		return fuse.EIO
	}
	defer k.stepped()
	if in.Mode&^unix.FALLOC_FL_KEEP_SIZE != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	n, end := k.known[in.NodeId], int64(in.Offset+in.Length)
	k.history.add("allocate", n.path(), int64(in.Offset), int64(in.Length))
	n.content.reserved = max(n.content.reserved, end)
	if in.Mode == 0 && end > n.content.size {
		n.content.resize(end, k.rand)
	}
	return fuse.OK
}

// Release implements fuse.RawFileSystem. Closing syncs nothing.
func (k *kernel) Release(<-chan struct{}, *fuse.ReleaseIn) {}
