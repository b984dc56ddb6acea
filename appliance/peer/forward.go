package peer

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
)

// Forward passes a client's request on to the node that it concerns, and its
// answer back, both as they come. identity tells that node who the client is, in
// the caller's words: they are believed there. What could not be passed on is
// given to failed, which answers; then the error is [ErrNotSent] if nothing
// reached the node. A request that was passed on already is [ErrLoop].
func (c *Client) Forward(
	w http.ResponseWriter, r *http.Request, to Node, identity []byte,
	failed func(http.ResponseWriter, *http.Request, error),
) {
	if _, again := AskerOf(r.Context()); again {
		failed(w, r, fmt.Errorf("%s: %w", to.Server, ErrLoop))
		return
	}
	if to.Server == "" || to.Address == "" {
		failed(w, r, fmt.Errorf("%w: node %q has no address, or no server id", ErrNotSent, to))
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(p *httputil.ProxyRequest) { address(p, to, identity) },
		Transport:    &forwarding{c, to},
		ErrorHandler: failed,
		ErrorLog:     slog.NewLogLogger(c.cfg.Log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}

// address writes on a request where it goes and whose it is.
func address(p *httputil.ProxyRequest, to Node, identity []byte) {
	out, in := p.Out, p.In
	out.URL.Scheme, out.URL.Host = "http", host(to)
	out.URL.Path, out.URL.RawPath = pathPublic+in.URL.Path, ""
	if in.URL.RawPath != "" {
		out.URL.RawPath = pathPublic + in.URL.RawPath
	}
	out.URL.RawQuery = in.URL.RawQuery // the proxy leaves out what it cannot parse
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := in.Header[name]; ok {
			out.Header[name] = v
		}
	}
	out.Header.Set(headerAsker, base64.StdEncoding.EncodeToString(identity))
	out.Header.Set(headerRemote, in.RemoteAddr)
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	out.Header.Set(headerProto, proto)
}

// forwarding sends what the other node answers back as it is, unless it is no
// answer to the client but one to this node.
type forwarding struct {
	client *Client
	to     Node
}

// RoundTrip implements http.RoundTripper.
func (f *forwarding) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := f.client.raw(f.client.bulk, req, f.to)
	if err != nil {
		return nil, err
	}
	if resp.Header.Get(headerError) != "" {
		defer func() { _ = resp.Body.Close() }()
		return nil, f.client.errors.failure(f.to.Server, resp)
	}
	return resp, nil
}
