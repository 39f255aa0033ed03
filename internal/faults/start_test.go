//go:build linux && amd64

package faults

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStart breaks the start of a server whose predecessor was killed, at each of
// its points: what was acknowledged is there when it starts at last.
func TestStart(t *testing.T) {
	t.Parallel()
	w := getWorld(t)
	op := w.operations()[0]
	left, folder := filepath.Join(work, "left"), filepath.Join(work, "central-start")
	w.replace(left, w.central)
	s := w.serve(left)
	status, acknowledged, err := op.send(s)
	if err != nil || status != 200 {
		t.Fatal(status, err)
	}
	s.kill()

	// play starts a server and waits until it serves or ends.
	play := func(f fault) (p *traced, serves bool) {
		w.replace(folder, left)
		p = start(t, work, w.environment(""), centralClass(folder), true, f, filepath.Join(w.programs, "licet-central"), serveArgs(folder)...)
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(2 * time.Millisecond) {
			var said struct{ URL string }
			if json.Unmarshal([]byte(p.said()), &said) == nil && said.URL != "" {
				return p, true
			}
			select {
			case <-p.ended:
				return p, false
			default:
			}
		}
		t.Fatal("it neither serves nor ends")
		return p, false
	}
	p, serves := play(fault{})
	points, _ := p.disarm()
	p.kill()
	if !serves {
		t.Fatalf("it does not start:\n%s", p.complained())
	}
	found(t, "central start", points)

	runs := 0
	for _, at := range chosen(points) {
		all := []fault{{at: at, how: kill}}
		switch here := points[at-1]; {
		case here.class == "output":
		case room(here):
			all = append(all, fault{at: at, how: fails, errno: syscall.ENOSPC})
		default:
			all = append(all, fault{at: at, how: fails, errno: syscall.EIO})
		}
		for _, f := range all {
			runs++
			p, serves := play(f)
			_, struck := p.disarm()
			here := points[at-1]
			if len(struck) == 0 || struck[0] != here {
				t.Errorf("%s (%s): it struck at %v", f, here, struck)
			}
			if f.how == kill && serves && here.class != "output" {
				t.Errorf("%s (%s): it serves", f, here)
			}
			if f.how == fails && strings.HasSuffix(here.call, "sync") && serves {
				t.Errorf("%s (%s): it serves", f, here)
			}
			if f.how == fails && !serves && p.complained() == "" {
				t.Errorf("%s (%s): it ends without a word", f, here)
			}
			p.kill()
			s := w.serve(folder)
			if now := w.record(s); now != op.after {
				t.Errorf("%s (%s): the record is: %s", f, here, now)
			}
			if err := w.proven(s); err != nil {
				t.Errorf("%s (%s): %v", f, here, err)
			}
			if status, again, err := op.send(s); err != nil || status != 200 || string(again) != string(acknowledged) {
				t.Errorf("%s (%s): the same request gets %d %.300s %v", f, here, status, again, err)
			}
			s.kill()
		}
	}
	t.Logf("%d runs with a fault", runs)
}
