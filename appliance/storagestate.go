package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"skerry.dev/skerry/appliance/api"
	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/kube/resource"
)

const (
	// reachEvery is how often it is looked whether the object store answers,
	// reachAgain how often when it did not.
	reachEvery = 30 * time.Second
	reachAgain = 5 * time.Second
	// statusPatience is how long status waits for an object store.
	statusPatience = 5 * time.Second
)

// location is where the blobs of this data directory are, as far as that is written
// down; "" says that it is not.
func (d *dataDir) location() (string, error) {
	b, err := os.ReadFile(d.join(locationName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read where the blobs are: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// setLocation writes down where the blobs are from now on.
func (d *dataDir) setLocation(where string) error { return d.write(locationName, where+"\n") }

// checkLocation refuses settings that look for the blobs of this data directory where
// they are not: the metadata would promise what nobody holds.
func (d *dataDir) checkLocation(s Storage) error {
	was, err := d.location()
	if err != nil {
		return err
	}
	is := s.Location()
	if was == "" {
		was = string(StorageLocal)
		if is != was && d.holdsNoBlobs() {
			return d.setLocation(is)
		}
	}
	if was == is {
		return nil
	}
	return d.elsewhere(was, is)
}

func (d *dataDir) elsewhere(was, is string) error {
	return fmt.Errorf("the blobs of %s are in %q, and the settings say %q: move them with skerry backup under the old "+
		"settings and skerry restore under the new ones, into a new data directory; if they were copied there already, "+
		"write the new place into %s", d.path, was, is, d.join(locationName))
}

// holdsNoBlobs reports whether no blob was ever kept in the data directory.
func (d *dataDir) holdsNoBlobs() bool {
	algorithms, err := os.ReadDir(filepath.Join(d.join(storageName), "blobs"))
	return len(algorithms) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
}

// storageOwner is the name by which a bucket knows whose it is: that of the registry,
// not of this node. It travels with backups.
func (a *Appliance) storageOwner(ctx context.Context) (string, error) {
	owner, err := a.meta.InitSecret(ctx, "storage-owner", []byte(strings.ToLower(rand.Text())))
	if err != nil {
		return "", fmt.Errorf("read the name of this registry: %w", err)
	}
	return string(owner), nil
}

// claimBucket says to the bucket, if there is one, whose it is.
func (a *Appliance) claimBucket(ctx context.Context) error {
	if a.bucket == nil {
		return nil
	}
	owner, err := a.storageOwner(ctx)
	if err != nil {
		return err
	}
	a.bucket.Claim(owner)
	return nil
}

// reachLoop looks whether the object store answers, for status and probes, and so that
// uploads are refused before their bytes are sent.
func (a *Appliance) reachLoop(ctx context.Context) error {
	pause := time.Duration(0)
	for every(ctx, pause) {
		before := a.bucket.Trouble()
		err := a.bucket.Reach(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (before == nil || before.Error() != err.Error()):
			a.log.ErrorContext(ctx, "object store is not usable", "location", a.place.location, "err", err)
		case err == nil && before != nil:
			a.log.InfoContext(ctx, "object store is usable again", "location", a.place.location)
		}
		if pause = reachEvery; err != nil {
			pause = reachAgain
		}
	}
	return nil
}

// storageTrouble is why blobs can be neither pushed nor pulled, as of the last look.
func (a *Appliance) storageTrouble() error {
	if a.bucket == nil {
		return nil
	}
	return a.bucket.Trouble()
}

// redirect is where clients may fetch bytes themselves; nil when those are here.
func (a *Appliance) redirect() func(*http.Request, digest.Digest) (string, error) {
	if a.bucket == nil {
		return nil
	}
	return func(r *http.Request, d digest.Digest) (string, error) {
		if !a.redirects() {
			return "", nil
		}
		return a.bucket.Redirect(r, d)
	}
}

// redirects reports whether clients are sent to the object store: neither the settings
// nor config.imageregistry/cluster forbid it.
func (a *Appliance) redirects() bool {
	return a.bucket != nil && !a.config().Storage.DisableRedirect && !a.rule.Load().DisableRedirect
}

// bucketFacts is the bucket in use, for the conditions, or nil.
func (a *Appliance) bucketFacts() *resource.Bucket {
	if a.bucket == nil {
		return nil
	}
	b := &resource.Bucket{Location: a.place.location, Storage: a.place.applied()}
	if a.place.bySettings {
		b.By = "this machine's settings (storage)"
	}
	if err := a.storageTrouble(); err != nil {
		b.Trouble = err.Error()
	}
	return b
}

// quarantined is what was put aside. What an object store that is away would say is
// not part of how the registry is; that it is away is told elsewhere.
func (a *Appliance) quarantined(ctx context.Context) ([]blobstore.Info, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, statusPatience, blobstore.ErrUnavailable)
	defer cancel()
	infos, err := a.blobs.Quarantined(ctx)
	if away(err) {
		return nil, nil
	}
	return infos, err
}

// storageStatus is where the bytes are, and how that is.
func (a *Appliance) storageStatus() api.StorageStatus {
	s := api.StorageStatus{
		Kind: string(a.place.storage.Kind), Location: a.place.location,
		Redirect: a.redirects(),
	}
	if err := a.storageTrouble(); err != nil {
		s.Error = err.Error()
	}
	return s
}

// fleeting names the file system of a directory if it does not outlive a reboot, or a
// container.
func fleeting(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "" // whoever uses it will tell
	}
	switch st.Type {
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return ""
}

// warnEphemeral tells, once, that the data directory is not there to stay.
func (a *Appliance) warnEphemeral() {
	if kind := fleeting(a.dir.path); kind != "" {
		a.log.Warn("the data directory is on a file system that does not last: everything is lost with the machine's "+
			"memory or the container", "data", a.dir.path, "filesystem", kind)
	}
}
