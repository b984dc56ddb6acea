//go:build crash

package powerloss

import (
	"maps"
	"math/rand/v2"
	"slices"
)

const (
	pageSize   = 4096
	sectorSize = 512
	// versionsMax is how many unsynced states of one page, or of one size, are
	// remembered: the newest, and some of those before.
	versionsMax = 4
)

// A page is never changed once it is stored; nil is a page of zeros.
type page []byte

// content is what a file holds.
type content struct {
	pages    []page // as programs see it
	size     int64
	reserved int64 // blocks are set aside up to here
	synced   stored
	dirty    map[int][]page // states of each page since the last sync, newest last
	sizes    []int64        // likewise of the size
}

// stored is what is surely on the disk.
type stored struct {
	pages []page
	size  int64
}

// at returns page i of pages, of which there may be fewer.
func at(pages []page, i int) page {
	if i < len(pages) {
		return pages[i]
	}
	return nil
}

// set makes p page i of pages.
func set(pages []page, i int, p page) []page {
	if i >= len(pages) {
		pages = slices.Grow(pages, i+1-len(pages))[:i+1]
	}
	pages[i] = p
	return pages
}

// read copies what stands at off into p, and returns how much there is.
func (c *content) read(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for done := 0; done < len(p); {
		from := int((off + int64(done)) % pageSize)
		part := p[done:min(len(p), done+pageSize-from)]
		if have := at(c.pages, int((off+int64(done))/pageSize)); have == nil {
			clear(part)
		} else {
			copy(part, have[from:])
		}
		done += len(part)
	}
	return len(p)
}

// write stores p at off.
func (c *content) write(p []byte, off int64, r *rand.Rand) {
	end := off + int64(len(p))
	for len(p) > 0 {
		i, from := int(off/pageSize), int(off%pageSize)
		fresh := make(page, pageSize)
		copy(fresh, at(c.pages, i))
		n := copy(fresh[from:], p)
		c.put(i, fresh, r)
		p, off = p[n:], off+int64(n)
	}
	if end > c.size {
		c.resize(end, r)
	}
}

// resize cuts c off behind size, or adds zeros up to there.
func (c *content) resize(size int64, r *rand.Rand) {
	if size == c.size {
		return
	}
	if size < c.size {
		last := int(size / pageSize)
		for i := last; i < len(c.pages); i++ {
			if c.pages[i] == nil {
				continue
			}
			var rest page
			if keep := int(size % pageSize); i == last && keep > 0 {
				rest = make(page, pageSize)
				copy(rest, c.pages[i][:keep])
			}
			c.put(i, rest, r)
		}
	}
	c.size = size
	c.sizes = remember(c.sizes, size, r)
}

func (c *content) put(i int, p page, r *rand.Rand) {
	c.pages = set(c.pages, i, p)
	if c.dirty == nil {
		c.dirty = map[int][]page{}
	}
	c.dirty[i] = remember(c.dirty[i], p, r)
}

// remember adds the newest version, and forgets any of the others if they are
// too many.
func remember[V any](versions []V, v V, r *rand.Rand) []V {
	if len(versions) == versionsMax {
		i := r.IntN(versionsMax)
		versions = slices.Delete(versions, i, i+1)
	}
	return append(versions, v)
}

// sync makes everything durable.
func (c *content) sync() {
	for i := range c.dirty {
		c.synced.pages = set(c.synced.pages, i, at(c.pages, i))
	}
	c.synced.size = c.size
	c.dirty, c.sizes = nil, nil
}

// survivor is what the next start finds of c.
func (c *content) survivor(f Fate) *content {
	pages := slices.Clone(c.synced.pages)
	for _, i := range slices.Sorted(maps.Keys(c.dirty)) { // so that a fate is the same each time
		versions := c.dirty[i]
		v := f.version(len(versions))
		if v < 0 {
			continue
		}
		p := versions[v]
		if f.tears() {
			p = f.torn(at(pages, i), p)
		}
		pages = set(pages, i, p)
	}
	size := c.synced.size
	if v := f.version(len(c.sizes)); v >= 0 {
		size = c.sizes[v]
	}
	return newContent(pages, size)
}

// newContent is a file, all of it synced, of the first size bytes of pages.
func newContent(pages []page, size int64) *content {
	full := int((size + pageSize - 1) / pageSize)
	pages = slices.Clone(pages[:min(len(pages), full)])
	if keep := int(size % pageSize); keep > 0 && at(pages, full-1) != nil {
		last := make(page, pageSize)
		copy(last, pages[full-1][:keep])
		pages[full-1] = last
	}
	return &content{pages: pages, size: size, reserved: size, synced: stored{slices.Clone(pages), size}}
}
