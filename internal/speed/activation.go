package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"licet/container"
	"licet/internal/pgtest"
	"licet/internal/speed/bare"
	"licet/wire"
)

// The targets of an activation: processor time over that of the bare server and
// of the cryptography together, and the rate over the lower of two shares.
const (
	targetActivation = 1.5
	shareOfSum       = 0.7
	shareOfWriter    = 0.5
)

func (s *stage) activation(context.Context) error {
	v, err := newVendor(s.central, s.folder("central"), "")
	if err != nil {
		return err
	}
	defer func() { v.stop() }()
	b, err := s.bare(100_000)
	if err != nil {
		return err
	}
	defer b.stop()
	writer, err := bare.Create(s.folder("writer")+".db", 1000)
	if err != nil {
		return err
	}
	defer writer.Close()
	for range s.rounds {
		for _, clients := range []int{1, 8, 64} {
			if err := s.activationRound(v, b, writer, clients); err != nil {
				return err
			}
		}
	}
	now, peak := v.memory()
	s.table.row("Activation, SQLite", "memory of central afterwards", "MiB", 0).add(now)
	s.table.row("Activation, SQLite", "memory of central at most", "MiB", 0).add(peak)
	return nil
}

// machinesSoFar numbers the bare server's machines.
var machinesSoFar atomic.Int64

func (s *stage) activationRound(v *vendor, b *process, writer *bare.Database, clients int) error {
	const part = "Activation, SQLite"
	n := s.count(clients)
	who := naming(clients)
	machines, err := v.machines(n)
	if err != nil {
		return err
	}
	requests, err := reports(machines, wire.PathProgram, activate)
	if err != nil {
		return err
	}
	plain, whole := make([][]byte, n), make([][]byte, n)
	for i := range n {
		k := int(machinesSoFar.Add(1))
		body := fmt.Sprintf(`{"key":"%s","fingerprint":"%s"}`, bare.Key(k%100_000), bare.Fingerprint(k))
		plain[i] = request("POST", "/activate", asJSON, body)
		k = int(machinesSoFar.Add(1))
		body = fmt.Sprintf(`{"key":"%s","fingerprint":"%s"}`, bare.Key(k%100_000), bare.Fingerprint(k))
		whole[i] = request("POST", "/exchange", asJSON, body)
	}
	s.hush()
	ours, err := run(v.process, clients, requests, true, true)
	if err != nil {
		return err
	}
	one, err := run(b, clients, plain, false, false)
	if err != nil {
		return err
	}
	two, err := run(b, clients, whole, false, false)
	if err != nil {
		return err
	}
	crypto := cryptography(300)
	commits, writerCPU := commits(writer, clients, n)

	t := &s.table
	r := t.row(part, "processor time, "+who, "µs", 0)
	if clients == 64 {
		r.Target = targetActivation
	}
	r.add(ours.CPU, one.CPU+crypto)
	t.row(part, "rate, "+who, "1/s", 0).add(ours.Rate, two.Rate)
	if clients == 64 {
		t.row(part, "rate over what is asked, "+who, "1/s", 1).add(ours.Rate, min(shareOfSum*two.Rate, shareOfWriter*commits)).atLeast()
		t.row(part, "  bare: activation alone", "µs", 0).add(one.CPU)
		t.row(part, "  bare: cryptography beyond it", "µs", 0).add(crypto)
		t.row(part, "  bare: both in one server", "µs", 0).add(two.CPU)
		t.row(part, "  bare: the database writer alone", "µs", 0).add(writerCPU)
		t.row(part, "  bare: rate of the database writer", "1/s", 0).add(commits)
	}
	t.row(part, "median answer, "+who, "ms", 0).add(ours.P50, two.P50)
	t.row(part, "99 of 100 answers, "+who, "ms", 0).add(ours.P99, two.P99)
	if clients < 64 {
		return nil
	}
	return s.rest(part, v, machines, ours.Answers)
}

// count is how many requests so many clients send in a round.
func (s *stage) count(clients int) int {
	switch clients {
	case 1:
		return max(s.requests/8, 20)
	case 8:
		return max(s.requests/3, 40)
	}
	return s.requests
}

// rest takes the activated machines through the rest of the exchange: receipt,
// return, receipt.
func (s *stage) rest(part string, v *vendor, machines []*machine, answers [][]byte) error {
	for _, leg := range []struct {
		name, path string
		wishes     func(*machine) container.Wishes
	}{
		{"receipt", wire.PathReceipt, nothing},
		{"return", wire.PathProgram, giveBack},
		{"receipt of a return", wire.PathReceipt, nothing},
	} {
		if answers != nil {
			if err := imports(machines, answers); err != nil {
				return err
			}
		}
		requests, err := reports(machines, leg.path, leg.wishes)
		if err != nil {
			return err
		}
		v.breathe()
		l, err := run(v.process, 64, requests, true, true)
		if err != nil {
			return fmt.Errorf("%s: %w", leg.name, err)
		}
		answers = nil
		if leg.path == wire.PathProgram {
			answers = l.Answers
		}
		s.table.row(part, leg.name+": processor time, 64 clients", "µs", 0).add(l.CPU)
		s.table.row(part, leg.name+": rate, 64 clients", "1/s", 0).add(l.Rate)
	}
	return nil
}

// cryptography is the processor time, in µs, of what an exchange needs beyond
// one signature, while all processors are busy with it, as they are in a server.
func cryptography(n int) float64 {
	text := make([]byte, 850)
	workers := runtime.GOMAXPROCS(0)
	runtime.GC()
	before := cpuOf(os.Getpid())
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			e := bare.NewExchange()
			for range n {
				if err := e.Receive(); err != nil {
					panic(err) // it is made by the same package
				}
				if _, err := e.Send(text); err != nil {
					panic(err)
				}
			}
		})
	}
	all.Wait()
	return micros(cpuOf(os.Getpid())-before) / float64(n*workers)
}

// commits is how many activations per second the bare database writer makes
// durable, and the processor time of one.
func commits(d *bare.Database, clients, n int) (rate, cpu float64) {
	var next atomic.Int64
	var all sync.WaitGroup
	token := make([]byte, 64)
	before := cpuOf(os.Getpid())
	start := time.Now()
	for range clients {
		all.Go(func() {
			for next.Add(1) <= int64(n) {
				k := machinesSoFar.Add(1)
				if err := d.Activate(1+k%1000, bare.Fingerprint(int(k)), token); err != nil {
					panic(err) // the figures would mean nothing
				}
			}
		})
	}
	all.Wait()
	wall := time.Since(start)
	return float64(n) / wall.Seconds(), micros(cpuOf(os.Getpid())-before) / float64(n)
}

func (s *stage) postgres(ctx context.Context) error {
	const part = "Activation, PostgreSQL"
	h := &host{}
	defer h.end()
	server, err := h.try(func() string { return pgtest.Start(h).URL(h) })
	if err != nil {
		return err
	}
	v, err := newVendor(s.central, s.folder("central"), server)
	if err != nil {
		return err
	}
	defer func() { v.stop() }()
	for range s.rounds {
		for _, clients := range []int{1, 8, 64} {
			machines, err := v.machines(s.count(clients))
			if err != nil {
				return err
			}
			requests, err := reports(machines, wire.PathProgram, activate)
			if err != nil {
				return err
			}
			s.hush()
			l, err := run(v.process, clients, requests, true, true)
			if err != nil {
				return err
			}
			commits, err := bare.Commits(ctx, server, clients, len(requests))
			if err != nil {
				return err
			}
			who := naming(clients)
			s.table.row(part, "processor time of central alone, "+who, "µs", 0).add(l.CPU)
			s.table.row(part, "rate, beside commits of one row, "+who, "1/s", 0).add(l.Rate, commits)
			s.table.row(part, "median answer, "+who, "ms", 0).add(l.P50)
			if clients < 64 {
				continue
			}
			if err := s.rest(part, v, machines, l.Answers); err != nil {
				return err
			}
		}
	}
	return nil
}

// naming says how many clients there are.
func naming(clients int) string {
	if clients == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", clients)
}
