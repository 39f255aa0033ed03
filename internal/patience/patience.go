// Package patience keeps the deadlines of connections in memory and looks at them
// from time to time. The HTTP server sets six with every request and needs none of
// them as a rule; a timer for each is up to a tenth of what a small request costs.
package patience

import (
	"net"
	"sync"
	"time"
)

// lookEvery is how late a deadline of a connection may be noticed.
const lookEvery = time.Second

// Listener gives connections whose deadlines are looked at once a second.
type Listener struct {
	net.Listener
	mu     sync.Mutex // guards what follows
	all    map[*conn]struct{}
	closed bool
}

// Listen looks at the deadlines of all that l accepts, until it is closed and nobody
// is connected any more.
func Listen(l net.Listener) *Listener {
	p := &Listener{Listener: l, all: map[*conn]struct{}{}}
	go p.watch()
	return p
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &conn{Conn: c, from: l, began: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[one] = struct{}{}
	return one, nil
}

// Close ends the listening, not the connections.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.Listener.Close()
}

func (l *Listener) leave(one *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, one)
}

func (l *Listener) watch() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for now := range tick.C {
		if !l.look(now) {
			return
		}
	}
}

// look ends the patience with those whose time is over. It reports whether there is
// anything to look at again.
func (l *Listener) look(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for one := range l.all {
		one.look(now)
	}
	return !l.closed || len(l.all) > 0
}

// conn is a connection whose deadlines are looked at from time to time.
type conn struct {
	net.Conn
	from  *Listener
	began time.Time

	mu          sync.Mutex // guards what follows
	read, write deadline
}

// deadline is one as it was set, and whether the connection was told that it is over.
type deadline struct {
	at   time.Time
	told bool
}

func (c *conn) Close() error {
	c.from.leave(c)
	return c.Conn.Close()
}

func (c *conn) SetReadDeadline(at time.Time) error {
	return c.set(&c.read, at, c.Conn.SetReadDeadline)
}

func (c *conn) SetWriteDeadline(at time.Time) error {
	return c.set(&c.write, at, c.Conn.SetWriteDeadline)
}

func (c *conn) SetDeadline(at time.Time) error {
	if err := c.SetReadDeadline(at); err != nil {
		return err
	}
	return c.SetWriteDeadline(at)
}

// set takes note of a deadline. The HTTP server wakes whoever reads by one long ago:
// that is told at once.
func (c *conn) set(d *deadline, at time.Time, tell func(time.Time) error) error {
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
func (c *conn) look(now time.Time) {
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
