package seatserver

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"licet/license"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

// The handlers without a network, for profiles:
//
//	go test ./internal/seatserver -run '^$' -bench . -cpuprofile cpu.out
//
// docs/performance.md has the figures through HTTP.

const clients = 64

func benchmark(b *testing.B, one func(h http.Handler, p *place, n int)) {
	p := newPlace(b, cad(1<<30))
	h := p.Handler(true)
	var n atomic.Int64
	b.SetParallelism(clients / 2)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			one(h, p, int(n.Add(1)))
		}
	})
}

func request(method, path, token string, body []byte) *http.Request {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:47120", fmt.Sprintf("127.0.%d.%d:40000", rand.Text()[0], rand.Text()[1])
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func claimBody(n int) []byte {
	return fmt.Appendf(nil, `{"product":"CAD-PRO","client":{"id":"%s","host":"host-%d","user":"user","pid":%d},"nonce":"%s"}`, rand.Text(), n, n+1, rand.Text())
}

func BenchmarkClaim(b *testing.B) {
	benchmark(b, func(h http.Handler, _ *place, n int) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", wire.PathLeases, "", claimBody(n)))
		if w.Code != http.StatusCreated {
			b.Errorf("%d: %s", w.Code, w.Body)
		}
	})
}

func BenchmarkExtend(b *testing.B) {
	p := newPlace(b, cad(1<<30))
	h := p.Handler(true)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("POST", wire.PathLeases, "", claimBody(1)))
	var l wire.Lease
	must(b, json.Unmarshal(w.Body.Bytes(), &l))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("PUT", wire.PathLease+string(l.Lease), l.Token, nil))
		if w.Code != http.StatusOK {
			b.Fatalf("%d: %s", w.Code, w.Body)
		}
	}
}

func BenchmarkLoan(b *testing.B) {
	keys, err := seal.NewContainerKeys(rand.Reader)
	must(b, err)
	benchmark(b, func(h http.Handler, p *place, n int) {
		file, err := seal.SignLoanRequest(p.verifier.Scope(), keys, license.Machine, seats.LoanWish{
			Product: "CAD-PRO", Kind: seats.Loan, Seats: 1, Number: 1, For: license.Day, Nonce: rand.Text(),
			Client: seats.Client{ID: rand.Text(), Host: "host", User: "user"}, Holds: []seats.Held{}, Returned: []seats.LeaseID{}, Features: []string{},
		})
		if err != nil {
			b.Error(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", wire.PathLoans, "", file))
		if w.Code != http.StatusOK {
			b.Errorf("%d: %s", w.Code, w.Body)
		}
	})
}
