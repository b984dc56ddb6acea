package appliance

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"time"

	"skerry.dev/skerry/kube/resource"
	"skerry.dev/skerry/meta"
)

// A view is how an object is looked at.
type view struct {
	since  func(kind string) resource.Since
	reveal bool // secret values, too
}

// withStatus is a stored object as it is shown.
func (a *Appliance) withStatus(r meta.Resource, v view) ([]byte, error) {
	doc, err := resource.Show(r.Doc, r.Version, v.reveal)
	if err != nil {
		return nil, err
	}
	switch r.Kind {
	case resource.ConfigKind:
		facts, err := a.configFacts(r.Doc, v.since(r.Kind))
		if err != nil {
			return nil, err
		}
		return resource.ConfigWithStatus(doc, facts)
	case resource.PrunerKind:
		p, err := resource.ReadPruner(r.Doc)
		if err != nil {
			return nil, err
		}
		return resource.PrunerWithStatus(doc, a.pruned.get(), p.Next(time.Now()), v.since(r.Kind))
	case resource.ImageKind:
		facts, err := a.imageFacts(r.Doc)
		if err != nil {
			return nil, err
		}
		return resource.ImageWithStatus(doc, facts)
	}
	return doc, nil
}

// conditions are those of the Config.
func (a *Appliance) conditions() ([]resource.Condition, error) {
	k, _ := resource.KindOf(resource.ConfigKind)
	r, err := a.object(k, resource.SingleName)
	if err != nil {
		return nil, err
	}
	doc, err := a.withStatus(r, view{since: a.since.of})
	if err != nil {
		return nil, err
	}
	return resource.Conditions(doc)
}

func (a *Appliance) configFacts(doc []byte, since resource.Since) (resource.ConfigFacts, error) {
	c, err := resource.ReadConfig(doc)
	if err != nil {
		return resource.ConfigFacts{}, err
	}
	secret, err := a.secret(resource.StorageSecret)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return resource.ConfigFacts{}, err
	}
	f := resource.ConfigFacts{
		Version:   Version(),
		Serving:   c.State != resource.Removed && a.served() == nil,
		Ephemeral: a.ephemeral(),
		Bucket:    a.bucketFacts(),
		Storage:   c.Storage.With(secret),
		Cluster:   a.clusterFacts(),
		Since:     since,
	}
	if c.State == resource.Managed && !a.place.bySettings {
		if f.Move, err = a.moveOf(c.Storage); err != nil {
			return f, err
		}
	}
	f.Overruled = a.overruled(c.Storage)
	if f.Trust, err = a.trustTrouble(); err != nil {
		f.Image = err.Error()
	}
	if err := a.writeTrouble(); err != nil {
		f.Writes = err.Error()
	}
	if c.State == resource.Managed && c.HTTPSecret != a.httpSecret {
		f.Restart = []string{"spec.httpSecret"}
	}
	if _, f.Routes, err = a.routes(c.Routes); err != nil {
		return f, err
	}
	for _, r := range c.Routes {
		if r.Secret != "" && f.Routes[r.Name] == "" {
			f.Routes[r.Name] = a.rule.Load().hostsError
		}
	}
	return f, nil
}

func (a *Appliance) imageFacts(doc []byte) (f resource.ImageFacts, err error) {
	rule := a.rule.Load()
	name := a.published(a.publicName())
	if rule.State != resource.Removed {
		f.Internal = name
	}
	if rule.DefaultRoute && rule.State != resource.Removed {
		f.Default = name
	}
	for _, r := range rule.Routes {
		if r.Hostname != "" && rule.State != resource.Removed {
			f.Routes = append(f.Routes, a.published(r.Hostname))
		}
	}
	f.Trust, err = a.trustTroubleOf(doc)
	return f, err
}

// published is a host name with the port at which this node answers.
func (a *Appliance) published(host string) string {
	if a.addr == nil {
		return host
	}
	_, port, err := net.SplitHostPort(a.addr.String())
	if err != nil || port == "443" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// trustTrouble is what is wrong with the certificates that image.config trusts.
func (a *Appliance) trustTrouble() (string, error) {
	k, _ := resource.KindOf(resource.ImageKind)
	r, err := a.object(k, resource.SingleName)
	if err != nil {
		return "", err
	}
	return a.trustTroubleOf(r.Doc)
}

func (a *Appliance) trustTroubleOf(image []byte) (string, error) {
	name, err := resource.TrustedCA(image)
	if name == "" || err != nil {
		return "", err
	}
	data, err := a.configMap(name)
	if errors.Is(err, meta.ErrNotFound) {
		return fmt.Sprintf("spec.additionalTrustedCA: there is no ConfigMap %s/%s", resource.ConfigMapNamespace, name), nil
	}
	if err != nil {
		return "", err
	}
	return resource.CheckCertificates(name, data), nil
}

// secret is what a Secret holds, or [meta.ErrNotFound].
func (a *Appliance) secret(name string) (map[string][]byte, error) {
	r, err := a.meta.Resource(resource.SecretKind, resource.SecretNamespace, name)
	if err != nil {
		return nil, err
	}
	return resource.SecretData(r.Doc)
}

// configMap is what a ConfigMap holds, or [meta.ErrNotFound].
func (a *Appliance) configMap(name string) (map[string][]byte, error) {
	r, err := a.meta.Resource(resource.ConfigMapKind, resource.ConfigMapNamespace, name)
	if err != nil {
		return nil, err
	}
	return resource.ConfigMapData(r.Doc)
}

// ephemeral reports whether the data directory is in memory.
func (a *Appliance) ephemeral() bool {
	on := fleeting(a.cfg.Data)
	return on == "tmpfs" || on == "ramfs"
}

// writeTrouble is why pushes fail though nobody asked for it, or nil.
func (a *Appliance) writeTrouble() error {
	return cmp.Or(a.roomForUploads(), a.storageTrouble(), a.node.Status().Trouble)
}
