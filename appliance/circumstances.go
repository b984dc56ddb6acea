package appliance

import (
	"fmt"
	"time"
)

// circumstances are all that the objects' conditions depend on, but for certificates.
// They are read from memory, and compared.
type circumstances struct {
	objects uint64 // meta.DB.ResourceGeneration
	served  string // why requests are not; "" when they are
	writes  string // why pushes are refused; "" when they are not
	pruned  time.Time
	cluster string
	turn    int64 // of renderEvery
}

func (a *Appliance) circumstances(now time.Time) circumstances {
	c := circumstances{
		objects: a.db.ResourceGeneration(), served: text(a.served()), writes: text(a.writeTrouble()),
		pruned: a.pruned.get().At, turn: now.Unix() / int64(renderEvery/time.Second),
	}
	if nodes := a.clusterFacts(); nodes.Nodes > 0 {
		c.cluster = fmt.Sprint(nodes)
	}
	return c
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
