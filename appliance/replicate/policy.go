package replicate

import "errors"

// ErrCopies says that a blob has fewer copies, or in fewer places, than the policy
// demands, and that the policy would rather refuse a push than accept it so.
var ErrCopies = errors.New("replicate: too few copies")

// copiesDefault is what a Policy means by no Copies.
const copiesDefault = 2

// A Policy says how many copies there are to be of each blob, and how they are
// spread, in the words of Kubernetes' topologySpreadConstraints. The zero Policy
// spreads nothing: see [DefaultPolicy].
type Policy struct {
	// Copies is how many nodes hold each blob, as soon as there are so many that
	// keep blobs. 0 means 2.
	Copies int
	// Host is the constraint of kubernetes.io/hostname, Zone that of
	// topology.kubernetes.io/zone.
	Host, Zone Constraint
}

// A Constraint is how one of the two topologies spreads copies.
type Constraint struct {
	// MaxSkew is by how many copies two domains may differ. 0 leaves the topology
	// out of all decisions. No host ever gets two copies, so that for hosts every
	// value above 0 means the same.
	MaxSkew int
	// Refuse is whenUnsatisfiable: true is DoNotSchedule, which refuses a push whose
	// copies are not spread so in time, false is ScheduleAnyway, which accepts it.
	Refuse bool
}

// DefaultPolicy is what holds when nothing is configured: two copies on two hosts
// or no push, in two zones where possible, because a lost zone must not stop pushes.
func DefaultPolicy() Policy {
	return Policy{Copies: copiesDefault, Host: Constraint{MaxSkew: 1, Refuse: true}, Zone: Constraint{MaxSkew: 1}}
}

func (p Policy) copies() int {
	if p.Copies <= 0 {
		return copiesDefault
	}
	return p.Copies
}

// A Rule is what a Policy comes to with the nodes there are: how many hosts, and how
// many zones, hold each blob.
type Rule struct {
	Copies int
	Zones  int
}

// Rule is what p demands when copies can be on places, full or not, near or away:
// that a node is down for a while demands no less of the others. Without any place
// it is the zero Rule.
func (p Policy) Rule(places []Place) Rule {
	hosts, zones := make(map[string]bool), make(map[string]bool)
	for _, pl := range places {
		hosts[pl.Host] = true
		zones[pl.Zone] = true
	}
	r := Rule{Copies: min(p.copies(), len(hosts))}
	r.Zones = min(r.Copies, 1)
	if skew := p.Zone.MaxSkew; skew > 0 && r.Copies > 0 {
		// Copies in all zones can always be spread evenly. While one zone has none, no
		// other may have more than maxSkew.
		r.Zones = min(len(zones), (r.Copies+skew-1)/skew)
	}
	return r
}

// meets says whether copies on places follow the rule.
func (r Rule) meets(places []Place) bool {
	hosts, zones := spread(places)
	return hosts >= r.Copies && zones >= r.Zones
}

// spread counts hosts and zones.
func spread(places []Place) (hosts, zones int) {
	for i, p := range places {
		newHost, newZone := true, true
		for _, before := range places[:i] { // a handful: a map costs more
			newHost = newHost && before.Host != p.Host
			newZone = newZone && before.Zone != p.Zone
		}
		if newHost {
			hosts++
		}
		if newZone {
			zones++
		}
	}
	return hosts, zones
}
