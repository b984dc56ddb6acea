package registry

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/opencontainers/go-digest"

	"skerry.dev/skerry/blobstore"
	"skerry.dev/skerry/meta"
)

var (
	// ErrUnauthorized says that the caller must (again) say who it is: 401. Return
	// a [*ChallengeError] to tell how.
	ErrUnauthorized = errors.New("registry: authentication required")
	// ErrDenied says that the caller is known and may not: 403.
	ErrDenied = errors.New("registry: denied")
	// ErrManifest says that a payload is no manifest this registry can keep. The
	// text after it is for the client.
	ErrManifest = errors.New("registry: manifest invalid")
)

// A ChallengeError is [ErrUnauthorized] with the values of WWW-Authenticate.
type ChallengeError struct {
	Challenges []string // one header line each, RFC 9110 §11.6.1
}

// Error says what is missing; the challenges are not part of it.
func (e *ChallengeError) Error() string { return ErrUnauthorized.Error() }

// Unwrap makes it [ErrUnauthorized].
func (e *ChallengeError) Unwrap() error { return ErrUnauthorized }

// A LimitError says that the caller has to wait before it may try again: 429.
type LimitError struct {
	RetryAfter int // seconds
}

// Error says how long.
func (e *LimitError) Error() string {
	return "registry: too many failed logins, try again in " + strconv.Itoa(e.RetryAfter) + " seconds"
}

// Error codes of the distribution spec. Below 500 there are no others; from 500 on the
// spec is silent, and the last four are ours or distribution's.
const (
	codeBlobUnknown         = "BLOB_UNKNOWN"
	codeUploadInvalid       = "BLOB_UPLOAD_INVALID"
	codeUploadUnknown       = "BLOB_UPLOAD_UNKNOWN"
	codeDigestInvalid       = "DIGEST_INVALID"
	codeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	codeManifestInvalid     = "MANIFEST_INVALID"
	codeManifestUnknown     = "MANIFEST_UNKNOWN"
	codeNameInvalid         = "NAME_INVALID"
	codeNameUnknown         = "NAME_UNKNOWN"
	codeSizeInvalid         = "SIZE_INVALID"
	codeTagInvalid          = "TAG_INVALID" // "Legacy Docker support error codes"
	codeUnauthorized        = "UNAUTHORIZED"
	codeDenied              = "DENIED"
	codeTooMany             = "TOOMANYREQUESTS"
	codeUnsupported         = "UNSUPPORTED"

	codeUnknown         = "UNKNOWN"
	codeUnavailable     = "UNAVAILABLE"
	codeFull            = "INSUFFICIENT_STORAGE"
	codeBlobUnavailable = "BLOB_UNAVAILABLE"
)

// statusClientGone is logged, never seen: nobody is there to read it.
const statusClientGone = 499

// retryAfter is the Retry-After of a 503: a new leader is normally elected in less.
const retryAfter = "2"

// A fault is an answer other than the one asked for. It is an error, so that
// handlers return it; message and detail are for the client, cause is for the log.
type fault struct {
	status  int
	code    string
	message string
	detail  any // JSON; nil leaves it out
	cause   error
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.message + ": " + f.cause.Error()
	}
	return f.message
}

func (f *fault) Unwrap() error { return f.cause }

func nameInvalid(name, rule string) *fault {
	return &fault{
		status: http.StatusBadRequest, code: codeNameInvalid, message: "invalid repository name: " + rule,
		detail: map[string]string{"name": name},
	}
}

func tagInvalid(tag string) *fault {
	return &fault{
		status: http.StatusBadRequest, code: codeTagInvalid,
		message: "invalid tag: at most 128 letters, digits, . _ - and neither . nor - first",
		detail:  map[string]string{"tag": tag},
	}
}

func digestInvalid(d, rule string) *fault {
	return &fault{
		status: http.StatusBadRequest, code: codeDigestInvalid, message: "invalid digest: " + rule,
		detail: map[string]string{"digest": d},
	}
}

// bytesMissing: the metadata knows d, and it cannot be read: it is not there (whole),
// or what keeps it does not say.
func bytesMissing(d digest.Digest, cause error) error {
	if errors.Is(cause, blobstore.ErrUnavailable) || errors.Is(cause, blobstore.ErrRefused) ||
		errors.Is(cause, context.Canceled) {
		return cause
	}
	return &fault{
		status: http.StatusInternalServerError, code: codeBlobUnavailable,
		message: "the blob's bytes are missing or damaged on this node; push the blob again to heal it",
		detail:  map[string]string{"digest": d.String()}, cause: cause,
	}
}

// An errBody is a failure to read the request's body, as opposed to one to keep it.
type errBody struct{ cause error }

func (e *errBody) Error() string { return "read request body: " + e.cause.Error() }
func (e *errBody) Unwrap() error { return e.cause }

// translate is the one place where an error becomes an answer. t is what the
// request was about.
func translate(t target, err error) *fault {
	var (
		f         *fault
		body      *errBody
		tooLarge  *http.MaxBytesError
		missing   *meta.MissingError
		immutable *meta.ImmutableError
		limit     *LimitError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &limit):
		return &fault{
			status: http.StatusTooManyRequests, code: codeTooMany,
			message: strings.TrimPrefix(limit.Error(), "registry: "),
		}
	case errors.Is(err, ErrUnauthorized):
		return &fault{status: http.StatusUnauthorized, code: codeUnauthorized, message: "authentication required"}
	case errors.Is(err, ErrDenied):
		return &fault{status: http.StatusForbidden, code: codeDenied, message: "requested access to the resource is denied"}
	case errors.As(err, &tooLarge):
		return &fault{
			status: http.StatusRequestEntityTooLarge, code: codeManifestInvalid,
			message: "the manifest is larger than this registry takes: " + strconv.FormatInt(tooLarge.Limit, 10) + " bytes",
		}
	case errors.As(err, &body):
		return bodyFault(t, body)
	case errors.Is(err, ErrManifest):
		return &fault{
			status: http.StatusBadRequest, code: codeManifestInvalid,
			message: strings.TrimPrefix(err.Error(), "registry: "),
		}
	case errors.As(err, &missing):
		return &fault{
			status: http.StatusNotFound, code: codeManifestBlobUnknown,
			message: "the manifest references content that the repository does not hold; push it first",
			detail:  map[string][]digest.Digest{"digests": missing.Digests},
		}
	case errors.As(err, &immutable):
		return &fault{
			status: http.StatusForbidden, code: codeDenied,
			message: "the tag is immutable: push under another tag, or have an administrator change the rule",
			detail:  map[string]any{"tag": immutable.Tag, "rule": immutable.Rule},
		}
	case errors.Is(err, meta.ErrRepositoryUnknown), errors.Is(err, meta.ErrNotFound),
		errors.Is(err, blobstore.ErrNotFound):
		return unknown(t)
	}
	return translateState(t, err)
}

// translateState continues translate with what is wrong on our side.
func translateState(t target, err error) *fault {
	switch {
	case errors.Is(err, blobstore.ErrDigest):
		return &fault{
			status: http.StatusBadRequest, code: codeDigestInvalid, message: "the uploaded bytes do not have the digest given",
		}
	case errors.Is(err, blobstore.ErrBusy):
		return &fault{
			status: http.StatusConflict, code: codeUploadInvalid,
			message: "another request is writing to this upload; ask for its status and go on from there",
		}
	case errors.Is(err, meta.ErrName): // what the parser let pass, and the metadata cannot keep
		return &fault{
			status: http.StatusBadRequest, code: codeManifestInvalid,
			message: "a name or an annotation has bytes, or a length, that this registry does not keep",
			cause:   err,
		}
	case errors.Is(err, blobstore.ErrFull), errors.Is(err, meta.ErrFull):
		return &fault{
			status: http.StatusInsufficientStorage, code: codeFull,
			message: "the registry's disk is full: nothing was kept; free space by deleting images and running " +
				"\"skerry gc\", or enlarge the disk, and push again",
			cause: err,
		}
	case errors.Is(err, blobstore.ErrUnavailable):
		return &fault{
			status: http.StatusServiceUnavailable, code: codeUnavailable,
			message: "the object store with the registry's blobs does not answer; try again", cause: err,
		}
	case errors.Is(err, blobstore.ErrRefused):
		return &fault{
			status: http.StatusInternalServerError, code: codeUnknown,
			message: "the object store refuses what the registry asks of it; \"skerry status\" tells its administrator why",
			cause:   err,
		}
	case errors.Is(err, meta.ErrConflict) && t.kind == kindBlob:
		return &fault{
			status: http.StatusMethodNotAllowed, code: codeUnsupported,
			message: "a manifest of this repository references the blob; delete the manifest first",
			detail:  map[string]string{"digest": t.digest.String()},
		}
	}
	return translateCluster(err)
}

// translateCluster continues translateState with what other nodes have to do with it, and
// with time.
func translateCluster(err error) *fault {
	switch {
	case errors.Is(err, ErrCopies):
		return &fault{
			status: http.StatusServiceUnavailable, code: codeUnavailable,
			message: "the blobs of this manifest have not enough copies on other nodes yet; they stay, push the manifest again",
			cause:   err,
		}
	case errors.Is(err, meta.ErrNode), errors.Is(err, meta.ErrLevel):
		return notOfTheCluster(err)
	case errors.Is(err, meta.ErrUnavailable):
		return &fault{
			status: http.StatusServiceUnavailable, code: codeUnavailable,
			message: "the registry cannot agree on a change just now (no quorum, or a new leader is being elected); try again",
			cause:   err,
		}
	case errors.Is(err, context.Canceled):
		return &fault{status: statusClientGone, code: codeUnknown, message: "client went away", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &fault{
			status: http.StatusServiceUnavailable, code: codeUnavailable,
			message: "the registry did not finish in time; try again", cause: err,
		}
	}
	return &fault{
		status: http.StatusInternalServerError, code: codeUnknown, message: "internal error; see the registry's log",
		cause: err,
	}
}

// notOfTheCluster says why this node may not change anything that others may.
func notOfTheCluster(err error) *fault {
	f := &fault{status: http.StatusServiceUnavailable, code: codeUnavailable, cause: err}
	f.message = "nodes of this registry run an older version, which does not know this change; upgrade all of them"
	if errors.Is(err, meta.ErrNode) {
		f.message = "this node was removed from the cluster and takes no pushes any more; push through another node"
	}
	return f
}

// unknown is the 404 for what t names.
func unknown(t target) *fault {
	f := &fault{status: http.StatusNotFound}
	switch t.kind {
	case kindManifest:
		f.code, f.message = codeManifestUnknown, "manifest unknown"
		f.detail = map[string]string{"name": string(t.repo), "reference": t.ref}
	case kindBlob:
		f.code, f.message = codeBlobUnknown, "blob unknown to this repository"
		f.detail = map[string]string{"name": string(t.repo), "digest": t.digest.String()}
	case kindUpload, kindUploads:
		f.code, f.message = codeUploadUnknown, "upload unknown to this repository; start it again"
	default:
		f.code, f.message = codeNameUnknown, "repository name not known to registry"
		f.detail = map[string]string{"name": string(t.repo)}
	}
	return f
}

// bodyFault: what the client sent did not arrive whole.
func bodyFault(t target, e *errBody) *fault {
	f := &fault{
		status: http.StatusBadRequest, code: codeSizeInvalid, message: "the body ended before its announced length",
		cause: e,
	}
	if errors.Is(e, os.ErrDeadlineExceeded) {
		f.status, f.message = http.StatusRequestTimeout, "the body made no progress"
	}
	if t.kind == kindUpload {
		f.message += "; what arrived is kept: ask for the upload's status and go on from there"
	}
	return f
}

// fail answers r with err. An error of ours is logged here, once.
func (h *front) fail(w http.ResponseWriter, r *http.Request, t target, err error) {
	f := translate(t, err)
	h.logFault(r, f)
	if f.status == statusClientGone {
		return
	}
	head := w.Header()
	var challenge *ChallengeError
	if errors.As(err, &challenge) && len(challenge.Challenges) > 0 {
		head["Www-Authenticate"] = challenge.Challenges
	}
	var limit *LimitError
	if errors.As(err, &limit) {
		head["Retry-After"] = []string{strconv.Itoa(limit.RetryAfter)}
	}
	if f.status == http.StatusServiceUnavailable {
		head["Retry-After"] = []string{retryAfter}
	}
	if f.status == http.StatusRequestTimeout {
		head["Connection"] = []string{"close"}
	}
	body, err := json.Marshal(envelope{[]entry{{f.code, f.message, f.detail}}})
	if err != nil { // a detail of ours that is no JSON
		body = []byte(`{"errors":[{"code":"UNKNOWN"}]}`)
	}
	head["Content-Type"] = valueJSON
	head["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who went away misses nothing
	}
}

type envelope struct {
	Errors []entry `json:"errors"`
}

type entry struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

func (h *front) logFault(r *http.Request, f *fault) {
	level := slog.LevelDebug
	switch {
	case f.status == http.StatusInternalServerError:
		level = slog.LevelError
	case f.status > http.StatusInternalServerError:
		level = slog.LevelWarn
	}
	if ctx := r.Context(); h.log.Enabled(ctx, level) {
		h.log.Log(ctx, level, "request refused",
			"method", r.Method, "path", r.URL.Path, "status", f.status, "code", f.code, "err", f)
	}
}

// asDistribution gives App what it understands: it compares some errors by value
// and switches on the types of others, so they are returned bare.
func asDistribution(t target, err error) error {
	if err == nil {
		return nil
	}
	f := translate(t, err)
	switch f.code {
	case codeBlobUnknown:
		return distribution.ErrBlobUnknown
	case codeUploadUnknown:
		return distribution.ErrBlobUploadUnknown
	case codeNameUnknown:
		return distribution.ErrRepositoryUnknown{Name: string(t.repo)}
	case codeManifestUnknown:
		if t.tag != "" {
			return distribution.ErrTagUnknown{Tag: string(t.tag)}
		}
		return distribution.ErrManifestUnknownRevision{Name: string(t.repo), Revision: t.digest}
	case codeManifestBlobUnknown:
		var missing *meta.MissingError
		errors.As(err, &missing)
		all := make(distribution.ErrManifestVerification, len(missing.Digests))
		for i, d := range missing.Digests {
			all[i] = distribution.ErrManifestBlobUnknown{Digest: d}
		}
		return all
	}
	return errcode.Error{Code: distributionCode(f), Message: f.message, Detail: f.detail}
}

// distributionCode is the code of distribution's whose status is nearest.
func distributionCode(f *fault) errcode.ErrorCode {
	switch {
	case f.code == codeDigestInvalid:
		return errcode.ErrorCodeDigestInvalid
	case f.code == codeManifestInvalid:
		return errcode.ErrorCodeManifestInvalid
	case f.code == codeUnsupported:
		return errcode.ErrorCodeUnsupported
	case f.code == codeDenied:
		return errcode.ErrorCodeDenied
	case f.code == codeTagInvalid:
		return errcode.ErrorCodeTagInvalid
	case f.status == http.StatusServiceUnavailable:
		return errcode.ErrorCodeUnavailable
	}
	return errcode.ErrorCodeUnknown
}
