package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licet/container"
	"licet/internal/gateway"
	"licet/internal/registry"
	"licet/internal/speed/bare"
	"licet/internal/store"
	"licet/internal/vendorapi"
	"licet/internal/web"
	"licet/license"
	"licet/seal"
	"licet/wire"
)

// BenchmarkActivation is the first activation of new containers in one process,
// without a network, for profiles:
//
//	go test ./internal/speed -run '^$' -bench Activation -benchtime 5000x -cpuprofile cpu.out
//
// The processor time per activation includes the audit log behind it; x-bare is
// that time over the bare writer's and the bare cryptography's.
func BenchmarkActivation(b *testing.B) {
	k := newBook(b)
	reg, admin, trust := k.reg, k.admin, k.trust
	handler := gateway.New(reg, k.log, web.Limits{})

	files := make([][]byte, b.N)
	must(b, parallel(8, b.N, func(i int) error {
		o, err := reg.CreateOrder(context.Background(), admin, wire.OrderRequest{Number: fmt.Sprint("S-", i), Customer: "Example Customer",
			Items: []wire.OrderItem{{Product: "CAD"}}}, registry.Once{})
		if err != nil {
			return err
		}
		keys, err := seal.NewContainerKeys(rand.Reader)
		if err != nil {
			return err
		}
		_, r := container.NewState(keys.Serial()).Report(keys.Identity(license.Machine), nonce(), license.At(time.Now()))
		r.Wishes = container.Wishes{Tickets: []license.Ticket{o.Ticket}}
		files[i], err = seal.SealReport(trust, keys, r)
		return err
	}))
	_, err := reg.Sequence(b.Context())
	must(b, err)
	runtime.GC()

	stop, stopped := make(chan struct{}), make(chan struct{})
	before := cpuOf(os.Getpid())
	calls, bytesBefore := written()
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
				reg.Sequence(b.Context()) // once more below
			}
		}
	}()
	err = parallel(64, b.N, func(i int) error {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", wire.PathProgram, bytes.NewReader(files[i])))
		if w.Code != 200 {
			return fmt.Errorf("status %d: %s", w.Code, w.Body)
		}
		return nil
	})
	served := cpuOf(os.Getpid())
	close(stop)
	<-stopped
	_, again := reg.Sequence(b.Context())
	b.StopTimer()
	must(b, err)
	must(b, again)
	calls2, bytesAfter := written()
	b.ReportMetric(float64(calls2-calls)/float64(b.N), "writes/op")
	b.ReportMetric(float64(bytesAfter-bytesBefore)/float64(b.N), "written-B/op")
	cpu := micros(cpuOf(os.Getpid())-before) / float64(b.N)
	b.ReportMetric(micros(served-before)/float64(b.N), "cpu-µs/op")
	b.ReportMetric(cpu, "cpu-µs-with-log/op")

	writer, err := bare.Create(filepath.Join(b.TempDir(), "bare.db"), 1000)
	must(b, err)
	defer writer.Close()
	_, write := commits(writer, 64, 1000)
	b.ReportMetric(cpu/(write+cryptography(300)), "x-bare")
}

// book is a registry on SQLite with a catalog.
type book struct {
	reg   *registry.Registry
	admin registry.Actor
	token string
	trust *seal.Trust
	log   *slog.Logger
}

func newBook(b *testing.B) book {
	db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "licet.db"))
	must(b, err)
	b.Cleanup(func() { db.Close() })
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	must(b, err)
	b.Cleanup(func() { file.Close() })
	cfg := registry.Config{DB: db, Secret: make([]byte, 32), Now: time.Now, Random: func(p []byte) { rand.Read(p) },
		Log: slog.New(slog.NewTextHandler(file, nil))}
	made, err := registry.Init(b.Context(), cfg, registry.InitRequest{Vendor: "Example Software", Address: "http://127.0.0.1:1"})
	must(b, err)
	reg, err := registry.Open(b.Context(), cfg)
	must(b, err)
	admin, err := reg.Authenticate(b.Context(), made.AdminToken)
	must(b, err)
	_, err = reg.ApplyCatalog(b.Context(), admin, wire.CatalogRequest{YAML: catalog})
	must(b, err)
	trust, err := seal.ParseTrust(made.Trust)
	must(b, err)
	return book{reg, admin, made.AdminToken, trust, cfg.Log}
}

// BenchmarkLookup is the look-up of a ticket and of a license in one process,
// without a network, for profiles.
func BenchmarkLookup(b *testing.B) {
	k := newBook(b)
	handler := vendorapi.New(k.reg, k.log, web.Limits{})
	const many = 1000
	var orders []wire.Order
	for i := range many {
		o, err := k.reg.CreateOrder(b.Context(), k.admin, wire.OrderRequest{Number: fmt.Sprint("S-", i), Customer: "Example Customer",
			Items: []wire.OrderItem{{Product: "CAD"}}}, registry.Once{})
		must(b, err)
		orders = append(orders, o)
	}
	for name, request := range map[string]func(wire.Order) *http.Request{
		"ticket": func(o wire.Order) *http.Request {
			r := httptest.NewRequest("POST", "/api/v1/tickets/lookup", strings.NewReader(fmt.Sprintf(`{"ticket":"%s"}`, o.Ticket)))
			r.Header.Set("Content-Type", "application/json")
			return r
		},
		"license": func(o wire.Order) *http.Request {
			return httptest.NewRequest("GET", "/api/v1/licenses/"+string(o.Licenses[0].ID), nil)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuOf(os.Getpid())
			for i := range b.N {
				r := request(orders[i*7919%many])
				r.Header.Set("Authorization", "Bearer "+k.token)
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code != 200 {
					b.Fatalf("status %d: %s", w.Code, w.Body)
				}
			}
			b.ReportMetric(micros(cpuOf(os.Getpid())-before)/float64(b.N), "cpu-µs/op")
		})
	}
}

// written is how often this process wrote to a file, and how many bytes.
func written() (calls, bytes int64) {
	text, _ := os.ReadFile("/proc/self/io") // zero where there is none
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "syscw":
			calls = n
		case "wchar":
			bytes = n
		}
	}
	return calls, bytes
}

// parallel calls fn for 0 … n-1 from so many goroutines.
func parallel(clients, n int, fn func(int) error) error {
	var next atomic.Int64
	var first atomic.Pointer[error]
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && first.Load() == nil; i = next.Add(1) - 1 {
				if err := fn(int(i)); err != nil {
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := first.Load(); err != nil {
		return *err
	}
	return nil
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
