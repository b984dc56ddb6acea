package blobstore

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// An inode is a file: the bytes that are safe, and what was done since.
type inode struct {
	safe    []byte
	pending []op // writes and truncates
}

// A directory is a list of names: those that are safe, and what was done since.
type directory struct {
	safe    map[string]*node
	pending []entry
}

// An entry is a name given (node) or taken away (nil) and not synced.
type entry struct {
	name string
	node *node
}

// A node is what a name means: a file or a directory.
type node struct {
	file *inode
	dir  *directory
}

func newDirectory() *node { return &node{dir: &directory{safe: map[string]*node{}}} }

// now is what a running system sees in a directory.
func (d *directory) now() map[string]*node {
	names := maps.Clone(d.safe)
	for _, e := range d.pending {
		e.apply(names)
	}
	return names
}

func (e entry) apply(names map[string]*node) {
	if e.node == nil {
		delete(names, e.name)
	} else {
		names[e.name] = e.node
	}
}

func (n *node) walk(name string) *node {
	if name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		n = n.dir.now()[part]
	}
	return n
}

func (n *node) change(name string, to *node) {
	dir := n.walk(filepath.Dir(name)).dir
	dir.pending = append(dir.pending, entry{filepath.Base(name), to})
}

// A world is what a power cut left, and what had been promised before.
type world struct {
	files  map[string][]byte
	dirs   []string
	must   map[digest.Digest]bool // true: there, with its bytes; false: gone
	rotten map[digest.Digest]bool // bytes that rotted may be seen until they are quarantined
	aside  int                    // files that must be in quarantine
}

// A survival decides about one thing that was not synced.
type survival func(r *rand.Rand, o op) bool

func unsyncedIsLost(*rand.Rand, op) bool       { return false }
func unsyncedSurvives(*rand.Rand, op) bool     { return true }
func bytesAreLost(_ *rand.Rand, o op) bool     { return o.kind == "entry" }
func namesAreLost(_ *rand.Rand, o op) bool     { return o.kind != "entry" }
func unsyncedAtRandom(r *rand.Rand, _ op) bool { return r.IntN(2) == 0 }

// replay computes what is left when the power fails after ops.
func replay(ops []op, r *rand.Rand, keep survival) world {
	root := newDirectory()
	w := world{
		files: map[string][]byte{}, must: map[digest.Digest]bool{}, rotten: map[digest.Digest]bool{},
	}
	for _, o := range ops {
		step(root, o)
		w.promise(o)
	}
	w.survive(root.dir, "", r, keep)
	return w
}

func step(root *node, o op) {
	switch o.kind {
	case "create":
		root.change(o.name, &node{file: &inode{}})
	case "mkdir":
		if root.walk(o.name) == nil {
			root.change(o.name, newDirectory())
		}
	case "rename":
		n := root.walk(o.name)
		root.change(o.to, n)
		root.change(o.name, nil)
	case "remove":
		root.change(o.name, nil)
	case "write", "truncate":
		f := root.walk(o.name).file
		f.pending = append(f.pending, o)
	case "sync":
		f := root.walk(o.name).file
		f.safe = f.surviving(nil, unsyncedSurvives)
		f.pending = nil
	case "rotten":
		root.walk(o.name).file.safe = o.data
	case "syncdir":
		d := root.walk(o.name).dir
		d.safe, d.pending = d.now(), nil
	}
}

func (w *world) promise(o op) {
	switch o.kind {
	case "committed":
		w.must[o.digest] = true
		delete(w.rotten, o.digest)
	case "removing":
		delete(w.must, o.digest)
	case "removed":
		w.must[o.digest] = false
	case "rotten":
		delete(w.must, o.digest)
		w.rotten[o.digest] = true
	case "quarantined":
		w.must[o.digest] = false
		delete(w.rotten, o.digest)
		w.aside++
	}
	// What is done to a name after a promise that it is gone makes it free
	// to come back.
	if o.kind == "rename" && strings.HasPrefix(o.to, blobsDir) {
		d := digestOf(o.to)
		if there, promised := w.must[d]; promised && !there {
			delete(w.must, d)
		}
	}
}

func (f *inode) surviving(r *rand.Rand, keep survival) []byte {
	data := bytes.Clone(f.safe)
	for _, o := range f.pending {
		if !keep(r, o) {
			continue
		}
		end := o.off + int64(len(o.data))
		if grow := end - int64(len(data)); grow > 0 {
			data = append(data, make([]byte, grow)...) // a hole reads as zeros
		}
		if o.kind == "truncate" {
			data = data[:o.off]
		}
		copy(data[o.off:], o.data)
	}
	return data
}

func (w *world) survive(d *directory, prefix string, r *rand.Rand, keep survival) {
	names := maps.Clone(d.safe)
	for _, e := range d.pending {
		if keep(r, op{kind: "entry"}) {
			e.apply(names)
		}
	}
	for name, n := range names {
		if n.dir != nil {
			w.dirs = append(w.dirs, prefix+name)
			w.survive(n.dir, prefix+name+"/", r, keep)
		} else {
			w.files[prefix+name] = n.file.surviving(r, keep)
		}
	}
}

func digestOf(file string) digest.Digest {
	parts := strings.Split(file, "/")
	return digest.NewDigestFromEncoded(digest.Algorithm(parts[1]), parts[3])
}

// broken tells the first promise that the world breaks, or "".
func (w *world) broken() string {
	for file, data := range w.files {
		if !strings.HasPrefix(file, blobsDir+"/") {
			continue
		}
		if d := digestOf(file); d.Algorithm().FromBytes(data) != d && !w.rotten[d] {
			return fmt.Sprintf("%s holds %d wrong bytes", file, len(data))
		}
	}
	aside := 0
	for file := range w.files {
		if strings.HasPrefix(file, quarantineDir+"/") {
			aside++
		}
	}
	if aside < w.aside {
		return fmt.Sprintf("%d of %d files are left in quarantine", aside, w.aside)
	}
	for d, there := range w.must {
		b, _ := parseDigest(d)
		if _, is := w.files[b.path()]; is != there {
			return fmt.Sprintf("%s: there %v, promised %v", d, is, there)
		}
	}
	return ""
}

func (w *world) writeTo(t *testing.T, dir string) {
	t.Helper()
	for _, name := range w.dirs {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range w.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
