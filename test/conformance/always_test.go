//go:build conformance

package conformance_test

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

const warningBytesMax = 4096

var warningForm = regexp.MustCompile(`^299 - "([^"\\]|\\.)*"$`)

// checkAlways checks the rules that hold for every answer.
func (p *reply) checkAlways() {
	p.t.Helper()
	// No section knows of a failure that is the registry's own.
	if p.status >= http.StatusInternalServerError {
		p.fail("status %d", p.status)
	}
	p.checkWarnings()
	if p.status >= 400 && p.status < 500 && p.isJSON() {
		p.checkErrors()
	}
	if d := p.header.Get("Docker-Content-Digest"); d != "" {
		if _, err := digest.Parse(d); err != nil {
			p.fail("Docker-Content-Digest %q: %v", d, err)
		}
	}
}

// checkWarnings holds an answer to "Warnings": "`Warning` headers MUST specify a
// `warn-code` of `299` and a `warn-agent` of `-`, and MUST NOT specify a
// `warn-date` value" and "MUST NOT send more than 4096 bytes of warning data".
func (p *reply) checkWarnings() {
	p.t.Helper()
	total := 0
	for _, w := range p.header.Values("Warning") {
		total += len(w)
		if !warningForm.MatchString(w) {
			p.fail("Warning %q has not the form 299 - \"…\"", w)
		}
	}
	if total > warningBytesMax {
		p.fail("%d bytes of warnings, at most %d are allowed", total, warningBytesMax)
	}
}

func (p *reply) isJSON() bool {
	mediaType, _, err := mime.ParseMediaType(p.header.Get("Content-Type"))
	return err == nil && len(p.body) > 0 && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

type errorBody struct {
	Errors []struct {
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	} `json:"errors"`
}

// errorCodes returns the codes of an error body, in order.
func (p *reply) errorCodes() []string {
	var body errorBody
	if err := json.Unmarshal(p.body, &body); err != nil {
		return nil
	}
	codes := make([]string, len(body.Errors))
	for i, e := range body.Errors {
		codes[i] = e.Code
	}
	return codes
}

// checkErrors holds a refusal to "Error Codes": "If the response body is in JSON
// format, it MUST have the following format" and "The `code` field MUST be one
// of the following".
func (p *reply) checkErrors() {
	p.t.Helper()
	var body errorBody
	if err := json.Unmarshal(p.body, &body); err != nil {
		p.fail("error body is not of the specified form: %v", err)
		return
	}
	if len(body.Errors) == 0 {
		p.fail("error body without errors")
	}
	for _, e := range body.Errors {
		if !specified(e.Code) {
			p.fail("error code %q is not one of the specification's", e.Code)
		}
	}
}

// specified reports whether code is in the table of "Error Codes", or one of
// the two that "Legacy Docker support error codes" lets a client meet.
func specified(code string) bool {
	switch code {
	case "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID",
		"MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN",
		"SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
		"TAG_INVALID", "MANIFEST_UNVERIFIED":
		return true
	}
	return false
}
