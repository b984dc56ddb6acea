package peer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// command has a command agreed by this node, if it leads.
func (h *handler) command(w http.ResponseWriter, r *http.Request) error {
	command, err := readBody(w, r, h.cfg.CommandMax)
	if err != nil {
		return err
	}
	index, answer, err := h.cfg.Agreement.ProposeHere(r.Context(), command)
	if err != nil {
		return err
	}
	head := w.Header()
	head.Set(headerIndex, strconv.FormatUint(index, 10))
	head.Set("Content-Type", "application/octet-stream")
	head.Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // who went away does not know its fate, and has to live with that
	return nil
}

func (h *handler) readIndex(w http.ResponseWriter, r *http.Request) error {
	index, err := h.cfg.Agreement.ReadIndexHere(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set(headerIndex, strconv.FormatUint(index, 10))
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, h.cfg.Status(r.Context()))
}

func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
	return nil
}

// blob gives bytes. What goes wrong after the first of them cuts the connection,
// so that nobody takes a part for the whole.
func (h *handler) blob(w http.ResponseWriter, r *http.Request) error {
	d, err := parseDigest(strings.TrimPrefix(r.URL.Path, pathBlobs))
	if err != nil {
		return err
	}
	f, err := h.cfg.Blob(r.Context(), d)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	w.Header().Set("ETag", etag(d))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

func etag(d digest.Digest) string { return `"` + d.String() + `"` }

func parseDigest(s string) (digest.Digest, error) {
	if len(s) > 256 {
		return "", fmt.Errorf("%w: a digest of %d bytes", ErrRequest, len(s))
	}
	d, err := digest.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%w: digest %q: %w", ErrRequest, s, err)
	}
	return d, nil
}

// wanted is the body of a want.
type wanted struct {
	Digests []string `json:"digests"`
}

func (h *handler) want(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, wantMax*256)
	if err != nil {
		return err
	}
	var body wanted
	if err := json.Unmarshal(b, &body); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if len(body.Digests) > wantMax {
		return fmt.Errorf("%w: %d digests, at most %d", ErrTooLarge, len(body.Digests), wantMax)
	}
	digests := make([]digest.Digest, len(body.Digests))
	for i, s := range body.Digests {
		if digests[i], err = parseDigest(s); err != nil {
			return err
		}
	}
	if err := h.cfg.Want(r.Context(), identityOf(r).server, digests); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *handler) renew(w http.ResponseWriter, r *http.Request) error {
	if err := h.cfg.Renew(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) sweep(w http.ResponseWriter, _ *http.Request) error {
	h.cfg.Sweep()
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// public answers a client's request, as if it had come here: with the original
// path, and without the headers that brought it.
func (h *handler) public(w http.ResponseWriter, r *http.Request, id identity) error {
	asker := Asker{Server: id.server, Remote: r.Header.Get(headerRemote), Proto: r.Header.Get(headerProto)}
	var err error
	if asker.Identity, err = base64.StdEncoding.DecodeString(r.Header.Get(headerAsker)); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRequest, headerAsker, err)
	}
	if _, err := netip.ParseAddrPort(asker.Remote); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRequest, headerRemote, err)
	}
	if asker.Proto != "http" && asker.Proto != "https" {
		return fmt.Errorf("%w: %s %.20q", ErrRequest, headerProto, asker.Proto)
	}
	h.original(asker).ServeHTTP(w, r)
	return nil
}

// original is Public for requests as their client made them.
func (h *handler) original(asker Asker) http.Handler {
	return http.StripPrefix(pathPublic, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(withAsker(r.Context(), asker))
		r.RemoteAddr, r.RequestURI = asker.Remote, r.URL.RequestURI()
		r.TLS = nil // it is the node's: what its certificate names is not who asks
		dropOurs(r.Header)
		if r.Header.Get("X-Forwarded-Proto") == "" {
			r.Header.Set("X-Forwarded-Proto", asker.Proto)
		}
		h.cfg.Public.ServeHTTP(w, r)
	}))
}

// dropOurs removes headers that only nodes may set.
func dropOurs(head http.Header) {
	for name := range head {
		if strings.HasPrefix(name, headerOurs) {
			delete(head, name)
		}
	}
}
