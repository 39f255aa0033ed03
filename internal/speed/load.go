package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// perAddress is how many requests one address sends before its client takes
// another: the server limits what one address may ask, and a crowd of machines
// has many addresses.
const perAddress = 60

var addresses atomic.Uint32

// client is one keep-alive HTTP/1.1 connection, written by hand so that it
// costs little beside the server on the same processors.
type client struct {
	server string
	conn   net.Conn
	r      *bufio.Reader
	sent   int
	body   []byte // of the last answer
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// dial connects from an address of its own in 127.0.0.0/8.
func (c *client) dial() error {
	c.close()
	n := addresses.Add(1)
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16%64), byte(n>>8), byte(n))}
	d := net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", c.server)
	if err != nil {
		return err
	}
	c.conn, c.sent = conn, 0
	c.r = bufio.NewReaderSize(conn, 16<<10)
	return nil
}

// do sends a request and reads its answer, which is in c.body until the next.
func (c *client) do(request []byte) (status int, err error) {
	if c.conn == nil || c.sent >= perAddress {
		if err := c.dial(); err != nil {
			return 0, err
		}
	}
	c.sent++
	if _, err := c.conn.Write(request); err != nil {
		c.close()
		return 0, err
	}
	status, last, err := c.read()
	if err != nil || last {
		c.close()
	}
	return status, err
}

func (c *client) read() (status int, last bool, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, true, err
	}
	if len(line) < 12 {
		return 0, true, fmt.Errorf("no status in %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, true, err
	}
	length, chunked := 0, false
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return status, true, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			last = bytes.EqualFold(value, []byte("close"))
		}
		if err != nil {
			return status, true, err
		}
	}
	c.body = c.body[:0]
	if !chunked {
		return status, last, c.take(length)
	}
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return status, true, err
		}
		n, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return status, true, err
		}
		if err := c.take(int(n)); err != nil {
			return status, true, err
		}
		if _, err := c.r.Discard(2); err != nil {
			return status, true, err
		}
		if n == 0 {
			return status, last, nil
		}
	}
}

func (c *client) take(n int) error {
	from := len(c.body)
	c.body = slices.Grow(c.body, n)[:from+n]
	_, err := io.ReadFull(c.r, c.body[from:])
	return err
}

// request is the bytes of a request.
func request(method, path, header, body string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", method, path, header, len(body), body)
}

const asJSON = "Content-Type: application/json\r\n"

// load is what a closed loop of clients measured.
type load struct {
	Rate    float64 // answers per second
	CPU     float64 // processor time of the server per request, in µs
	P50     float64 // ms
	P99     float64 // ms
	Answers [][]byte
}

// run sends every request once: each client sends its next one when it has the
// answer to the last. Any answer that is not a success is an error. With after,
// the processor time includes what the server does until it is idle again.
func run(server *process, clients int, requests [][]byte, keep, after bool) (load, error) {
	l := load{}
	if keep {
		l.Answers = make([][]byte, len(requests))
	}
	took := make([]time.Duration, len(requests))
	errs := make([]error, clients)
	var next atomic.Int64
	var all sync.WaitGroup
	before := server.cpu()
	start := time.Now()
	for n := range clients {
		all.Go(func() {
			c := &client{server: server.address}
			defer c.close()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				began := time.Now()
				status, err := c.do(requests[i])
				took[i] = time.Since(began)
				if err == nil && status/100 != 2 {
					err = fmt.Errorf("status %d: %.300s", status, c.body)
				}
				if err != nil {
					errs[n] = err
					return
				}
				if keep {
					l.Answers[i] = bytes.Clone(c.body)
				}
			}
		})
	}
	all.Wait()
	wall := time.Since(start)
	if after {
		server.settle()
	}
	cpu := server.cpu() - before
	if err := errors.Join(errs...); err != nil {
		return l, err
	}
	slices.Sort(took)
	l.Rate = float64(len(requests)) / wall.Seconds()
	l.CPU = micros(cpu) / float64(len(requests))
	l.P50, l.P99 = micros(took[len(took)/2])/1000, micros(took[len(took)*99/100])/1000
	return l, nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
