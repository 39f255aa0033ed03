package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"licet/internal/speed/bare"
	"licet/wire"
)

const (
	smallLicenses = 1000
	targetLookup  = 1.3
	targetGrowth  = 1.3
	targetStart   = 100 // ms
)

// scale compares a small and a large database, in turns: look-ups, activations,
// and how fast the programs start.
func (s *stage) scale(context.Context) error {
	activations := max(s.requests/3, 50)
	lookups := s.requests
	kept := max(activations*s.rounds, lookups/2)
	var vendors [2]*vendor
	var machines [2][]*machine
	for i, licenses := range []int{smallLicenses, s.licenses} {
		v, err := newVendor(s.central, s.folder("central"), "")
		if err != nil {
			return err
		}
		defer func() { v.stop() }()
		if machines[i], err = v.grow(max(licenses-kept, 0), kept); err != nil {
			return err
		}
		vendors[i] = v
	}
	b, err := s.bare(s.licenses)
	if err != nil {
		return err
	}
	defer b.stop()
	for round := range s.rounds {
		s.hush()
		if err := s.lookupRound(vendors, machines, b, lookups); err != nil {
			return err
		}
		var cpu [2]float64
		for i, v := range vendors {
			requests, err := reports(machines[i][round*activations:(round+1)*activations], wire.PathProgram, activate)
			if err != nil {
				return err
			}
			l, err := run(v.process, 64, requests, false, true)
			if err != nil {
				return err
			}
			cpu[i] = l.CPU
		}
		s.growth("activation", cpu)
	}
	return s.starts(vendors[1])
}

func (s *stage) part() string { return "Scale, " + number(float64(s.licenses)) + " licenses" }

func (s *stage) growth(what string, cpu [2]float64) {
	s.table.row(s.part(), what+", beside "+number(smallLicenses)+" licenses", "µs", targetGrowth).add(cpu[1], cpu[0])
}

// lookupRound looks up tickets and licenses by their ids.
func (s *stage) lookupRound(vendors [2]*vendor, machines [2][]*machine, b *process, n int) error {
	kinds := []struct {
		name    string
		request func(*machine) []byte
	}{
		{"ticket look-up", func(m *machine) []byte {
			return request("POST", "/api/v1/tickets/lookup", m.v.header, fmt.Sprintf(`{"ticket":"%s"}`, m.order.Ticket))
		}},
		{"license look-up", func(m *machine) []byte {
			return request("GET", "/api/v1/licenses/"+string(m.order.Licenses[0].ID), m.v.header, "")
		}},
	}
	for _, k := range kinds {
		var cpu [2]float64
		for i, v := range vendors {
			requests := make([][]byte, n)
			for j := range requests {
				requests[j] = k.request(machines[i][(j*7919)%len(machines[i])])
			}
			l, err := run(v.process, 8, requests, false, false)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			cpu[i] = l.CPU
			if i == 1 {
				s.table.row(s.part(), k.name+": rate, 8 clients", "1/s", 0).add(l.Rate)
			}
		}
		requests := make([][]byte, n)
		for j := range requests {
			requests[j] = request("POST", "/lookup", asJSON, fmt.Sprintf(`{"key":"%s"}`, bare.Key((j*7919)%s.licenses)))
		}
		l, err := run(b, 8, requests, false, false)
		if err != nil {
			return err
		}
		s.table.row(s.part(), k.name+", beside HTTP and one query", "µs", targetLookup).add(cpu[1], l.CPU)
		s.growth(k.name, cpu)
		vendors[0].breathe()
	}
	return nil
}

// starts restarts both programs.
func (s *stage) starts(v *vendor) error {
	for range 2*s.rounds + 1 {
		v.stop()
		if err := v.start(); err != nil {
			return err
		}
		s.table.row(s.part(), "central starts and answers", "ms", targetStart).add(micros(v.started) / 1000)
		now, _ := v.memory()
		s.table.row(s.part(), "memory of central after its start", "MiB", 0).add(now)
		began := time.Now()
		if out, err := exec.Command(s.licet, "list", "--home", s.dir+"/home").CombinedOutput(); err != nil {
			return fmt.Errorf("licet list: %w: %s", err, out)
		}
		s.table.row(s.part(), "licet list, from start to end", "ms", targetStart).add(micros(time.Since(began)) / 1000)
	}
	for name, path := range map[string]string{"licet-central": s.central, "licet": s.licet} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		s.table.row(s.part(), "size of "+name, "MiB", 0).add(float64(info.Size()) / (1 << 20))
	}
	return nil
}
