package resource

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	operatorv1 "github.com/openshift/api/operator/v1"

	registryv1 "github.com/openshift/api/imageregistry/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A State is what spec.managementState asks for.
type State string

// The states.
const (
	Managed   State = "Managed"
	Unmanaged State = "Unmanaged"
	Removed   State = "Removed"
)

// Limits bound the requests of one class, as spec.requests does. MaxRunning 0
// is no limit; MaxWait 0 waits as long as it takes.
type Limits struct {
	MaxRunning, MaxInQueue int
	MaxWait                time.Duration
}

// A Route is a name of the registry with a certificate of its own.
type Route struct {
	Name     string
	Hostname string // "" is a mistake that status tells
	Secret   string // in [SecretNamespace]; "" is the node's own certificate
}

// A Verbosity is how much is logged.
type Verbosity string

// The verbosities.
const (
	AsConfigured Verbosity = "" // what the machine's own configuration says
	DebugLog     Verbosity = "debug"
	WarnLog      Verbosity = "warn"
)

// A Config is what the appliance does with the object of that kind.
type Config struct {
	State           State
	ReadOnly        bool
	DisableRedirect bool
	Reads, Writes   Limits
	Routes          []Route
	DefaultRoute    bool
	HTTPSecret      string // "" is one that the registry made itself
	Verbosity       Verbosity
	Storage         Storage // without what Secrets say: see [Storage.With]
	Replicas        int32
	Spread          Spread
}

// defaultConfig is OpenShift's, with the storage that a machine has.
func defaultConfig(ephemeral bool) ([]byte, error) {
	storage := registryv1.ImageRegistryConfigStorage{ManagementState: registryv1.StorageManagementStateUnmanaged}
	if ephemeral {
		storage.EmptyDir = &registryv1.ImageRegistryConfigStorageEmptyDir{}
	} else {
		storage.PVC = &registryv1.ImageRegistryConfigStoragePVC{}
	}
	return encode(registryv1.Config{
		TypeMeta:   metav1.TypeMeta{APIVersion: "imageregistry.operator.openshift.io/v1", Kind: ConfigKind},
		ObjectMeta: metav1.ObjectMeta{Name: SingleName},
		Spec: registryv1.ImageRegistrySpec{
			OperatorSpec: operatorv1.OperatorSpec{
				ManagementState: operatorv1.Managed, LogLevel: operatorv1.Normal, OperatorLogLevel: operatorv1.Normal,
			},
			Storage:  storage,
			Replicas: 1,
		},
	})
}

// ReadConfig is what a stored Config means.
func ReadConfig(doc []byte) (Config, error) {
	var o registryv1.Config
	if err := json.Unmarshal(doc, &o); err != nil {
		return Config{}, fmt.Errorf("read stored %s: %w", ConfigKind, err)
	}
	spec := o.Spec
	c := Config{
		State:           State(spec.ManagementState),
		ReadOnly:        spec.ReadOnly,
		DisableRedirect: spec.DisableRedirect,
		Reads:           limitsOf(spec.Requests.Read),
		Writes:          limitsOf(spec.Requests.Write),
		DefaultRoute:    spec.DefaultRoute,
		HTTPSecret:      spec.HTTPSecret,
		Verbosity:       verbosity(spec),
		Storage:         storageOf(spec.Storage),
		Replicas:        spec.Replicas,
		Spread:          spreadOf(spec.TopologySpreadConstraints),
	}
	if c.State == "" {
		c.State = Managed
	}
	for _, r := range spec.Routes {
		c.Routes = append(c.Routes, Route{r.Name, r.Hostname, r.SecretName})
	}
	return c, nil
}

func limitsOf(l registryv1.ImageRegistryConfigRequestsLimits) Limits {
	return Limits{l.MaxRunning, l.MaxInQueue, l.MaxWaitInQueue.Duration}
}

// verbosity is one, since operator and registry are one process: what either of
// the two levels asks for, else what the old field does.
func verbosity(spec registryv1.ImageRegistrySpec) Verbosity {
	loud := []operatorv1.LogLevel{operatorv1.Debug, operatorv1.Trace, operatorv1.TraceAll}
	switch {
	case slices.Contains(loud, spec.LogLevel), slices.Contains(loud, spec.OperatorLogLevel):
		return DebugLog
	case spec.Logging == 1:
		return WarnLog
	case spec.Logging > 3:
		return DebugLog
	}
	return AsConfigured
}
