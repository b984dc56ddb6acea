package raft

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	rpcTimeout = 10 * time.Second
	poolMax    = 3 // idle connections kept per node
)

// newTransport connects raft with other nodes, or with nobody. The guest does not
// pipeline: when a message of its pipeline fails while two more are on their way,
// sender and receiver wait for each other for ever, and the follower gets
// heartbeats, but no entries. What two messages at a time gained is not measurable
// here: a follower takes one batch after the other.
func (n *Node) newTransport() hraft.Transport {
	address := hraft.ServerAddress(n.cfg.Address)
	if n.cfg.Listener == nil {
		_, t := hraft.NewInmemTransport(address)
		t.Connect(address, t) // for campaign
		return t
	}
	n.confirming = &confirming{
		NetworkTransport: hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
			Logger:                  &logger{log: n.cfg.Log, name: "transport"},
			Stream:                  newStreams(n.cfg),
			MaxPool:                 poolMax,
			MaxRPCsInFlight:         1, // see newTransport
			Timeout:                 rpcTimeout,
			MsgpackUseNewTimeFormat: true,
		}),
		applied: n.machine.applied, tail: n.logs.tail, closing: n.closing,
		silence: 2 * n.cfg.Election,
		last:    map[hraft.ServerID]heartbeat{},
		told:    map[hraft.ServerID]uint64{},
	}
	return n.confirming
}

// streams are the connections to other nodes, and one to this node itself that
// needs no network.
type streams struct {
	net.Listener
	dial    func(context.Context, string) (net.Conn, error)
	address string

	accepted chan net.Conn
	failed   chan error
	done     chan struct{} // closed by Close
	close    sync.Once
}

var _ hraft.StreamLayer = (*streams)(nil)

func newStreams(cfg Config) *streams {
	s := &streams{
		Listener: cfg.Listener, dial: cfg.Dial, address: cfg.Address,
		accepted: make(chan net.Conn), failed: make(chan error), done: make(chan struct{}),
	}
	go s.listen() // ends with Close
	return s
}

func (s *streams) listen() {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			select {
			case s.failed <- err:
				if !errors.Is(err, net.ErrClosed) {
					continue
				}
			case <-s.done:
			}
			return
		}
		s.hand(c)
	}
}

// hand gives a connection to whoever accepts.
func (s *streams) hand(c net.Conn) {
	select {
	case s.accepted <- c:
	case <-s.done:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.accepted:
		return c, nil
	case err := <-s.failed:
		return nil, err
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (s *streams) Close() error {
	s.close.Do(func() { close(s.done) })
	return s.Listener.Close()
}

// Addr implements net.Listener: the name others dial, not where we listen.
func (s *streams) Addr() net.Addr { return name(s.address) }

// Dial implements hraft.StreamLayer.
func (s *streams) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if string(address) == s.address {
		ours, theirs := net.Pipe()
		go s.hand(theirs) // until it is accepted, or Close
		return ours, nil
	}
	// The guest has no context to give, only a time.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.dial(ctx, string(address))
}

// A name is an address as others resolve it.
type name string

// Network implements net.Addr.
func (name) Network() string { return "skerry" }

// String implements net.Addr.
func (n name) String() string { return string(n) }
