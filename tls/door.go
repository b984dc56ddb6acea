package tls

import (
	cryptotls "crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	handshakeMax = 10 * time.Second
	retryAccept  = 50 * time.Millisecond // when there are no file descriptors left
)

// A door is an address by which nodes come in, and clients too if it is the
// public one. It is the listener that clients come from.
//
// Which of them somebody is says the ALPN of the first message, so the door does
// the handshake, and not net/http. Nothing changes for clients: what is handed
// out is a connection of crypto/tls as its listener would have made it, whose
// handshake is over, and failed ones are handed out as well, for net/http has an
// answer for those who speak plain HTTP.
type door struct {
	net.Listener // closed by shut
	peers        *Peers
	way          atomic.Pointer[way]
	clients      chan net.Conn
	closed       chan struct{} // closed by Close: no more clients
	close        sync.Once

	mu       sync.Mutex // guards what follows; never held while waiting
	gone     bool       // shut was called
	arriving map[net.Conn]struct{}
	running  sync.WaitGroup // accepting, and each of arriving
}

// A way is how those who arrive are let in. It is immutable.
type way struct {
	config *cryptotls.Config
	public *cryptotls.Config // nil: no clients
}

// let has clients let in as public says, from now on; nil lets none in.
func (d *door) let(public *cryptotls.Config) {
	w := &way{config: &cryptotls.Config{}, public: public}
	if public != nil {
		// One config for all connections, or sessions could not be resumed.
		w.config = public.Clone()
	}
	w.config.GetConfigForClient = func(hello *cryptotls.ClientHelloInfo) (*cryptotls.Config, error) {
		return d.choose(hello, w.public)
	}
	d.way.Store(w)
}

// open lets nodes in by l, and clients if there is a config for them. The door
// owns l.
func (p *Peers) open(l net.Listener, public *cryptotls.Config) *door {
	d := &door{
		Listener: l, peers: p,
		clients: make(chan net.Conn), closed: make(chan struct{}), arriving: map[net.Conn]struct{}{},
	}
	d.let(public)
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.doors = append(p.doors, d)
		d.running.Add(1)
	}
	p.mu.Unlock()
	if closed {
		_ = d.shut()
		return d
	}
	go d.accept() // ends with shut
	return d
}

// accept takes connections as they come.
func (d *door) accept() {
	defer d.running.Done()
	for {
		c, err := d.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if _, ok := d.peers.refusals.tell("accept"); ok {
				d.peers.cfg.Log.Warn("connections cannot be accepted, trying again", "err", err)
			}
			<-time.After(retryAccept)
			continue
		}
		a := &arrival{Conn: c}
		if d.begin(a) {
			go d.receive(a) // ends when the connection is taken, or refused
		}
	}
}

// An arrival is a connection that is not yet taken. The protocol is written by
// choose while its handshake runs, and read after it.
type arrival struct {
	net.Conn
	protocol string // of ours; "" is for a client
}

// begin reports whether the connection is to be received.
func (d *door) begin(a *arrival) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		_ = a.Close()
		return false
	}
	d.arriving[a] = struct{}{}
	d.running.Add(1)
	return true
}

func (d *door) end(a *arrival) {
	d.mu.Lock()
	delete(d.arriving, a)
	d.mu.Unlock()
	d.running.Done()
}

// receive does the handshake and hands the connection to who serves it.
func (d *door) receive(a *arrival) {
	defer d.end(a)
	w := d.way.Load()
	c := cryptotls.Server(a, w.config)
	_ = a.SetDeadline(time.Now().Add(handshakeMax)) // on a dead connection the handshake fails as well
	err := c.Handshake()                            // the deadline bounds it, and shut ends it
	_ = a.SetDeadline(time.Time{})
	switch {
	case a.protocol == "" && w.public != nil:
		d.hand(c)
	case err != nil && a.protocol == "":
		// Whoever probes a port, many times an hour.
		d.peers.cfg.Log.Debug("no node", "remote", a.RemoteAddr().String(), "err", err)
		_ = c.Close()
	case err != nil:
		d.peers.refusals.refuse(a.protocol, "", a.RemoteAddr(), explain(err))
		_ = c.Close()
	default:
		p := &peerConn{Conn: c, halves: c, protocol: a.protocol, peers: d.peers}
		if chain := c.ConnectionState().PeerCertificates; len(chain) > 0 {
			p.server, _ = serverOf(chain[0]) // the handshake saw to it
		}
		d.peers.arrive(p)
	}
}

// hand gives a client's connection to who accepts.
func (d *door) hand(c net.Conn) {
	select {
	case d.clients <- c:
	case <-d.closed:
		_ = c.Close()
	}
}

// choose says how the handshake with somebody is to be done.
func (d *door) choose(hello *cryptotls.ClientHelloInfo, public *cryptotls.Config) (*cryptotls.Config, error) {
	if len(hello.SupportedProtos) == 1 && isOurs(hello.SupportedProtos[0]) {
		hello.Conn.(*arrival).protocol = hello.SupportedProtos[0]
		return d.peers.accepting(hello.SupportedProtos[0])
	}
	if public == nil {
		return nil, errNoProtocol
	}
	select {
	case <-d.closed:
		return nil, errClosing
	default:
	}
	if public.GetConfigForClient != nil {
		return public.GetConfigForClient(hello)
	}
	return nil, nil // as the public config says
}

func isOurs(protocol string) bool {
	return slices.Contains([]string{ProtocolRaft, ProtocolPeer, ProtocolJoin}, protocol)
}

// accepting is how nodes are let in.
func (p *Peers) accepting(protocol string) (*cryptotls.Config, error) {
	pass, err := p.passport()
	if err != nil {
		return nil, err
	}
	config := &cryptotls.Config{
		MinVersion:   cryptotls.VersionTLS13,
		NextProtos:   []string{protocol},
		Certificates: []cryptotls.Certificate{*pass.leaf},
		Time:         p.cfg.Now,
		// A resumed session would let in who was verified at another time.
		SessionTicketsDisabled: true,
	}
	if protocol == ProtocolJoin {
		// Who joins knows the hash of the authority's key, so it has to see it.
		config.Certificates[0].Certificate = [][]byte{pass.leaf.Leaf.Raw, pass.ca.cert.Raw}
		return config, nil
	}
	config.ClientAuth = cryptotls.RequireAndVerifyClientCert
	config.ClientCAs = pass.roots
	config.VerifyConnection = func(s cryptotls.ConnectionState) error {
		_, err := verify(s.PeerCertificates, pass.roots, x509.ExtKeyUsageClientAuth, p.cfg.Now())
		return err
	}
	return config, nil
}

// Accept implements net.Listener: it gives clients.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.clients:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: no more clients, while nodes still come in.
func (d *door) Close() error {
	d.close.Do(func() { close(d.closed) })
	return nil
}

// shut closes the door for everybody and waits until nobody is in it.
func (d *door) shut() error {
	err := d.Close()
	d.mu.Lock()
	d.gone = true
	err = errors.Join(err, d.Listener.Close())
	for c := range d.arriving {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.running.Wait()
	return err
}
