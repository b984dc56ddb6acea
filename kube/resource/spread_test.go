package resource_test

import (
	"strings"
	"testing"

	"skerry.dev/skerry/kube/resource"
)

func TestConstraintsBecomeASpread(t *testing.T) {
	constraint := func(key, when, skew string) string {
		return "{maxSkew: " + skew + ", topologyKey: " + key + ", whenUnsatisfiable: " + when + "}"
	}
	const host, zone, rack = "kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"
	const must, may = "DoNotSchedule", "ScheduleAnyway"
	one := func(skew int, refuse bool) resource.SpreadConstraint {
		return resource.SpreadConstraint{MaxSkew: skew, Refuse: refuse}
	}
	for name, c := range map[string]struct {
		given []string
		want  resource.Spread
	}{
		"none": {nil, resource.Spread{Host: one(1, true), Zone: one(1, false)}},
		"host": {[]string{constraint(host, must, "1")}, resource.Spread{Host: one(1, true)}},
		"zone": {[]string{constraint(zone, may, "2")}, resource.Spread{Zone: one(2, false)}},
		"both": {
			[]string{constraint(zone, must, "1"), constraint(host, may, "1")},
			resource.Spread{Host: one(1, false), Zone: one(1, true)},
		},
		"must wins": {
			[]string{constraint(zone, may, "1"), constraint(zone, must, "3")},
			resource.Spread{Zone: one(3, true)},
		},
		"must wins last": {
			[]string{constraint(zone, must, "3"), constraint(zone, may, "1")},
			resource.Spread{Zone: one(3, true)},
		},
		"another": {[]string{constraint(rack, must, "1")}, resource.Spread{Host: one(1, true), Zone: one(1, false)}},
	} {
		doc := store(t, "apiVersion: imageregistry.operator.openshift.io/v1\nkind: Config\nmetadata: {name: cluster}\n"+
			"spec: {topologySpreadConstraints: ["+strings.Join(c.given, ", ")+"]}")
		got, err := resource.ReadConfig(doc)
		if err != nil || got.Spread != c.want {
			t.Errorf("%s: %+v, want %+v; error %v", name, got.Spread, c.want, err)
		}
	}
}

func TestConstraintsThatKubernetesRefusesAreRefused(t *testing.T) {
	for given, words := range map[string]string{
		"{maxSkew: 0, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule}": "maxSkew",
		"{maxSkew: 1, whenUnsatisfiable: DoNotSchedule}":                                      "topologyKey",
		"{maxSkew: 1, topologyKey: kubernetes.io/hostname}":                                   "whenUnsatisfiable",
		"{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}, " +
			"{maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule}": "duplicate",
	} {
		_, err := resource.Decode([]byte("apiVersion: imageregistry.operator.openshift.io/v1\nkind: Config\n" +
			"metadata: {name: cluster}\nspec: {topologySpreadConstraints: [" + given + "]}"))
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", given, err, words)
		}
	}
}
