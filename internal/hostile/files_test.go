//go:build linux

package hostile

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/container"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// flow is how a body that does not end went.
type flow struct {
	answer
	sent          int64
	answered, cut time.Duration // after the first byte over the limit
}

// pour sends a body of 10 GiB, whatever the server answers, until it is cut off.
func pour(s *server, from *net.TCPAddr, path string, chunked bool) (f flow, err error) {
	const size, limit = 10 << 30, 1 << 20
	c, err := (&net.Dialer{LocalAddr: from, Timeout: 5 * time.Second}).Dial("tcp", s.host)
	if err != nil {
		return f, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		return f, err
	}
	length := fmt.Sprintf("Content-Length: %d", int64(size))
	piece := bytes.Repeat([]byte{'A'}, 64<<10)
	over := time.Now() // an announced length is over the limit from the start
	if chunked {
		length = "Transfer-Encoding: chunked"
		piece = fmt.Appendf(nil, "10000\r\n%s\r\n", piece)
	}
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: licet\r\nContent-Type: %s\r\n%s\r\n\r\n", path, wire.MediaFile, length); err != nil {
		return f, err
	}
	var wait sync.WaitGroup
	var at time.Time
	var readErr error
	wait.Go(func() {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			readErr = err
			return
		}
		f.answer, readErr = read(res)
		at = time.Now()
	})
	for f.sent < size {
		n, err := c.Write(piece)
		f.sent += int64(n)
		if chunked && f.sent <= limit {
			over = time.Now()
		}
		if err != nil {
			break
		}
	}
	f.cut = time.Since(over)
	wait.Wait()
	f.answered = at.Sub(over)
	return f, readErr
}

// TestEndlessBody pours 10 GiB into the server: it says no at its limit, cuts,
// and keeps nothing (Th10).
func TestEndlessBody(t *testing.T) {
	s := getWorld().fresh(t)
	before := s.memory(t, "VmHWM")
	for _, path := range []string{wire.PathProgram, wire.PathReceipt} {
		for _, chunked := range []bool{true, false} {
			f, err := pour(s, address(1, 0), path, chunked)
			if err == nil {
				err = f.proper()
			}
			if err != nil || f.status != 413 || f.Code != refusal.TooLarge || f.answered > time.Second || f.cut > 2*time.Second || f.sent > 64<<20 {
				t.Errorf("%s, chunked %v: %v; %d %s after %v, cut off after %v and %d bytes", path, chunked, err, f.status, f.Code, f.answered, f.cut, f.sent)
			}
			t.Logf("%s, chunked %v: %d after %v, cut off after %v and %d KiB", path, chunked, f.status, f.answered, f.cut, f.sent>>10)
		}
	}
	one := s.memory(t, "VmHWM")
	if one-before > 32<<10 {
		t.Errorf("it took %d KiB more", one-before)
	}
	var refused atomic.Int32
	var all sync.WaitGroup
	for range 48 {
		all.Go(func() {
			if f, err := pour(s, address(1, 1), wire.PathProgram, true); err == nil && f.status == 413 {
				refused.Add(1)
			}
		})
	}
	all.Wait()
	many := s.memory(t, "VmHWM")
	if refused.Load() != 48 || many-before > 48*6<<10 {
		t.Errorf("48 at once: %d refused, %d KiB more", refused.Load(), many-before)
	}
	t.Logf("highest memory: %d KiB before, %d KiB after one by one, %d KiB after 48 at once", before, one, many)
}

// armor makes a file of any bytes.
func armor(label string, raw []byte) []byte {
	text := base64.StdEncoding.EncodeToString(raw)
	var b strings.Builder
	b.WriteString("-----BEGIN LICET " + label + "-----\n")
	for part := range slices.Chunk([]byte(text), 64) {
		b.Write(part)
		b.WriteByte('\n')
	}
	b.WriteString("-----END LICET " + label + "-----\n")
	return []byte(b.String())
}

// TestNoFiles sends what is no file, or none that is wanted.
func TestNoFiles(t *testing.T) {
	w := getWorld()
	s := w.fresh(t)
	before := s.record(t)
	x := w.box()
	request := x.request(container.Wishes{Tickets: []license.Ticket{w.ticket}})
	receipt := x.request(container.Wishes{})
	deep := bytes.Repeat([]byte{0x81}, 100_000)
	bodies := map[string][]byte{
		"empty":                  nil,
		"a zero byte":            {0},
		"zip":                    []byte("PK\x03\x04\x14\x00\x00\x00\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
		"gzip":                   []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"),
		"XML":                    []byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>`),
		"JSON":                   []byte(`{"tickets":["` + string(w.ticket) + `"]}`),
		"deep JSON":              bytes.Repeat([]byte("["), 500_000),
		"bare CBOR":              {0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40},
		"first line only":        []byte("-----BEGIN LICET REQUEST-----\n"),
		"first line, no end":     []byte("-----BEGIN LICET REQUEST-----"),
		"huge version":           []byte("-----BEGIN LICET REQUEST 99999999999999999999-----\nAAAA\n"),
		"next version":           []byte("-----BEGIN LICET REQUEST 2-----\nAAAA\n-----END LICET REQUEST 2-----\n"),
		"label without an end":   []byte("-----BEGIN LICET " + strings.Repeat("A", 900_000)),
		"NUL bytes":              make([]byte, 1<<20),
		"exactly the limit":      armor("REQUEST", make([]byte, 773_000)),
		"one over the limit":     make([]byte, 1<<20+1),
		"Windows line ends":      bytes.ReplaceAll(request, []byte("\n"), []byte("\r\n")),
		"a byte order mark":      append([]byte("\xef\xbb\xbf"), request...),
		"two files":              slices.Concat(request, request),
		"an update":              bytes.ReplaceAll(request, []byte("REQUEST"), []byte("UPDATE")),
		"a trust file":           bytes.ReplaceAll(request, []byte("REQUEST"), []byte("TRUST")),
		"a request as a receipt": bytes.ReplaceAll(request, []byte("REQUEST"), []byte("RECEIPT")),
		"a receipt as a request": bytes.ReplaceAll(receipt, []byte("RECEIPT"), []byte("REQUEST")),
	}
	for name, raw := range map[string][]byte{
		"deep arrays":     deep,
		"deep maps":       bytes.Repeat([]byte{0xa1, 0x00}, 100_000),
		"deep tags":       bytes.Repeat([]byte{0xd2}, 100_000),
		"endless array":   append([]byte{0xd2, 0x9f}, bytes.Repeat([]byte{0x00}, 100_000)...),
		"huge array":      {0xd2, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00},
		"huge bytes":      {0xd2, 0x84, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00},
		"huge text":       {0x7b, 0x00, 0x00, 0x00, 0x02, 0x80, 0x00, 0x00, 0x00, 0x41},
		"huge map":        {0xbb, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x00},
		"huge payload":    {0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27, 0xa0, 0x5a, 0xff, 0xff, 0xff, 0xf0, 0x00},
		"wrong types":     {0xd2, 0x84, 0x01, 0x02, 0x03, 0x04},
		"empty COSE":      {0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40},
		"COSE of nothing": append([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27, 0xa0, 0x40, 0x58, 0x40}, make([]byte, 64)...),
		"deep payload":    slices.Concat([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x27, 0xa0, 0x5a, 0x00, 0x01, 0x86, 0xa0}, deep, []byte{0x58, 0x40}, make([]byte, 64)),
		"null":            {0xf6},
		"not a number":    {0xf9, 0x7e, 0x00},
		"one byte":        {0x00},
	} {
		bodies[name+", as a request"] = armor("REQUEST", raw)
		bodies[name+", as a receipt"] = armor("RECEIPT", raw)
	}
	for i := range 32 {
		bodies[fmt.Sprintf("cut at %d of 32", i)] = request[:len(request)*i/32]
	}
	codes, i := map[refusal.Code]int{}, 0
	for name, body := range bodies {
		c := from(t, address(2, i))
		i++
		for _, path := range []string{wire.PathProgram, wire.PathReceipt} {
			a, err := do(c, "POST", s.url+path, body)
			if err == nil {
				err = a.proper()
			}
			want := []refusal.Code{refusal.WrongFile, refusal.DamagedFile, refusal.BadSignature, refusal.UnsupportedVersion}
			if len(body) > 1<<20 {
				want = []refusal.Code{refusal.TooLarge}
			}
			if err != nil || !slices.Contains(want, a.Code) {
				t.Errorf("%s to %s: %v %d %.300s", name, path, err, a.status, a.body)
			}
			if again, err := do(c, "POST", s.url+path, body); err != nil || again.status != a.status || again.Code != a.Code || again.Detail != a.Detail {
				t.Errorf("%s to %s, again: %v %d %.300s", name, path, err, again.status, again.body)
			}
			codes[a.Code]++
		}
	}
	// A request to the wrong address is as wrong as any.
	for path, file := range map[string][]byte{wire.PathProgram: receipt, wire.PathReceipt: request} {
		if a, err := do(from(t, address(2, i)), "POST", s.url+path, file); err != nil || a.proper() != nil || a.Code != refusal.WrongFile {
			t.Errorf("%s: %v %d %.300s", path, err, a.status, a.body)
		}
	}
	for _, half := range []string{"Content-Length: 5000\r\n\r\n" + string(request[:500]), "Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + string(request[:500])} {
		a, err := raw(s, "POST "+wire.PathProgram+" HTTP/1.1\r\nHost: licet\r\n"+half)
		if err == nil {
			err = a.proper()
		}
		if err != nil || a.Code != refusal.DamagedFile {
			t.Errorf("half a body: %v %d %.300s", err, a.status, a.body)
		}
	}
	if after := s.record(t); after != before {
		t.Errorf("the record was %s, and is %s", before, after)
	}
	t.Logf("%d bodies: %v", len(bodies), codes)
}

// raw sends bytes, then no more.
func raw(s *server, text string) (answer, error) {
	c, err := (&net.Dialer{LocalAddr: address(3, 0), Timeout: 5 * time.Second}).Dial("tcp", s.host)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return answer{}, err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return answer{}, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return answer{}, err
	}
	return read(res)
}

// TestEveryBit flips every single bit of a request and of a receipt: none is
// taken, and nothing changes. Several servers share the work, each with its own
// copy of the record, because the limits hold for one.
func TestEveryBit(t *testing.T) {
	w := getWorld()
	const servers = 3
	x := w.box()
	files := map[string][]byte{
		wire.PathProgram: x.request(container.Wishes{Tickets: []license.Ticket{w.ticket}, Activate: w.ids[:1]}),
		wire.PathReceipt: x.request(container.Wishes{}),
	}
	type flip struct {
		path string
		bit  int
	}
	var flips []flip
	for path, file := range files {
		for bit := range 8 * len(file) {
			flips = append(flips, flip{path, bit})
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	codes, late := map[refusal.Code]int{}, 0
	start := time.Now()
	for i := range servers {
		s := w.fresh(t)
		before := s.record(t)
		mine := make([]flip, 0, len(flips)/servers+1)
		for n := i; n < len(flips); n += servers {
			mine = append(mine, flips[n])
		}
		const workers = 4
		var done sync.WaitGroup
		for j := range workers {
			done.Go(func() {
				var c *http.Client
				for n, k := 0, j; k < len(mine); n, k = n+1, k+workers {
					if n%80 == 0 { // a new address has a full account
						c = from(t, address(10+i, j*60+n/80))
					}
					f := mine[k]
					body := bytes.Clone(files[f.path])
					body[f.bit/8] ^= 1 << (f.bit % 8)
					var a answer
					var err error
					for range 50 {
						a, err = do(c, "POST", s.url+f.path, body)
						if err != nil || a.status != 429 {
							break
						}
						mu.Lock()
						late++
						mu.Unlock()
						time.Sleep(100 * time.Millisecond)
					}
					if err == nil {
						err = a.proper()
					}
					mu.Lock()
					codes[a.Code]++
					mu.Unlock()
					if err != nil || a.status == 429 {
						t.Errorf("%s, bit %d: %v", f.path, f.bit, err)
					}
				}
			})
		}
		all.Go(func() {
			done.Wait()
			if after := s.record(t); after != before {
				t.Errorf("the record was %s, and is %s", before, after)
			}
			// The same file, unaltered, is taken.
			if a, err := do(from(t, address(10+i, 249)), "POST", s.url+wire.PathProgram, files[wire.PathProgram]); err != nil || a.status != 200 {
				t.Errorf("the file itself: %v %d %.300s", err, a.status, a.body)
			}
		})
	}
	all.Wait()
	t.Logf("%d bits in %v, %d times told to wait: %v", len(flips), time.Since(start), late, codes)
}
