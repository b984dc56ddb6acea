package resource

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	registryv1 "github.com/openshift/api/imageregistry/v1"
	operatorv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// validate reports what cannot be in an object; what is only missing is for
// its status to tell.
func validate(o metav1.Object, p *problems) {
	switch o := o.(type) {
	case *registryv1.Config:
		validateConfig(o.Spec, p)
	case *registryv1.ImagePruner:
		validatePruner(o.Spec, p)
	case *configv1.Image:
		validateImage(o.Spec, p)
	case *corev1.Secret:
		validateSecret(o, p)
	case *corev1.ConfigMap:
		for _, key := range sortedKeys(o.Data) {
			if bad := validation.IsConfigMapKey(key); len(bad) > 0 {
				p.add("data", "key %q: %s", key, bad[0])
			}
		}
	}
}

func validateConfig(spec registryv1.ImageRegistrySpec, p *problems) {
	oneOf(p, "spec.managementState", spec.ManagementState, "", "Managed", "Unmanaged", "Removed")
	logLevel(p, "spec.logLevel", spec.LogLevel)
	logLevel(p, "spec.operatorLogLevel", spec.OperatorLogLevel)
	oneOf(p, "spec.rolloutStrategy", spec.RolloutStrategy, "", "RollingUpdate", "Recreate")
	if spec.Replicas < 0 {
		p.add("spec.replicas", "%d: replicas must be greater than or equal to 0", spec.Replicas)
	}
	validateLimits(spec.Requests.Read, "spec.requests.read", p)
	validateLimits(spec.Requests.Write, "spec.requests.write", p)
	validateRoutes(spec, p)
	validateSpread(spec.TopologySpreadConstraints, p)
	for path, raw := range map[string][]byte{
		"spec.unsupportedConfigOverrides": spec.UnsupportedConfigOverrides.Raw,
		"spec.observedConfig":             spec.ObservedConfig.Raw,
	} {
		var m map[string]any
		if len(raw) > 0 && json.Unmarshal(raw, &m) != nil {
			p.add(path, "want fields")
		}
	}
	webAddress(p, "spec.proxy.http", spec.Proxy.HTTP)
	webAddress(p, "spec.proxy.https", spec.Proxy.HTTPS)
	validateStorage(spec.Storage, p)
}

func validateLimits(l registryv1.ImageRegistryConfigRequestsLimits, path string, p *problems) {
	for name, v := range map[string]int{"maxRunning": l.MaxRunning, "maxInQueue": l.MaxInQueue} {
		if v < 0 {
			p.add(path+"."+name, "%d: must not be negative", v)
		}
	}
	if l.MaxWaitInQueue.Duration < 0 {
		p.add(path+".maxWaitInQueue", "%s: must not be negative", l.MaxWaitInQueue.Duration)
	}
}

func validateRoutes(spec registryv1.ImageRegistrySpec, p *problems) {
	names, hosts := map[string]bool{"default-route": true}, map[string]bool{}
	for i, r := range spec.Routes {
		path := "spec.routes[" + itoa(i) + "]"
		switch {
		case len(validation.IsDNS1123Subdomain(r.Name)) > 0:
			p.add(path+".name", "%q: want lower case letters, digits, - and .", r.Name)
		case names[r.Name]:
			p.add(path+".name", "%q: duplication of names has been detected in the additional routes", r.Name)
		}
		names[r.Name] = true
		if r.Hostname == "" {
			continue
		}
		if !isHost(r.Hostname) {
			p.add(path+".hostname", "%q: want a host name, without scheme and port", r.Hostname)
		}
		if hosts[r.Hostname] {
			p.add(path+".hostname", "%q: another route has it", r.Hostname)
		}
		hosts[r.Hostname] = true
		if r.SecretName != "" && len(validation.IsDNS1123Subdomain(r.SecretName)) > 0 {
			p.add(path+".secretName", "%q: not the name of a Secret", r.SecretName)
		}
	}
}

func validateSecret(o *corev1.Secret, p *problems) {
	keys := map[string]bool{}
	for key := range o.Data {
		keys[key] = true
	}
	for key := range o.StringData {
		keys[key] = true
	}
	for _, key := range sortedKeys(keys) {
		if bad := validation.IsConfigMapKey(key); len(bad) > 0 {
			p.add("data", "key %q: %s", key, bad[0])
		}
	}
	if o.Type != corev1.SecretTypeTLS {
		return
	}
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if !keys[key] {
			p.add("data", "a Secret of type %s needs the key %s", o.Type, key)
		}
	}
}

func logLevel(p *problems, path string, level operatorv1.LogLevel) {
	oneOf(p, path, level, "", operatorv1.Normal, operatorv1.Debug, operatorv1.Trace, operatorv1.TraceAll)
}

// oneOf refuses values that are not among those allowed; "" stands for none.
func oneOf[S ~string](p *problems, path string, v S, allowed ...S) {
	if slices.Contains(allowed, v) {
		return
	}
	var names []string
	for _, a := range allowed {
		if a != "" {
			names = append(names, string(a))
		}
	}
	p.add(path, "%q: want %s", v, strings.Join(names, ", "))
}

// matches refuses values that are given and not of a pattern.
func matches(p *problems, path, v, pattern, want string) {
	if v != "" && !regexp.MustCompile(pattern).MatchString(v) {
		p.add(path, "%q: want %s", v, want)
	}
}

// webAddress refuses values that are given and no URL with scheme and host.
func webAddress(p *problems, path, v string) {
	if v == "" {
		return
	}
	if u, err := url.Parse(v); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		p.add(path, "%q: want a URL with scheme, as https://host", v)
	}
}

func isHost(s string) bool { return len(validation.IsDNS1123Subdomain(strings.ToLower(s))) == 0 }
