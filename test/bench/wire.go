package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A Wire asks small questions over plain HTTP/1.1 with as little client as can be: on a
// machine of few CPUs every cycle of the client is one the server does not get, and
// with net/http's client the table would show how fast that is. It keeps connections.
// Safe for concurrent use.
type Wire struct {
	addr   string
	header string // of every request

	mu   sync.Mutex // guards idle; never held across network I/O
	idle []*wireConn
}

// A wireConn is one connection, used by one goroutine at a time.
type wireConn struct {
	net.Conn
	in *bufio.Reader
}

// wireTimeout bounds one question.
const wireTimeout = time.Minute

// ask sends a request without body and reads the response to its end into dst.
func (w *Wire) ask(method, path string, dst io.Writer) (a answer, err error) {
	c, err := w.take()
	if err != nil {
		return a, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if a, err = c.ask(method, path, w.header, dst); err != nil {
		c.Close() // whatever state it is in
		return a, fmt.Errorf("%s %s: %w", method, path, err)
	}
	w.mu.Lock()
	w.idle = append(w.idle, c)
	w.mu.Unlock()
	return a, nil
}

func (w *Wire) take() (*wireConn, error) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		return c, nil
	}
	w.mu.Unlock()
	c, err := net.DialTimeout("tcp", w.addr, wireTimeout)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: c, in: bufio.NewReader(c)}, nil
}

func (w *Wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.idle {
		c.Close()
	}
	w.idle = nil
}

func (c *wireConn) ask(method, path, header string, dst io.Writer) (a answer, err error) {
	if err := c.SetDeadline(time.Now().Add(wireTimeout)); err != nil {
		return a, err
	}
	if _, err := io.WriteString(c, method+" "+path+" HTTP/1.1\r\n"+header+"\r\n"); err != nil {
		return a, err
	}
	response, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024)) // what there is of it
		return a, fmt.Errorf("status %s, want 200: %s", response.Status, strings.TrimSpace(string(text)))
	}
	a.length = response.ContentLength
	a.read, err = io.Copy(dst, response.Body)
	return a, err
}
