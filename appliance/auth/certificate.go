package auth

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	"skerry.dev/skerry/meta"
)

// certificate is whom a verified client certificate names, by Kubernetes' rule:
// the common name is the user, the organizations are the groups. Who has an
// account of that name is that account. It is nil without one.
func (p *policy) certificate(chains [][]*x509.Certificate) *Principal {
	if len(chains) == 0 || len(chains[0]) == 0 {
		return nil
	}
	subject := chains[0][0].Subject
	if checkPrintable(subject.CommonName) != nil || isRecordOfAnother(subject.CommonName) {
		return nil
	}
	if account, ok := p.accounts[subject.CommonName]; ok {
		return p.account(account, subject.Organization, MethodCertificate)
	}
	return p.principal(meta.SubjectUser, subject.CommonName, subject.Organization, MethodCertificate)
}

// isRecordOfAnother guards the names that would lie in records. Other names of the
// system's, such as system:node:NAME, are the CA's to give.
func isRecordOfAnother(name string) bool {
	return strings.EqualFold(name, anonymousActor) || strings.HasPrefix(name, robots)
}

// verifiedChains is what the listener verified of the client, or another node's did.
func verifiedChains(r *http.Request) [][]*x509.Certificate {
	if r.TLS != nil {
		return r.TLS.VerifiedChains
	}
	if vouched, ok := r.Context().Value(vouchedKey{}).(*x509.Certificate); ok {
		return [][]*x509.Certificate{{vouched}}
	}
	return nil
}

// Certificate is the certificate that r's client showed and the listener verified, in
// DER; nil without one. Another node that is given it takes it by [Vouched].
func Certificate(r *http.Request) []byte {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0].Raw
}

type vouchedKey struct{}

// Vouched is r as if its client had shown a certificate, in DER, that was verified. It
// is believed: call it for what another node of the cluster says, never for what a
// client says. Without a certificate it is r.
func Vouched(r *http.Request, certificate []byte) (*http.Request, error) {
	if len(certificate) == 0 {
		return r, nil
	}
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("read the client's certificate: %w", err)
	}
	return r.WithContext(context.WithValue(r.Context(), vouchedKey{}, c)), nil
}
