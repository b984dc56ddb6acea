package blobstoretest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
)

// Run tests an implementation. fresh makes storage that is empty and returns
// what opens it; opening it once more closes the store opened before, as a
// restart would, and finds what that one left.
func Run(t *testing.T, fresh func(t *testing.T) (open func() Store)) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(suite)
	}{
		{"CommittedBlobIsReadBack", suite.committedBlobIsReadBack},
		{"EveryAlgorithmIsKept", suite.everyAlgorithmIsKept},
		{"DigestIsRefusedBeforeUse", suite.digestIsRefusedBeforeUse},
		{"UnknownBlobIsNotFound", suite.unknownBlobIsNotFound},
		{"OpenFileSurvivesRemoval", suite.openFileSurvivesRemoval},
		{"ReadTellsAnotherLength", suite.readTellsAnotherLength},
		{"AllListsEveryBlobOnce", suite.allListsEveryBlobOnce},
		{"WrongDigestKeepsTheUpload", suite.wrongDigestKeepsTheUpload},
		{"UploadGoesOnBetweenRequests", suite.uploadGoesOnBetweenRequests},
		{"LargeUploadComesInOddPieces", suite.largeUploadComesInOddPieces},
		{"UploadGoesOnAfterRestart", suite.uploadGoesOnAfterRestart},
		{"UploadBelongsToItsScope", suite.uploadBelongsToItsScope},
		{"UploadHasOneHolder", suite.uploadHasOneHolder},
		{"AlgorithmMayChangeOnTheWay", suite.algorithmMayChangeOnTheWay},
		{"FinishedUploadIsGone", suite.finishedUploadIsGone},
		{"BrokenReaderKeepsWhatCame", suite.brokenReaderKeepsWhatCame},
		{"SizeIsOnlyAnExpectation", suite.sizeIsOnlyAnExpectation},
		{"PurgeSparesFreshAndHeldUploads", suite.purgeSparesFreshAndHeldUploads},
		{"PinKeepsFromRemoval", suite.pinKeepsFromRemoval},
		{"LiveBlobIsNotRemoved", suite.liveBlobIsNotRemoved},
		{"NothingComesBetweenQuestionAndRemoval", suite.nothingComesBetweenQuestionAndRemoval},
		{"CommitAndRemoveRace", suite.commitAndRemoveRace},
		{"VerifyAcceptsGoodBytes", suite.verifyAcceptsGoodBytes},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(suite{t, fresh(t)}) })
	}
}

// A suite is one test and its storage.
type suite struct {
	*testing.T
	open func() Store
}

// Noise returns n random bytes.
func Noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p) // never fails
	return p
}

// Push commits data in one go and releases its pin.
func Push(t testing.TB, s Store, data []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(data)
	u := create(t, s)
	write(t, u, data)
	commit(t, u, d)
	return d
}

// MustHold fails the test unless d is there, with these bytes.
func MustHold(t testing.TB, s Store, d digest.Digest, data []byte) {
	t.Helper()
	info, err := s.Stat(t.Context(), d)
	if err != nil || info.Size != int64(len(data)) || info.Digest != d {
		t.Fatalf("stat %s: %+v, %v; want %d bytes", d, info, err, len(data))
	}
	f, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("read %s: %v", d, err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("read %s: %d bytes that are %s", d, len(got), digest.FromBytes(got))
	}
}

func create(t testing.TB, s Store) *blobstore.Upload {
	t.Helper()
	u, err := s.Create("library/a", "", -1)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func resume(t testing.TB, s Store, id string) *blobstore.Upload {
	t.Helper()
	u, err := s.Resume("library/a", id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func write(t testing.TB, u *blobstore.Upload, data []byte) {
	t.Helper()
	if n, err := u.ReadFrom(bytes.NewReader(data)); err != nil || n != int64(len(data)) {
		t.Fatalf("read from: %d of %d bytes, %v", n, len(data), err)
	}
}

func commit(t testing.TB, u *blobstore.Upload, d digest.Digest) {
	t.Helper()
	pin, err := u.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	pin.Release()
}

func closeUpload(t testing.TB, u *blobstore.Upload) {
	t.Helper()
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustBe(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func nobodyKnows() (bool, error) { return false, nil }

func mustBeGone(t testing.TB, s Store, d digest.Digest) {
	t.Helper()
	_, err := s.Stat(t.Context(), d)
	mustBe(t, "stat of what is gone", err, blobstore.ErrNotFound)
	_, err = s.Open(t.Context(), d)
	mustBe(t, "open of what is gone", err, blobstore.ErrNotFound)
}
