package resource

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// SecretData is what a stored Secret holds. The caller must not show it.
func SecretData(doc []byte) (map[string][]byte, error) {
	var o corev1.Secret
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read stored %s: %w", SecretKind, err)
	}
	return o.Data, nil
}

// ConfigMapData is what a stored ConfigMap holds, text and bytes alike.
func ConfigMapData(doc []byte) (map[string][]byte, error) {
	var o corev1.ConfigMap
	if err := json.Unmarshal(doc, &o); err != nil {
		return nil, fmt.Errorf("read stored %s: %w", ConfigMapKind, err)
	}
	data := map[string][]byte{}
	for key, v := range o.Data {
		data[key] = []byte(v)
	}
	for key, v := range o.BinaryData {
		data[key] = v
	}
	return data, nil
}

// caKey is where OpenShift's Secrets of routes have the rest of the chain.
const caKey = "tls.cacrt"

// RouteCertificate takes certificate, with its chain, and key in PEM out of a
// route's Secret. An error says why clients that ask for hostname would not be
// served with it at the time now.
func RouteCertificate(secret map[string][]byte, hostname string, now time.Time) (cert, key []byte, err error) {
	cert, key = bytes.Clone(secret[corev1.TLSCertKey]), secret[corev1.TLSPrivateKeyKey]
	if len(cert) == 0 || len(key) == 0 {
		return nil, nil, fmt.Errorf("its Secret needs the keys %s and %s", corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	leaf, err := firstCertificate(cert)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", corev1.TLSCertKey, err)
	}
	signer, err := privateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", corev1.TLSPrivateKeyKey, err)
	}
	public, ok := signer.Public().(interface{ Equal(x crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", corev1.TLSPrivateKeyKey, corev1.TLSCertKey)
	}
	if err := leaf.VerifyHostname(hostname); err != nil {
		return nil, nil, fmt.Errorf("its certificate is for another name: %w", err)
	}
	if now.After(leaf.NotAfter) {
		return nil, nil, fmt.Errorf("its certificate ended at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if chain := secret[caKey]; len(chain) > 0 {
		cert = append(append(cert, '\n'), chain...)
	}
	return cert, key, nil
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func privateKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no private key in PEM")
	}
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("no private key of a kind that is known")
	}
	return signer, nil
}

// CheckCertificates returns what is wrong with certificates by their hosts, of
// which the names have .. for the colon before the port; "" nothing.
func CheckCertificates(name string, data map[string][]byte) string {
	if len(data) == 0 {
		return fmt.Sprintf("ConfigMap %s/%s has no certificate", ConfigMapNamespace, name)
	}
	for _, key := range sortedKeys(data) {
		if _, err := firstCertificate(data[key]); err != nil {
			return fmt.Sprintf("ConfigMap %s/%s, key %s: %v", ConfigMapNamespace, name, key, err)
		}
	}
	return ""
}
