package tls

import (
	cryptotls "crypto/tls"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A self is an authority of our own, and a leaf under it for this server.
type self struct {
	dir    string
	keeper *keeper
	names  []string // sorted
	log    *slog.Logger
	now    func() time.Time

	renewing sync.Mutex // one renewal at a time; held across its disk writes
	issued   atomic.Pointer[issued]
}

// An issued is what is shown to clients. It is never changed, only replaced.
type issued struct {
	ca   *authority
	leaf *cryptotls.Certificate
}

func openSelf(cfg Config) (*self, error) {
	names := cfg.Names
	if len(names) == 0 {
		names = LocalNames()
	}
	s := &self{dir: cfg.Dir, log: cfg.Log, now: cfg.Now}
	var err error
	if cfg.Peers != nil {
		s.dir, s.keeper = cfg.Peers.keeper.dir, cfg.Peers.keeper
	} else if s.keeper, err = openKeeper(cfg.Dir, cfg.Log); err != nil {
		return nil, err
	}
	if s.names, err = normalize(names); err != nil {
		return nil, err
	}
	return s, s.renew()
}

// renew issues what is due: the authority's certificate, the leaf, or nothing.
func (s *self) renew() error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	now := s.now()
	old := s.issued.Load()
	if old != nil && !old.ca.due(now) && leafDue(old.leaf.Leaf, now) == "" {
		return nil
	}
	ca, err := s.keeper.authority(now)
	if err != nil {
		return err
	}
	leaf, err := s.openLeaf(ca, now)
	if err != nil {
		return err
	}
	s.issued.Store(&issued{ca, leaf})
	return nil
}
