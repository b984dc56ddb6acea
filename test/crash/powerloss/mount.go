//go:build crash

package powerloss

import (
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Mount is a disk that programs can use.
type Mount struct {
	// Dir is the mount point.
	Dir    string
	server *fuse.Server
}

// Mount shows d in the directory dir, until Close. A disk can be mounted once.
//
// The kernel hands each write on before it answers it, since it was not asked to
// gather them; what it keeps of them serves reads and maps only.
func (d *Disk) Mount(dir string) (*Mount, error) {
	server, err := fuse.NewServer(&kernel{fuse.NewDefaultRawFileSystem(), d}, dir, &fuse.MountOptions{
		Name: "powerloss", FsName: "powerloss", DirectMount: true,
		MaxWrite: 1 << 20, DisableXAttrs: true, DisableReadDirPlus: true, ExplicitDataCacheControl: true,
	})
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	go server.Serve() // until Close
	if err := server.WaitMount(); err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return &Mount{dir, server}, nil
}

// Close takes the disk away from programs, which must not use it any more.
func (m *Mount) Close() error {
	if err := m.server.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", m.Dir, err)
	}
	return nil
}
