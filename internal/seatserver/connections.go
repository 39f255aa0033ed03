package seatserver

import (
	"net"
	"net/netip"
	"sync"

	"licet/internal/patience"
)

// Bounds of the connections at the same time.
const (
	mostConnections = 8192
	mostPerAddress  = 1024
)

// counted bounds how many connections there are, in total and of one address. Who
// has too many is let go of at once.
type counted struct {
	net.Listener
	mu    sync.Mutex // guards what follows
	total int
	by    map[netip.Addr]int
}

func newCounted(l net.Listener) *counted {
	return &counted{Listener: patience.Listen(l), by: map[netip.Addr]int{}}
}

func (c *counted) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(conn.RemoteAddr().String())
		if c.enter(from) {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(func() { c.leave(from) })}, nil
		}
		conn.Close()
	}
}

func (c *counted) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The last eighth is for addresses that have few.
	if c.total >= mostConnections || c.by[from] >= mostPerAddress || c.total >= mostConnections/8*7 && c.by[from] >= 8 {
		return false
	}
	c.total++
	c.by[from]++
	return true
}

func (c *counted) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.by[from]--; c.by[from] == 0 {
		delete(c.by, from)
	}
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	leave func()
}

func (c *countedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
