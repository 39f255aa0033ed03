package patience

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestDeadlines: a deadline that is over ends a read and a write when it is looked
// at, one of long ago at once, and a later one takes it back.
func TestDeadlines(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &Listener{Listener: l, all: map[*conn]struct{}{}}
	there, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer there.Close()
	here, err := c.Accept()
	must(t, err)
	read := func(want string, over bool) {
		t.Helper()
		b := make([]byte, 8)
		n, err := here.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) != over || !over && err != nil || string(b[:n]) != want {
			t.Fatalf("%q, %v; want %q", b[:n], err, want)
		}
	}
	say := func(text string) {
		t.Helper()
		_, err := there.Write([]byte(text))
		must(t, err)
	}
	now := time.Now()
	must(t, here.SetReadDeadline(now.Add(time.Minute)))
	must(t, here.SetWriteDeadline(now.Add(2*time.Minute)))
	c.look(now.Add(59 * time.Second))
	say("in time")
	read("in time", false)
	say("too late")
	c.look(now.Add(61 * time.Second))
	read("", true)
	_, err = here.Write([]byte("x"))
	must(t, err)

	must(t, here.SetReadDeadline(now.Add(time.Hour))) // the next request
	c.look(now.Add(121 * time.Second))
	read("too late", false)
	if _, err := here.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	must(t, here.SetDeadline(time.Time{}))
	c.look(now.Add(24 * time.Hour))
	_, err = here.Write([]byte("x"))
	must(t, err)

	must(t, here.SetReadDeadline(longAgo))
	read("", true)
	must(t, here.SetReadDeadline(time.Time{}))
	say("again")
	read("again", false)

	must(t, c.Close())
	if !c.look(now) {
		t.Error("nobody looks at the connections that are still there")
	}
	must(t, here.Close())
	if c.look(now) {
		t.Error("it is looked at nothing for ever")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
