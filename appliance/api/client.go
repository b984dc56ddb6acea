package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// A Client speaks to a served [Handler]. Its errors are [*Failure] where the
// server answered.
type Client struct {
	HTTP           *http.Client
	Base           string // "https://host:port" or, over a socket, "http://skerry"
	User, Password string // "" sends none
}

// Status is [Operator.Status].
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, Prefix+"/status", nil, &s)
}

// Collect is [Operator.Collect].
func (c *Client) Collect(ctx context.Context, q CollectRequest) (r meta.CollectReport, err error) {
	return r, c.call(ctx, http.MethodPost, Prefix+"/collect", q, &r)
}

// Prune is [Operator.Prune].
func (c *Client) Prune(ctx context.Context, q PruneRequest) (r meta.PruneReport, err error) {
	return r, c.call(ctx, http.MethodPost, Prefix+"/prune", q, &r)
}

// History is [Operator.History].
func (c *Client) History(ctx context.Context, repo, tag string) (h []meta.TagEvent, err error) {
	q := url.Values{"repository": {repo}, "tag": {tag}}
	return h, c.call(ctx, http.MethodGet, Prefix+"/history?"+q.Encode(), nil, &h)
}

// Deleted is [Operator.Deleted].
func (c *Client) Deleted(ctx context.Context, repo string) (d []meta.Deleted, err error) {
	q := url.Values{"repository": {repo}}
	return d, c.call(ctx, http.MethodGet, Prefix+"/deleted?"+q.Encode(), nil, &d)
}

// Undelete is [Operator.Undelete].
func (c *Client) Undelete(ctx context.Context, q UndeleteRequest) error {
	return c.call(ctx, http.MethodPost, Prefix+"/undelete", q, nil)
}

// TagRules is [Operator.TagRules].
func (c *Client) TagRules(ctx context.Context) (rules []meta.TagRule, err error) {
	return rules, c.call(ctx, http.MethodGet, Prefix+"/tagrules", nil, &rules)
}

// SetTagRules is [Operator.SetTagRules].
func (c *Client) SetTagRules(ctx context.Context, rules []meta.TagRule) error {
	return c.call(ctx, http.MethodPut, Prefix+"/tagrules", rules, nil)
}

// Reload is [Operator.Reload].
func (c *Client) Reload(ctx context.Context) (r ReloadReport, err error) {
	return r, c.call(ctx, http.MethodPost, Prefix+"/reload", nil, &r)
}

// Object is [Operator.Object].
func (c *Client) Object(ctx context.Context, k resource.Kind, name string) (doc json.RawMessage, err error) {
	return doc, c.call(ctx, http.MethodGet, k.Path()+"/"+url.PathEscape(name), nil, &doc)
}

// Objects is [Operator.Objects].
func (c *Client) Objects(ctx context.Context, k resource.Kind) ([]json.RawMessage, error) {
	var list objectList
	err := c.call(ctx, http.MethodGet, k.Path(), nil, &list)
	return list.Items, err
}

// Reveal is [Operator.Reveal].
func (c *Client) Reveal(ctx context.Context, n ObjectName) (doc json.RawMessage, err error) {
	return doc, c.call(ctx, http.MethodPost, Prefix+"/objects/reveal", n, &doc)
}

// ApplyObject is [Operator.ApplyObject].
func (c *Client) ApplyObject(ctx context.Context, q ApplyRequest) (a Applied, err error) {
	return a, c.call(ctx, http.MethodPost, Prefix+"/objects/apply", q, &a)
}

// DeleteObject is [Operator.DeleteObject].
func (c *Client) DeleteObject(ctx context.Context, n ObjectName) error {
	return c.call(ctx, http.MethodPost, Prefix+"/objects/delete", n, nil)
}

// Scrub is [Operator.Scrub].
func (c *Client) Scrub(ctx context.Context, q ScrubRequest, progress func(ScrubReport)) (last ScrubReport, err error) {
	err = c.stream(ctx, Prefix+"/scrub", q, func(e event) {
		if e.Scrub != nil {
			last = *e.Scrub
			progress(last)
		}
	})
	return last, err
}

// Check is [Operator.Check].
func (c *Client) Check(ctx context.Context, found func(meta.Problem)) error {
	return c.stream(ctx, Prefix+"/check", struct{}{}, func(e event) {
		if e.Problem != nil {
			found(*e.Problem)
		}
	})
}

// Backup writes the archive to w. An error means that what was written is not
// a backup.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, Prefix+"/backup", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	return nil
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func (c *Client) stream(ctx context.Context, path string, in any, each func(event)) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	resp, err := c.send(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return errors.New("the server broke off before it was done")
		} else if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if e.Failure != nil {
			return e.Failure
		}
		if e.Done {
			return nil
		}
		each(e)
	}
}

// send returns an answer that is 2xx, or its [*Failure]. The caller closes the
// body.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	f := new(Failure)
	if err := json.NewDecoder(io.LimitReader(resp.Body, bodyMax)).Decode(f); err != nil || f.Message == "" {
		return nil, fmt.Errorf("%s %s: the server answered %s, which is not Skerry's way to say no",
			method, path, resp.Status)
	}
	return nil, f
}
