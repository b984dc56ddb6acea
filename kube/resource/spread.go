package resource

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// A Spread is what spec.topologySpreadConstraints asks of copies of blobs.
type Spread struct {
	Host, Zone SpreadConstraint
}

// A SpreadConstraint is one of its items, or several of one topology.
type SpreadConstraint struct {
	MaxSkew int  // 0: there is none
	Refuse  bool // whenUnsatisfiable is DoNotSchedule
}

// defaultSpread holds where there are no constraints: a lost host must not lose data,
// and a lost zone must not stop pushes.
func defaultSpread() Spread {
	return Spread{Host: SpreadConstraint{MaxSkew: 1, Refuse: true}, Zone: SpreadConstraint{MaxSkew: 1}}
}

// spreadOf is what constraints come to. Others than of host and zone are left out,
// which status tells.
func spreadOf(constraints []corev1.TopologySpreadConstraint) Spread {
	if len(constraints) == 0 {
		return defaultSpread()
	}
	var s Spread
	for _, c := range constraints {
		switch c.TopologyKey {
		case corev1.LabelHostname:
			s.Host = s.Host.with(c)
		case corev1.LabelTopologyZone:
			s.Zone = s.Zone.with(c)
		}
	}
	if s == (Spread{}) {
		return defaultSpread()
	}
	return s
}

// with adds a constraint. Of two the one that refuses counts, as it does in Kubernetes.
func (s SpreadConstraint) with(c corev1.TopologySpreadConstraint) SpreadConstraint {
	refuse := c.WhenUnsatisfiable == corev1.DoNotSchedule
	switch {
	case s.MaxSkew == 0 || refuse && !s.Refuse:
		return SpreadConstraint{MaxSkew: int(c.MaxSkew), Refuse: refuse}
	case s.Refuse == refuse:
		s.MaxSkew = min(s.MaxSkew, int(c.MaxSkew))
	}
	return s
}

// validateSpread refuses what Kubernetes would.
func validateSpread(constraints []corev1.TopologySpreadConstraint, p *problems) {
	seen := map[string]bool{}
	for i, c := range constraints {
		path := "spec.topologySpreadConstraints[" + itoa(i) + "]"
		if c.MaxSkew <= 0 {
			p.add(path+".maxSkew", "%d: must be greater than zero", c.MaxSkew)
		}
		if c.TopologyKey == "" {
			p.add(path+".topologyKey", "can not be empty")
		}
		oneOf(p, path+".whenUnsatisfiable", c.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
		key := fmt.Sprintf("{%s, %s}", c.TopologyKey, c.WhenUnsatisfiable)
		if seen[key] {
			p.add(path, "duplicate %s", key)
		}
		seen[key] = true
	}
}

// unmetSpread names what of the constraints does nothing here.
func unmetSpread(tree map[string]any) (lines []string) {
	items, _ := at(tree, "spec.topologySpreadConstraints").([]any)
	for i, item := range items {
		path := "spec.topologySpreadConstraints[" + itoa(i) + "]"
		if key := at(item, "topologyKey"); key != corev1.LabelHostname && key != corev1.LabelTopologyZone {
			lines = append(lines, fmt.Sprintf("%s.topologyKey: %v; nodes here have a host name and a zone: %s, %s",
				path, key, corev1.LabelHostname, corev1.LabelTopologyZone))
			continue
		}
		for _, name := range []string{
			"labelSelector", "minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy", "matchLabelKeys",
		} {
			if !zero(at(item, name)) {
				lines = append(lines, path+"."+name+": "+noPods)
			}
		}
	}
	return lines
}
