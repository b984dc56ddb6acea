package meta

import (
	"fmt"
	"slices"
)

// A clusterRecord counts the nodes, so that most commands of most clusters need
// not look at any. It rests beside the state, and only once a node registered.
type clusterRecord struct {
	last  NodeID // the last id given to a node
	gone  NodeID // how many of them are gone
	level uint16 // the highest level of any command applied
}

// clusterKey is where it rests.
const clusterKey = "cluster"

func getCluster(tx *txn) (r clusterRecord, err error) {
	v := bucket(tx, bucketSystem).Get([]byte(clusterKey))
	if v == nil {
		return clusterRecord{level: 1}, nil
	}
	u := unpacker{b: v}
	last, gone, level := u.uint(), u.uint(), u.uint()
	r = clusterRecord{NodeID(last), NodeID(gone), uint16(level)}
	if !u.ok() || uint64(r.last) != last || uint64(r.gone) != gone || uint64(r.level) != level {
		return r, fmt.Errorf("cluster record %x: %w", v, ErrCorrupt)
	}
	return r, nil
}

func (r clusterRecord) pack() []byte {
	var p packer
	p.uint(uint64(r.last))
	p.uint(uint64(r.gone))
	p.uint(uint64(r.level))
	return p.b
}

// cluster is the record as the command before left it, or this one.
func (c *change) cluster() (clusterRecord, error) {
	err := c.members.load(c.tx)
	return c.members.clusterRecord, err
}

func (c *change) putCluster(r clusterRecord) error {
	c.members.clusterRecord, c.members.read = r, true
	return bucket(c.tx, bucketSystem).Put([]byte(clusterKey), r.pack())
}

// raiseLevel notes that a command of that level was applied: programs that do
// not know it cannot read what it may have written.
func (c *change) raiseLevel(level uint16) error {
	if level <= 1 {
		return nil
	}
	r, err := c.cluster()
	if err != nil || r.level >= level {
		return err
	}
	r.level = level
	return c.putCluster(r)
}

// members says of holders whether they count. It is of one transaction, and
// while no node is gone it looks at none.
type members struct {
	clusterRecord
	read bool
	seen map[NodeID]nodeRecord // those looked at; a zero record for those that never registered
}

// load reads how many there are, once.
func (m *members) load(tx *txn) (err error) {
	if !m.read {
		m.clusterRecord, err = getCluster(tx)
		m.read = err == nil
	}
	return err
}

// node returns what is known of a node; a zero record if it never registered.
func (m *members) node(tx *txn, n NodeID) (nodeRecord, error) {
	if rec, seen := m.seen[n]; seen {
		return rec, nil
	}
	rec, _, err := getNode(tx, n)
	if err != nil {
		return rec, err
	}
	if m.seen == nil {
		m.seen = map[NodeID]nodeRecord{}
	}
	m.seen[n] = rec
	return rec, nil
}

// alive says whether what n holds counts: it registered and is not gone, or it
// is the first node and none has registered.
func (m *members) alive(tx *txn, n NodeID) (bool, error) {
	if err := m.load(tx); err != nil {
		return false, err
	}
	if m.gone == 0 {
		return n == FirstNode || n > 0 && n <= m.last, nil
	}
	rec, err := m.node(tx, n)
	return rec.State != "" && rec.State != NodeGone, err
}

// living returns those of holders that count. It may be the same list.
func (m *members) living(tx *txn, holders []NodeID) (left []NodeID, err error) {
	if err := m.load(tx); err != nil || m.gone == 0 {
		return holders, err
	}
	for _, n := range holders {
		ok, err := m.alive(tx, n)
		if err != nil {
			return nil, err
		}
		if ok {
			left = append(left, n)
		}
	}
	return left, nil
}

// with adds n to holders, which are ascending.
func with(holders []NodeID, n NodeID) []NodeID {
	at, found := slices.BinarySearch(holders, n)
	if found {
		return holders
	}
	return slices.Insert(holders, at, n)
}

// without takes n out.
func without(holders []NodeID, n NodeID) []NodeID {
	at, found := slices.BinarySearch(holders, n)
	if !found {
		return holders
	}
	return slices.Concat(holders[:at], holders[at+1:])
}
