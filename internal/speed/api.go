package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"licet/internal/pgtest"
	"licet/wire"
)

// api measures the interface for shops: what is looked up, what is sold.
func (s *stage) api(context.Context) error {
	const part = "Management interface, SQLite"
	v, err := newVendor(s.central, s.folder("central"), "")
	if err != nil {
		return err
	}
	defer func() { v.stop() }()
	machines, err := v.machines(max(s.requests/2, 300))
	if err != nil {
		return err
	}
	kinds := []struct {
		name    string
		request func(i int) []byte
	}{
		{"a license", func(i int) []byte {
			return request("GET", "/api/v1/licenses/"+string(machines[i%len(machines)].order.Licenses[0].ID), v.header, "")
		}},
		{"a page of 50 licenses", func(int) []byte { return request("GET", "/api/v1/licenses", v.header, "") }},
		{"an order of one license", func(int) []byte {
			return request("POST", "/api/v1/orders", v.header, fmt.Sprintf(`{"number":"A-%d","customer":"Example Customer","items":[{"product":"CAD"}]}`, orderNumber.Add(1)))
		}},
	}
	for range s.rounds {
		for _, clients := range []int{1, 8, 64} {
			for _, k := range kinds {
				requests := make([][]byte, s.count(clients))
				for i := range requests {
					requests[i] = k.request(i)
				}
				s.hush()
				l, err := run(v.process, clients, requests, false, true)
				if err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
				who := k.name + ", " + naming(clients)
				s.table.row(part, who+": rate", "1/s", 0).add(l.Rate)
				s.table.row(part, who+": processor time", "µs", 0).add(l.CPU)
				s.table.row(part, who+": 99 of 100 answers", "ms", 0).add(l.P99)
				v.breathe()
			}
		}
	}
	return nil
}

// beside is a second server of the same vendor, on the same database.
func (v *vendor) beside(data string) (*vendor, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(v.data, "secret.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(data, "secret.key"), secret, 0o600)
	}
	if err != nil {
		return nil, err
	}
	other := *v
	other.data = data
	return &other, other.start()
}

// servers has 64 machines activate at one server, and at two on one database.
func (s *stage) servers(context.Context) error {
	const part = "Two servers on one PostgreSQL"
	h := &host{}
	defer h.end()
	address, err := h.try(func() string { return pgtest.Start(h).URL(h) })
	if err != nil {
		return err
	}
	one, err := newVendor(s.central, s.folder("central"), address)
	if err != nil {
		return err
	}
	defer func() { one.stop() }()
	two, err := one.beside(s.folder("central"))
	if err != nil {
		return err
	}
	defer func() { two.stop() }()
	for range s.rounds {
		var rates [2]float64
		for i, at := range [][]*process{{one.process}, {one.process, two.process}} {
			machines, err := one.machines(s.count(64))
			if err != nil {
				return err
			}
			requests, err := reports(machines, wire.PathProgram, activate)
			if err != nil {
				return err
			}
			s.hush()
			if rates[i], err = spread(at, requests); err != nil {
				return err
			}
		}
		s.table.row(part, "activations, 64 clients: rate of two, beside one", "1/s", 0).add(rates[1], rates[0])
	}
	return nil
}

// spread sends a share of the requests to each server, by 64 clients in all, and
// gives the answers per second.
func spread(servers []*process, requests [][]byte) (rate float64, err error) {
	var all sync.WaitGroup
	errs := make([]error, len(servers))
	began := time.Now()
	for i, p := range servers {
		share := requests[i*len(requests)/len(servers) : (i+1)*len(requests)/len(servers)]
		all.Go(func() { _, errs[i] = run(p, 64/len(servers), share, false, false) })
	}
	all.Wait()
	took := time.Since(began)
	for _, e := range errs {
		if e != nil {
			return 0, e
		}
	}
	return float64(len(requests)) / took.Seconds(), nil
}
