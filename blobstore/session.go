package blobstore

import (
	"container/list"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// What is remembered of uploads that no request holds. Beyond these the least
// recently used is closed, or forgotten and read again when it is resumed.
const (
	idleFilesMax    = 256
	idleSessionsMax = 1024
)

// A session is what this process knows of one upload: enough to go on without
// reading its bytes again. One request holds it at a time.
type session struct {
	key     uploadKey
	named   digest.Algorithm // in the file's name; "" while the session is blank
	started time.Time
	size    atomic.Int64 // bytes received; written by the holder

	// Owned by the holder, and by the table while nobody holds it.
	file   *os.File // nil when it was closed to save descriptors
	alg    digest.Algorithm
	hash   hash.Hash // of the first hashed bytes
	hashed int64     // ≤ size; less after a restart or a change of alg
	end    int64     // the file may reach so far beyond size: set aside, or half written

	held bool          // guarded by sessions.mu
	idle *list.Element // guarded by sessions.mu; nil when held
}

func (s *session) path() string { return s.key.path(s.named) }

// use starts the hash over, with another algorithm.
func (s *session) use(alg digest.Algorithm) {
	s.alg, s.hash, s.hashed = alg, alg.Hash(), 0
}

// sessions are the uploads this process has seen. An upload missing here may
// still be on disk.
type sessions struct {
	mu     sync.Mutex // never held across disk I/O
	byKey  map[uploadKey]*session
	idle   list.List // of *session, most recently used first
	files  int       // how many idle sessions have a file open
	closed bool
}

// hold takes hold of a session. When it is not known, a blank one is entered,
// held, so that whoever comes meanwhile finds it busy; found is then false and
// the caller fills it or forgets it.
func (t *sessions) hold(key uploadKey) (s *session, found bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false, os.ErrClosed
	}
	s, found = t.byKey[key]
	switch {
	case !found:
		s = &session{key: key, held: true}
		t.byKey[key] = s
	case s.held:
		return nil, true, ErrBusy
	default:
		t.wakeLocked(s)
		s.held = true
	}
	return s, found, nil
}

// fill makes a blank session one that others may peek at.
func (t *sessions) fill(s *session, named digest.Algorithm, started time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.named, s.started = named, started
}

// letGo makes a held session idle and returns what there is no room for.
func (t *sessions) letGo(s *session) (spare *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.held = false
	s.idle = t.idle.PushFront(s)
	if s.file != nil {
		t.files++
	}
	if t.closed || t.files > idleFilesMax {
		spare = t.closeOldestLocked()
	}
	if t.idle.Len() > idleSessionsMax {
		old := t.idle.Back().Value.(*session)
		t.wakeLocked(old)
		delete(t.byKey, old.key)
		if old.file != nil {
			panic("blobstore: more idle files than idle sessions may have")
		}
	}
	return spare
}

// closeOldestLocked takes the file of the session that was idle longest.
func (t *sessions) closeOldestLocked() *os.File {
	for e := t.idle.Back(); e != nil; e = e.Prev() {
		if s := e.Value.(*session); s.file != nil {
			f := s.file
			s.file = nil
			t.files--
			return f
		}
	}
	return nil
}

// wakeLocked takes a session off the idle list.
func (t *sessions) wakeLocked(s *session) {
	t.idle.Remove(s.idle)
	s.idle = nil
	if s.file != nil {
		t.files--
	}
}

// forget drops a held session.
func (t *sessions) forget(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byKey, s.key)
}

// peek returns a session without taking hold: only its immutable fields and
// its size may be looked at. A blank one is not returned.
func (t *sessions) peek(key uploadKey) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.byKey[key]; s != nil && s.named != "" {
		return s
	}
	return nil
}

func (t *sessions) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var errs []error
	for f := t.closeOldestLocked(); f != nil; f = t.closeOldestLocked() {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Create starts an upload that only scope can resume, and holds it. alg is
// hashed while bytes arrive; "" means sha256. size is how many bytes will come,
// -1 when that is not known; see [Upload.Expect].
//
// It returns [ErrFull] from the high watermark on, or when there is no room
// for size.
func (s *Store) Create(scope string, alg digest.Algorithm, size int64) (*Upload, error) {
	if alg == "" {
		alg = digest.Canonical
	}
	if !alg.Available() {
		return nil, fmt.Errorf("create upload: algorithm %q: %w", alg, digest.ErrDigestUnsupported)
	}
	if err := s.admit(size); err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	state, _, err := s.sessions.hold(newUploadKey(scope))
	if err != nil {
		return nil, fmt.Errorf("create upload: %w", err)
	}
	f, err := s.disk.create(state.key.path(alg))
	if err != nil {
		s.sessions.forget(state)
		return nil, fmt.Errorf("create upload: %w", asFull(err))
	}
	s.sessions.fill(state, alg, time.Now())
	state.file = f
	state.use(alg)
	u := &Upload{store: s, state: state, held: true}
	if err := u.Expect(size); err != nil {
		return nil, errors.Join(fmt.Errorf("create upload: %w", err), u.Cancel())
	}
	return u, nil
}

// Resume takes hold of an upload: nobody else can until Close, Commit or
// Cancel. The running hash is kept in memory between requests; after a restart
// the bytes are read once more, when the next are written or committed.
//
// It returns [ErrNotFound] when scope has no such upload, [ErrBusy] when
// somebody holds it.
func (s *Store) Resume(scope, id string) (*Upload, error) {
	key, ok := parseUploadKey(scope, id)
	if !ok {
		return nil, fmt.Errorf("resume upload: %w", ErrNotFound)
	}
	state, found, err := s.sessions.hold(key)
	if err != nil {
		return nil, fmt.Errorf("resume upload %s: %w", id, err)
	}
	if found && state.file != nil {
		return &Upload{store: s, state: state, held: true}, nil
	}
	if found {
		state.file, err = s.os.open(state.path(), unix.O_RDWR)
	} else {
		err = s.recall(state)
	}
	if err != nil {
		s.sessions.forget(state)
		return nil, fmt.Errorf("resume upload %s: %w", id, asNotFound(err))
	}
	return &Upload{store: s, state: state, held: true}, nil
}

// recall fills a blank session from the upload's file.
func (s *Store) recall(state *session) error {
	for _, alg := range algorithms() {
		f, err := s.os.open(state.key.path(alg), unix.O_RDWR)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		size, started, err := statUpload(f.Name())
		if err != nil {
			return errors.Join(err, f.Close())
		}
		state.size.Store(size)
		s.sessions.fill(state, alg, started)
		state.file = f
		state.end = math.MaxInt64 // what was set aside before the restart is not known any more
		state.use(alg)
		return nil
	}
	return ErrNotFound
}

// StatUpload tells how much of an upload has been received and when it began,
// without taking hold of it. It returns [ErrNotFound] when scope has no such
// upload.
func (s *Store) StatUpload(scope, id string) (size int64, started time.Time, err error) {
	key, ok := parseUploadKey(scope, id)
	if !ok {
		return 0, time.Time{}, fmt.Errorf("stat upload: %w", ErrNotFound)
	}
	if state := s.sessions.peek(key); state != nil {
		return state.size.Load(), state.started, nil
	}
	for _, alg := range algorithms() {
		size, started, err = statUpload(s.os.path(key.path(alg)))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("stat upload %s: %w", id, asNotFound(err))
	}
	return size, started, nil
}

// statUpload asks for the time a file was made, or, where the file system does
// not keep it, last written.
func statUpload(name string) (size int64, started time.Time, err error) {
	var st unix.Statx_t
	err = uninterrupted(func() error {
		const want = unix.STATX_SIZE | unix.STATX_MTIME | unix.STATX_BTIME
		return unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, want, &st)
	})
	if err != nil {
		return 0, time.Time{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	at := st.Mtime
	if st.Mask&unix.STATX_BTIME != 0 {
		at = st.Btime
	}
	return int64(st.Size), time.Unix(at.Sec, int64(at.Nsec)), nil
}
