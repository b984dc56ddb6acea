package auth

import (
	"crypto/x509"
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

// verifiedChains is what the listener verified of the client.
func verifiedChains(r *http.Request) [][]*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.VerifiedChains
}
