package seatserver

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of the connections at the same time.
const (
	mostConnections = 8192
	mostPerAddress  = 1024
)

// lookEvery is how late a deadline of a connection may be noticed.
const lookEvery = time.Second

// counted bounds how many connections there are, in total and of one address. Who
// has too many is let go of at once. It also keeps the deadlines of all of them.
type counted struct {
	net.Listener
	mu     sync.Mutex // guards what follows
	all    map[*countedConn]struct{}
	by     map[netip.Addr]int
	closed bool
}

func newCounted(l net.Listener) *counted {
	c := &counted{Listener: l, all: map[*countedConn]struct{}{}, by: map[netip.Addr]int{}}
	go c.watch()
	return c
}

func (c *counted) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		one := &countedConn{Conn: conn, began: time.Now()}
		from := addressOf(conn.RemoteAddr().String())
		one.leave = sync.OnceFunc(func() { c.leave(one, from) })
		if c.enter(one, from) {
			return one, nil
		}
		conn.Close()
	}
}

func (c *counted) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.Listener.Close()
}

func (c *counted) enter(one *countedConn, from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The last eighth is for addresses that have few.
	if len(c.all) >= mostConnections || c.by[from] >= mostPerAddress || len(c.all) >= mostConnections/8*7 && c.by[from] >= 8 {
		return false
	}
	c.all[one] = struct{}{}
	c.by[from]++
	return true
}

func (c *counted) leave(one *countedConn, from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, one)
	if c.by[from]--; c.by[from] == 0 {
		delete(c.by, from)
	}
}

// watch looks at the deadlines until nobody is connected any more.
func (c *counted) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for now := range tick.C {
		if !c.look(now) {
			return
		}
	}
}

// look ends the patience with those whose time is over. It reports whether there is
// anything to look at again.
func (c *counted) look(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.all {
		one.look(now)
	}
	return !c.closed || len(c.all) > 0
}

// countedConn is a connection whose deadlines are looked at from time to time. The
// HTTP server sets six with every request and needs none of them as a rule; a timer
// for each is a tenth of what a request costs.
type countedConn struct {
	net.Conn
	leave func()
	began time.Time

	mu          sync.Mutex // guards what follows
	read, write deadline
}

// deadline is one as it was set, and whether the connection was told that it is over.
type deadline struct {
	at   time.Time
	told bool
}

func (c *countedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

func (c *countedConn) SetReadDeadline(at time.Time) error {
	return c.set(&c.read, at, c.Conn.SetReadDeadline)
}

func (c *countedConn) SetWriteDeadline(at time.Time) error {
	return c.set(&c.write, at, c.Conn.SetWriteDeadline)
}

func (c *countedConn) SetDeadline(at time.Time) error {
	if err := c.SetReadDeadline(at); err != nil {
		return err
	}
	return c.SetWriteDeadline(at)
}

// set takes note of a deadline. The HTTP server wakes whoever reads by one long ago:
// that is told at once.
func (c *countedConn) set(d *deadline, at time.Time, tell func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.at = at
	over := !at.IsZero() && at.Before(c.began)
	if over == d.told {
		return nil
	}
	d.told = over
	if !over {
		at = time.Time{}
	}
	return tell(at)
}

var longAgo = time.Unix(1, 0)

// look tells the connection which deadlines are over.
func (c *countedConn) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read.passes(now) {
		_ = c.Conn.SetReadDeadline(longAgo) // a connection that is closed needs none
	}
	if c.write.passes(now) {
		_ = c.Conn.SetWriteDeadline(longAgo)
	}
}

// passes reports whether a deadline is over that nobody was told of.
func (d *deadline) passes(now time.Time) bool {
	passes := !d.told && !d.at.IsZero() && d.at.Before(now)
	d.told = d.told || passes
	return passes
}
