//go:build linux && amd64

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"licet/client"
	"licet/internal/store"
	"licet/internal/vendorapi"
	"licet/internal/verify"
	"licet/license"
	"licet/wire"
)

// operation is one request to the server.
type operation struct {
	name  string
	send  func(s *server) (status int, answer []byte, err error)
	after string // the record when it is done; before it, it is untouched
}

const (
	untouched = "collected not_collected, step 1 of 1, orders 2"
	another   = "9" // the number of an order that nobody else makes
)

func (w *world) operations() []operation {
	program := func(file []byte) func(s *server) (int, []byte, error) {
		return func(s *server) (int, []byte, error) { return s.post(wire.PathProgram, file, nil) }
	}
	return []operation{
		{"activate", program(w.activate), "collected collecting, step 1 of 2, orders 2"},
		{"return", program(w.giveBack), "returning not_collected, step 1 of 2, orders 2"},
		{"order", func(s *server) (int, []byte, error) { return s.order("3", 3, "the-same-key") },
			"collected not_collected, step 1 of 1, orders 3, 3 of 3"},
	}
}

// order takes an order.
func (s *server) order(number string, quantity int64, key string) (int, []byte, error) {
	body, err := json.Marshal(wire.OrderRequest{Number: number, Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD", Quantity: quantity}}})
	check(err)
	return s.post(vendorapi.Prefix+"/orders", body, http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer " + s.token()}, "Idempotency-Key": {key},
	})
}

// record is what the server says of everything that the operations change.
func (w *world) record(s *server) string {
	text, err := w.recorded(s)
	if err != nil {
		return fmt.Sprintf("cannot be read: %v", err)
	}
	return text
}

func (w *world) recorded(s *server) (string, error) {
	ctx, staff := context.Background(), s.staff()
	first, err := staff.License(ctx, w.collected)
	if err != nil {
		return "", err
	}
	second, err := staff.License(ctx, w.waiting)
	if err != nil {
		return "", err
	}
	box, err := staff.Container(ctx, w.serial)
	if err != nil {
		return "", err
	}
	orders, err := staff.Orders(ctx, client.Page{Limit: 100})
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s %s, step %d of %d, orders %d", first.State, second.State, box.Acked, box.Issued, len(orders.Items))
	for _, o := range orders.Items {
		if o.Number != "1" && o.Number != "2" {
			whole, err := staff.Order(ctx, o.Number)
			if err != nil {
				return "", err
			}
			n := len(whole.Licenses)
			for _, l := range whole.Licenses {
				if l.State != license.NotCollected {
					n--
				}
			}
			text += fmt.Sprintf(", %d of %s", n, o.Number)
		}
	}
	if box.Status != "ok" {
		text += ", container " + box.Status
	}
	return text, nil
}

// proven has the audit trail and the whole record proven.
func (w *world) proven(s *server) error {
	report, err := s.staff().VerifyAudit(context.Background())
	if err != nil || !report.Whole || report.Tail != 0 {
		return fmt.Errorf("audit: %+v %w", report, err)
	}
	db, err := store.Open(context.Background(), "sqlite:"+filepath.Join(s.folder, "licet.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	rep, err := verify.Run(context.Background(), db, verify.Options{})
	if err != nil || !rep.OK() {
		return fmt.Errorf("verifier: %v %w", rep.Findings, err)
	}
	return nil
}

// TestCentral breaks the server at each point of an activation, of a return and of
// an order (Inv11, Inv26, Inv37).
func TestCentral(t *testing.T) {
	t.Parallel()
	w := getWorld(t)
	for _, op := range w.operations() {
		t.Run(op.name, func(t *testing.T) {
			c := &trial{world: w, t: t, operation: op, folder: filepath.Join(work, "central-"+op.name)}
			points := c.clean()
			found(t, "central "+op.name, points)
			runs := 0
			for _, at := range chosen(points) {
				for _, f := range c.faults(points, at) {
					runs++
					c.broken(f, points[at-1])
				}
			}
			t.Logf("%d runs with a fault", runs)
			if c.missed*3 > runs {
				t.Errorf("%d of %d faults never came", c.missed, runs)
			}
		})
	}
}

// trial is one operation on a server's folder of its own.
type trial struct {
	*world
	t *testing.T
	operation
	folder string
	missed int // faults whose point was never reached
}

// clean plays the operation without a fault until two runs have the same points:
// what the server does by itself, each second, may come in between.
func (c *trial) clean() (points []point) {
	c.t.Helper()
	for range 8 {
		c.replace(c.folder, c.central)
		s := c.serveTraced(c.t, c.folder)
		if before := c.record(s); before != untouched {
			c.t.Fatalf("before the operation: %s", before)
		}
		s.traced.arm(fault{})
		status, answer, err := c.send(s)
		now, _ := s.traced.disarm()
		if err != nil || status != 200 && status != 201 {
			c.t.Fatalf("%d %s %v", status, answer, err)
		}
		if after := c.record(s); after != c.after {
			c.t.Fatalf("after the operation: %s", after)
		}
		must(c.t, c.proven(s))
		s.kill()
		if slices.Equal(points, now) {
			return points
		}
		points = now
	}
	c.t.Fatal("no two runs have the same points")
	return nil
}

// faults are the faults that make sense at a point.
func (c *trial) faults(points []point, at int) []fault {
	p := points[at-1]
	all := []fault{{at: at, how: kill}}
	add := func(f ...fault) { all = append(all, f...) }
	switch {
	case p.class == "output" || p.class == "answer":
	case p.call == "fsync" || p.call == "fdatasync":
		add(fault{at: at, how: fails, errno: syscall.EIO})
		if long {
			add(fault{at: at, how: lies, errno: syscall.EIO})
		}
	case room(p):
		add(fault{at: at, how: fails, errno: syscall.ENOSPC})
		if long {
			add(fault{at: at, how: torn}, fault{at: at, how: fails, errno: syscall.EIO}, full(points, at))
		}
	default:
		add(fault{at: at, how: fails, errno: syscall.EIO})
	}
	return all
}

// broken plays the operation with a fault; a run in which something else came in
// between is played again.
func (c *trial) broken(f fault, p point) {
	c.t.Helper()
	for range 5 {
		if c.played(f, p) {
			return
		}
	}
	// The number of pages that change depends on the ids that were drawn, so the
	// last points of a clean run may not come again.
	c.missed++
	c.t.Logf("%s (%s): it is never reached", f, p)
}

func (c *trial) played(f fault, p point) (hit bool) {
	c.t.Helper()
	c.replace(c.folder, c.central)
	s := c.serveTraced(c.t, c.folder)
	broken := s.traced
	defer s.kill()
	s.traced.arm(f)
	status, answer, err := c.send(s)
	acknowledged := err == nil && status/100 == 2
	dead := f.how == kill || f.how == torn
	if !dead {
		_, struck := s.traced.disarm()
		if len(struck) == 0 || struck[0] != p {
			return false
		}
	}
	bad := func(format string, args ...any) {
		c.t.Helper()
		c.t.Errorf("%s (%s), answered %d %.300s %v: %.1000s\n%s", f, p, status, answer, err, fmt.Sprintf(format, args...), broken.complained())
	}
	if !dead {
		c.lives(s, f, p, acknowledged, bad)
	}
	if dead {
		select {
		case <-s.traced.ended:
		case <-time.After(5 * time.Second):
			return false
		}
		_, struck := s.traced.disarm()
		if len(struck) == 0 || struck[0] != p {
			return false
		}
	}
	s.kill()

	s = c.serve(c.folder)
	defer s.kill()
	now := c.record(s)
	switch {
	case acknowledged && now != c.after:
		bad("it was acknowledged, and the record is: %s", now)
	case now != c.after && now != untouched:
		bad("neither whole nor not at all: %s", now)
	}
	if err := c.proven(s); err != nil {
		bad("%v", err)
	}
	c.again(s, acknowledged, answer, bad)
	return true
}

// lives looks at a server that goes on after a fault.
func (c *trial) lives(s *server, f fault, p point, acknowledged bool, bad func(string, ...any)) {
	c.t.Helper()
	select {
	case <-s.traced.ended:
		return // to stop is right, too
	default:
	}
	if now := c.record(s); now != untouched && now != c.after || acknowledged && now != c.after {
		bad("while it goes on, the record is: %s", now)
	}
	if f.errno == syscall.EIO && p.class == "wal" && !strings.HasSuffix(p.call, "sync") {
		return // whether it writes again is its own choice
	}
	if !strings.HasSuffix(p.call, "sync") || p.class == "folder" {
		// Of the folder it is no matter: the names were made to last at the start.
		// There is room again.
		status, answer, err := c.send(s)
		if status/100 != 2 {
			bad("with room again: %d %s %v", status, answer, err)
		}
		return
	}
	if acknowledged {
		bad("an fsync failed, and it is acknowledged")
	}
	if status, answer, err := c.send(s); status/100 == 2 {
		bad("after a failed fsync the same request gets %d %s %v", status, answer, err)
	}
	if status, answer, err := s.order(another, 1, "another key"); status/100 == 2 {
		bad("after a failed fsync another request gets %d %s %v", status, answer, err)
	}
	if now := c.record(s); now != untouched && now != c.after {
		bad("after a failed fsync the record is: %s", now)
	}
}

// again sends the same bytes twice more: the work is complete, once.
func (c *trial) again(s *server, acknowledged bool, answer []byte, bad func(string, ...any)) {
	c.t.Helper()
	var answers [2][]byte
	for i := range answers {
		status, got, err := c.send(s)
		if err != nil || status/100 != 2 {
			bad("the same request again: %d %s %v", status, got, err)
			return
		}
		answers[i] = got
	}
	if !bytes.Equal(answers[0], answers[1]) || acknowledged && !bytes.Equal(answers[0], answer) {
		bad("the same request gets other answers:\n%s\n%s", answers[0], answers[1])
	}
	if c.name == "order" {
		// A shop that also lost its key knows the number.
		if status, got, err := s.order("3", 3, "another key"); err != nil || status/100 != 2 {
			bad("the same number again: %d %s %v", status, got, err)
		}
	}
	if now := c.record(s); now != c.after {
		bad("after the same request again: %s", now)
	}
	if err := c.proven(s); err != nil {
		bad("after the same request again: %v", err)
	}
}
