package races

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a server and PostgreSQL. It understands the messages well
// enough to know statements, transactions and commits, and can cut the connection
// at any of them, on either side.
type proxy struct {
	t        testing.TB
	listener net.Listener
	upstream string

	mu    sync.Mutex // protects rule and links
	rule  rule
	links map[*link]bool
	count int // connections ever made
}

// rule decides about each message; it is called by one goroutine at a time.
type rule func(m message) verdict

// verdict is what becomes of a message and its connection.
type verdict int

const (
	pass       verdict = iota
	cut                // the message is dropped and both sides are cut
	cutAfter           // the message is delivered, then both sides are cut
	cutAskers          // the message is delivered and the asking side cut; PostgreSQL goes on
	refuseLink         // of a start: too many connections
)

// message is one message of the protocol.
type message struct {
	link  *link
	asks  bool   // from the client
	kind  byte   // its type; 0 for the start of a connection
	text  string // the statement it runs, or the tag of its completion
	first bool   // it is the first of its transaction
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	pid            uint32
	names          map[string]string // prepared statements

	mu sync.Mutex // protects tx
	tx []string   // the statements of the transaction under way
}

// did reports whether the transaction under way ran a statement with this text.
func (l *link) did(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.tx {
		if strings.Contains(s, text) {
			return true
		}
	}
	return false
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// commits reports whether the message asks for the commit of a transaction that
// issued a step.
func (m message) commits() bool {
	return m.asks && m.kind == 'Q' && m.text == "COMMIT" && m.link.did("insert into steps")
}

// committed reports whether the message says that such a commit was done.
func (m message) committed() bool {
	return !m.asks && m.kind == 'C' && m.text == "COMMIT" && m.link.did("insert into steps")
}

// closed reports whether the message ends the answer to such a commit.
func (m message) closed() bool {
	return !m.asks && m.kind == 'Z' && m.text == "COMMIT" && m.link.did("insert into steps")
}

// newProxy gives a way to a database that can be cut.
func newProxy(t testing.TB, address string) (p *proxy, way string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p = &proxy{t: t, listener: listener, upstream: socketOf(t, address), links: map[*link]bool{}}
	t.Cleanup(func() { listener.Close(); p.cutAll() })
	go p.accept()
	u := parse(t, address)
	u.Host, u.RawQuery = listener.Addr().String(), "sslmode=disable"
	return p, u.String()
}

// set sets the rule; nil lets everything pass.
func (p *proxy) set(r rule) {
	p.mu.Lock()
	p.rule = r
	p.mu.Unlock()
}

// once makes a rule that hits the first message that matches, and tells so.
func (p *proxy) once(match func(message) bool, v verdict) (hit func() bool) {
	done := false
	p.set(func(m message) verdict {
		if done || !match(m) {
			return pass
		}
		done = true
		return v
	})
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return done
	}
}

func (p *proxy) decide(m message) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rule == nil {
		return pass
	}
	return p.rule(m)
}

// cutAll cuts every connection.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	start, err := readStart(client)
	if err != nil {
		return
	}
	server, err := net.Dial("unix", p.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client: client, server: server, names: map[string]string{}}
	p.mu.Lock()
	p.links[l] = true
	p.count++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	switch p.decide(message{link: l, asks: true}) {
	case pass:
	case refuseLink:
		client.Write(errorMessage("FATAL", "53300", "sorry, too many clients already"))
		return
	default:
		return
	}
	if _, err := server.Write(start); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, true) })
	both.Go(func() { p.pump(l, false) })
	both.Wait()
}

// pump hands messages on in one direction.
func (p *proxy) pump(l *link, asks bool) {
	from, to := l.server, l.client
	if asks {
		from, to = l.client, l.server
	}
	defer l.close()
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(head[1:])) - 4
		if n < 0 || n > 64<<20 {
			return
		}
		raw := append(bytes.Clone(head), make([]byte, n)...)
		if _, err := io.ReadFull(from, raw[5:]); err != nil {
			return
		}
		m := l.read(asks, head[0], raw[5:])
		v := p.decide(m)
		if v == cut {
			return
		}
		if v == cutAskers {
			// The client goes first, so that it cannot see the answer.
			l.client.Close()
			l.server.Write(raw)
			io.Copy(io.Discard, l.server)
			return
		}
		if _, err := to.Write(raw); err != nil || v == cutAfter {
			return
		}
	}
}

// read understands a message.
func (l *link) read(asks bool, kind byte, body []byte) message {
	m := message{link: l, asks: asks, kind: kind}
	word := func() string {
		text, rest, _ := bytes.Cut(body, []byte{0})
		body = rest
		return string(text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !asks && kind == 'K' && len(body) >= 4:
		l.pid = binary.BigEndian.Uint32(body)
	case !asks && kind == 'C':
		m.text = word()
	case !asks && kind == 'Z' && len(l.tx) > 0:
		m.text = l.tx[len(l.tx)-1]
	case asks && kind == 'Q':
		m.text = strings.TrimSpace(word())
	case asks && kind == 'P':
		name := word()
		l.names[name] = word()
	case asks && kind == 'B':
		word()
		m.text = l.names[word()]
	}
	if asks && m.text != "" {
		if strings.HasPrefix(m.text, "BEGIN") {
			l.tx, m.first = nil, true
		}
		l.tx = append(l.tx, m.text)
	}
	return m
}

// readStart reads the message that begins a connection; it has no type.
func readStart(c net.Conn) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 8 || n > 10000 {
		return nil, errors.New("no start of a connection")
	}
	raw := append(head, make([]byte, n-4)...)
	_, err := io.ReadFull(c, raw[4:])
	return raw, err
}

func errorMessage(severity, code, text string) []byte {
	var body []byte
	for _, f := range []string{"S" + severity, "V" + severity, "C" + code, "M" + text} {
		body = append(append(body, f...), 0)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(body)+4)), body...)
}
