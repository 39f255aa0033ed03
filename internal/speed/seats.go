package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"licet/internal/speed/bare"
	"licet/license"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

// Aims of the license server, at 64 clients.
const (
	aimSeatRate  = 0.65 // of the bare server's, claims, releases and loans
	aimSeatCPU   = 1.6
	aimSeatP99   = 1.5
	aimBeatRate  = 0.75
	aimSeatSizes = 1.25 // processor time with 1,000,000 free seats over that with 1,000
)

const seatsPart = "Seats"

var seatSizes = []int{1000, 100_000, 1_000_000}

const seatsCatalog = `
products:
  - {code: SEATS-1000, name: A thousand seats, model: perpetual_multi, terms: {seats: 1000, borrow: {max: 30d, seats: 1000}}}
  - {code: SEATS-100000, name: Many seats, model: perpetual_multi, terms: {seats: 100000, borrow: {max: 30d, seats: 100000}}}
  - {code: SEATS-1000000, name: A million seats, model: perpetual_multi, terms: {seats: 1000000, borrow: {max: 30d, seats: 1000000}}}
`

// seats measures the license server beside a bare one.
func (s *stage) seats(ctx context.Context) error {
	v, err := newVendor(s.central, s.folder("central"), "")
	if err != nil {
		return err
	}
	defer v.stop()
	home, err := s.seatHome(v)
	if err != nil {
		return err
	}
	ours, err := s.seatServer(home)
	if err != nil {
		return err
	}
	defer ours.stop()
	for range s.rounds {
		cpu := map[string][2]float64{}
		for _, size := range seatSizes {
			b, err := start(s.folder("bare")+".log", "/ready", s.self, "serve-bare-seats", s.folder("bare")+".seats", fmt.Sprint(size))
			if err != nil {
				return err
			}
			err = s.seatRound(ours, b, v, size, cpu)
			b.stop()
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		for what, c := range cpu {
			s.table.row(seatsPart, what+", 64 clients, 1 000 000 free seats beside 1 000: processor time", "µs", aimSeatSizes).add(c[1], c[0])
		}
	}
	return s.seatMemory(ours)
}

// seatHome makes a machine with the licenses.
func (s *stage) seatHome(v *vendor) (string, error) {
	body, err := json.Marshal(wire.CatalogRequest{YAML: seatsCatalog})
	if err != nil {
		return "", err
	}
	if _, err := run(v.process, 1, [][]byte{request("PUT", "/api/v1/catalog", v.header, string(body))}, false, false); err != nil {
		return "", err
	}
	home := s.folder("home")
	if out, err := exec.Command(s.licet, "trust", "add", "http://"+v.address, "--home", home).CombinedOutput(); err != nil {
		return "", fmt.Errorf("trust add: %w: %s", err, out)
	}
	for _, size := range seatSizes {
		order := fmt.Sprintf(`{"number":"SEATS-%d","customer":"Example Customer","items":[{"product":"SEATS-%d"}]}`, size, size)
		l, err := run(v.process, 1, [][]byte{request("POST", "/api/v1/orders", v.header, order)}, true, false)
		if err != nil {
			return "", err
		}
		var o wire.Order
		if err := json.Unmarshal(l.Answers[0], &o); err != nil {
			return "", err
		}
		if out, err := exec.Command(s.licet, "activate", string(o.Ticket), "--home", home).CombinedOutput(); err != nil {
			return "", fmt.Errorf("activate: %w: %s", err, out)
		}
	}
	return home, nil
}

// seatServer starts the license server on a free port.
func (s *stage) seatServer(home string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{address: l.Addr().String()}
	l.Close()
	file, err := os.Create(home + ".log")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	began := time.Now()
	p.cmd = exec.Command(s.licet, "serve", "--home", home, "--listen", p.address, "--refresh", "12h")
	p.cmd.Stderr = file
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.wait(wire.PathServer); err != nil {
		p.stop()
		text, _ := os.ReadFile(home + ".log")
		return nil, fmt.Errorf("licet serve: %w\n%s", err, text)
	}
	p.started = time.Since(began)
	return p, nil
}

// seatCycle claims, extends and releases n seats, and measures each.
type seatCycle struct{ claim, beat, release load }

func (s *stage) seatRound(ours, b *process, v *vendor, size int, cpu map[string][2]float64) error {
	for _, clients := range []int{1, 8, 64, 256} {
		n := min(size*9/10, 5*s.requests)
		switch clients {
		case 1:
			n = min(n, s.requests/4)
		case 8:
			n = min(n, s.requests)
		}
		s.hush()
		mine, err := ourSeats(ours, clients, size, n)
		if err != nil {
			return fmt.Errorf("ours, %d clients, %d seats: %w", clients, size, err)
		}
		bare, err := bareSeats(b, clients, n)
		if err != nil {
			return fmt.Errorf("bare, %d clients, %d seats: %w", clients, size, err)
		}
		s.seatRows("claim", clients, size, mine.claim, bare.claim, aimSeatRate)
		s.seatRows("extension", clients, size, mine.beat, bare.beat, aimBeatRate)
		s.seatRows("release", clients, size, mine.release, bare.release, aimSeatRate)
		if clients == 64 && (size == seatSizes[0] || size == seatSizes[2]) {
			for what, l := range map[string]load{"claim": mine.claim, "extension": mine.beat, "release": mine.release} {
				c := cpu[what]
				if size == seatSizes[0] {
					c[0] = l.CPU
				} else {
					c[1] = l.CPU
				}
				cpu[what] = c
			}
		}
		if size == seatSizes[1] {
			if err := s.seatLoans(ours, b, v, clients, size, min(n, s.requests)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stage) seatRows(what string, clients, size int, ours, bare load, rate float64) {
	name := fmt.Sprintf("%s, %d clients, %s free seats", what, clients, number(float64(size)))
	cpu, p99 := 0.0, 0.0
	if clients != 64 {
		rate = 0
	} else if what == "claim" || what == "release" {
		cpu, p99 = aimSeatCPU, aimSeatP99
	}
	t := &s.table
	t.row(seatsPart, name+": rate", "1/s", rate).add(ours.Rate, bare.Rate).atLeast()
	t.row(seatsPart, name+": processor time", "µs", cpu).add(ours.CPU, bare.CPU)
	t.row(seatsPart, name+": 99 of 100 answers", "ms", p99).add(ours.P99, bare.P99)
}

func ourSeats(p *process, clients, size, n int) (c seatCycle, err error) {
	claims := make([][]byte, n)
	for i := range claims {
		id := rand.Text()
		claims[i] = request("POST", wire.PathLeases, asJSON, fmt.Sprintf(
			`{"product":"SEATS-%d","client":{"id":"%s","host":"host-%d","user":"user","pid":%d},"nonce":"%s"}`, size, id, i, i+1, id))
	}
	if c.claim, err = run(p, clients, claims, true, false); err != nil {
		return c, err
	}
	beats, releases := make([][]byte, n), make([][]byte, n)
	for i, text := range c.claim.Answers {
		var l wire.Lease
		if err := json.Unmarshal(text, &l); err != nil {
			return c, err
		}
		head := "Authorization: Bearer " + l.Token + "\r\n"
		beats[i] = request("PUT", wire.PathLease+string(l.Lease), head, "")
		releases[i] = request("DELETE", wire.PathLease+string(l.Lease), head, "")
	}
	if c.beat, err = run(p, clients, beats, false, false); err != nil {
		return c, err
	}
	c.release, err = run(p, clients, releases, false, false)
	return c, err
}

func bareSeats(p *process, clients, n int) (c seatCycle, err error) {
	names := make([]string, n)
	for i := range names {
		names[i] = rand.Text()
	}
	all := func(method string) [][]byte {
		list := make([][]byte, n)
		for i, name := range names {
			list[i] = request(method, "/seats/"+name, "", "")
		}
		return list
	}
	if c.claim, err = run(p, clients, all("POST"), false, false); err != nil {
		return c, err
	}
	if c.beat, err = run(p, clients, all("PUT"), false, false); err != nil {
		return c, err
	}
	c.release, err = run(p, clients, all("DELETE"), false, false)
	return c, err
}

// seatLoans measures loans: the request is signed by the borrower, the answer by the
// server. The bare one verifies a signature and signs a document.
func (s *stage) seatLoans(ours, b *process, v *vendor, clients, size, n int) error {
	mine, theirs := make([][]byte, n), make([][]byte, n)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	for i := range mine {
		keys, err := seal.NewContainerKeys(rand.Reader)
		if err != nil {
			return err
		}
		file, err := seal.SignLoanRequest(v.trust.Scope, keys, license.Machine, seats.LoanWish{
			Product: fmt.Sprintf("SEATS-%d", size), Kind: seats.Loan, Seats: 1, Number: 1, For: license.Day, Nonce: rand.Text(),
			Client: seats.Client{ID: rand.Text(), Host: "host", User: "user"}, Holds: []seats.Held{}, Returned: []seats.LeaseID{}, Features: []string{},
		})
		if err != nil {
			return err
		}
		mine[i] = request("POST", wire.PathLoans, "Content-Type: "+wire.MediaFile+"\r\n", string(file))
		name := rand.Text()
		theirs[i] = request("POST", "/loans/"+name, "", string(bare.BorrowRequest(key, name)))
	}
	l, err := run(ours, clients, mine, true, false)
	if err != nil {
		return err
	}
	if text := string(l.Answers[n-1]); !strings.Contains(text, "LOAN") {
		return fmt.Errorf("no loan: %.300s", text)
	}
	other, err := run(b, clients, theirs, false, false)
	if err != nil {
		return err
	}
	s.seatRows("loan", clients, size, l, other, aimSeatRate)
	return nil
}

// seatMemory measures what a lease takes in memory.
func (s *stage) seatMemory(p *process) error {
	const n = 50_000
	before, _ := p.memory()
	claims := make([][]byte, n)
	for i := range claims {
		id := rand.Text()
		claims[i] = request("POST", wire.PathLeases, asJSON, fmt.Sprintf(
			`{"product":"SEATS-1000000","client":{"id":"%s","host":"host-%d","user":"user","pid":%d},"nonce":"%s"}`, id, i, i+1, id))
	}
	if _, err := run(p, 64, claims, false, false); err != nil {
		return err
	}
	after, _ := p.memory()
	s.table.row(seatsPart, "memory of a lease, with what the heap keeps free", "KiB", 0).add((after - before) * 1024 / n)
	return nil
}
