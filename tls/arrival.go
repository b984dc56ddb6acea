package tls

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// takeMax is how long a connection waits for who takes it: a part of the
	// appliance that starts, mostly.
	takeMax  = 10 * time.Second
	greetMax = 5 * time.Second
	joinsMax = 32 // at once; anybody can open one
)

// A peerConn is a connection that another node opened, after its certificate
// was checked. It is not of crypto/tls's own type, for net/http looks at the
// protocol of those, knows none of ours, and closes them.
//
// The side that accepts speaks first, a greeting: one byte, 0 for welcome, or
// the length of a text that says why not. Without it a node whose certificate
// was refused, or that nobody served, would learn of that only after it had sent
// something, and could not tell whether that had any effect.
type peerConn struct {
	net.Conn
	halves           interface{ CloseWrite() error } // the same connection
	protocol, server string
	peers            *Peers
	once             sync.Once
}

// CloseWrite ends what this side has to say. Who serves HTTP uses it to let its
// last answer arrive before it closes a connection that it did not read to its
// end.
func (c *peerConn) CloseWrite() error { return c.halves.CloseWrite() }

// Peer tells what the connection is for and which server is at the other end;
// it is empty with [ProtocolJoin].
func (c *peerConn) Peer() (protocol, server string) { return c.protocol, c.server }

// Close implements net.Conn.
func (c *peerConn) Close() error {
	c.once.Do(func() { c.peers.forget(c) })
	return c.Conn.Close()
}

// greet says welcome, or if there is a reason, why not.
func (c *peerConn) greet(reason string) error {
	reason = reason[:min(len(reason), 255)]
	err := c.SetWriteDeadline(time.Now().Add(greetMax))
	if err == nil {
		_, err = c.Write(append([]byte{byte(len(reason))}, reason...))
	}
	return errors.Join(err, c.SetWriteDeadline(time.Time{}))
}

// remember counts a connection among the live ones, or says why it cannot.
func (p *Peers) remember(c *peerConn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosing
	}
	if c.protocol == ProtocolJoin {
		if p.joins == joinsMax {
			return fmt.Errorf("%d nodes are joining already", joinsMax)
		}
		p.joins++
	}
	p.live[c] = struct{}{}
	return nil
}

func (p *Peers) forget(c *peerConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.live[c]; ok && c.protocol == ProtocolJoin {
		p.joins--
	}
	delete(p.live, c)
}

// arrive brings a connection to who serves its protocol, or refuses it.
func (p *Peers) arrive(c *peerConn) {
	err := p.remember(c)
	if err == nil && p.cfg.Admit != nil && c.protocol != ProtocolJoin {
		err = p.cfg.Admit(c.protocol, c.server)
	}
	if err == nil {
		err = p.queueOf(c.protocol).put(c)
	}
	if err == nil {
		return
	}
	p.refusals.refuse(c.protocol, c.server, c.RemoteAddr(), err)
	_ = c.greet(err.Error()) // it may be gone, and is told nothing then
	_ = c.Close()
}

func (p *Peers) queueOf(protocol string) *queue {
	if protocol == ProtocolRaft {
		return p.raft
	}
	return p.http
}

// A queue is a listener that is handed its connections.
type queue struct {
	protocol string
	conns    chan *peerConn
	done     chan struct{} // closed by Close
	close    sync.Once
}

var _ net.Listener = (*queue)(nil)

func newQueue(protocol string) *queue {
	return &queue{protocol: protocol, conns: make(chan *peerConn), done: make(chan struct{})}
}

var (
	errClosing = errors.New("this node is closing")
	errNobody  = errors.New("this node does not serve it now, try again")
)

// put waits until somebody takes the connection.
func (q *queue) put(c *peerConn) error {
	late := time.NewTimer(takeMax)
	defer late.Stop()
	select {
	case q.conns <- c:
		return nil
	case <-q.done:
		return errClosing
	case <-late.C:
		return errNobody
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	for {
		select {
		case c := <-q.conns:
			if c.greet("") == nil {
				return c, nil
			}
			_ = c.Close()
		case <-q.done:
			return nil, net.ErrClosed
		}
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.close.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return protocolAddr(q.protocol) }

// A protocolAddr stands where an address is wanted and there are several.
type protocolAddr string

// Network implements net.Addr.
func (protocolAddr) Network() string { return "skerry" }

// String implements net.Addr.
func (a protocolAddr) String() string { return string(a) }
