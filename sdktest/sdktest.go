// Package sdktest gives a test the real thing: a vendor's central with its own
// keys, a SQLite database and a gateway on the loopback address, and machines
// with a real agent, all of it in temporary folders. Only the clock and the
// machines' traits are imitated.
//
//	func TestLicensed(t *testing.T) {
//		v := sdktest.New(t, sdktest.Product{Code: "CAD-PRO", Terms: license.Terms{ExpiresIn: 30 * license.Day}})
//		m := v.Machine(t)
//		m.Activate(v.Ticket("CAD-PRO"))
//		session := m.Open(v.Program("CAD-PRO"))
//		if !session.Valid() {
//			t.Fatal(session.Verdict())
//		}
//		v.Clock().Advance(31 * 24 * time.Hour)
//		if session.Valid() {
//			t.Fatal("valid after its end")
//		}
//	}
//
// Time stands still until the test moves it. What happens by itself from time
// to time in production (a session's look, the agent's contact with the vendor)
// happens here when it is asked for: [sdk.Session.Refresh], [Machine.Update].
//
// Importing this package brings central and its database into the test, never
// into the program.
package sdktest

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"licet/internal/gateway"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/web"
	"licet/license"
	"licet/sdk"
	"licet/wire"
)

// Product is what the vendor of a test sells. Only the code is needed.
type Product struct {
	Code     string
	Name     string        // the code if empty
	Model    license.Model // perpetual_single if empty
	Features []string
	Requires []string          // codes that must be in the same container
	Binding  license.Tolerance // medium if empty
	Terms    license.Terms     // what is zero is the model's
}

// Vendor is a software maker with a running central.
type Vendor struct {
	t       testing.TB
	clock   *Clock
	book    *registry.Registry
	admin   registry.Actor
	trust   []byte
	offline atomic.Bool
}

// New starts a vendor that sells some products. Everything ends with the test.
func New(t testing.TB, products ...Product) *Vendor {
	t.Helper()
	v := &Vendor{t: t, clock: newClock()}
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "central.db"))
	v.must(err)
	var handler atomic.Pointer[http.Handler]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v.offline.Load() {
			http.Error(w, "offline", http.StatusServiceUnavailable)
			return
		}
		(*handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		if err := db.Close(); err != nil {
			t.Errorf("sdktest: closing the database: %v", err)
		}
	})

	log := slog.New(slog.DiscardHandler)
	cfg := registry.Config{DB: db, Secret: make([]byte, 32), Now: v.clock.Now, Random: random, Log: log}
	random(cfg.Secret)
	made, err := registry.Init(t.Context(), cfg, registry.InitRequest{Vendor: "Vendor of " + t.Name(), Address: server.URL})
	v.must(err)
	v.trust = made.Trust
	v.book, err = registry.Open(t.Context(), cfg)
	v.must(err)
	v.admin, err = v.book.Authenticate(t.Context(), made.AdminToken)
	v.must(err)
	gate := gateway.New(v.book, log, web.Limits{})
	handler.Store(&gate)
	if len(products) > 0 {
		v.Sell(products...)
	}
	return v
}

// Sell adds products to the catalog, or changes those with the same code.
func (v *Vendor) Sell(products ...Product) {
	v.t.Helper()
	list := make([]map[string]any, len(products))
	for i, p := range products {
		list[i] = p.catalog()
	}
	text, err := json.Marshal(map[string]any{"products": list}) // JSON is YAML
	v.must(err)
	v.Catalog(string(text))
}

// Catalog applies a catalog file, as licet-central apply does.
func (v *Vendor) Catalog(yaml string) {
	v.t.Helper()
	_, err := v.book.ApplyCatalog(v.t.Context(), v.admin, wire.CatalogRequest{YAML: yaml})
	v.must(err)
}

// catalog is the product with the keys of the catalog file, zeros left out.
func (p Product) catalog() map[string]any {
	if p.Name == "" {
		p.Name = p.Code
	}
	if p.Model == "" {
		p.Model = license.PerpetualSingle
	}
	terms := map[string]any{}
	text, err := json.Marshal(p.Terms)
	if err == nil {
		err = json.Unmarshal(text, &terms)
	}
	if err != nil {
		panic(err) // terms are plain values
	}
	if p.Terms.Seats == 0 {
		delete(terms, "seats")
	}
	entry := map[string]any{"code": p.Code, "name": p.Name, "model": p.Model, "terms": terms}
	if len(p.Features) > 0 {
		entry["features"] = p.Features
	}
	if len(p.Requires) > 0 {
		entry["requires"] = p.Requires
	}
	if p.Binding != "" {
		entry["binding"] = p.Binding
	}
	return entry
}

// Ticket sells one license of a product, with terms of its own where overrides
// such as "expires_at=2027-06-30" say so, and returns the ticket.
func (v *Vendor) Ticket(product string, overrides ...string) string {
	v.t.Helper()
	order, err := v.book.CreateOrder(v.t.Context(), v.admin, wire.OrderRequest{
		Customer: "Customer of " + v.t.Name(),
		Items:    []wire.OrderItem{{Product: product, Quantity: 1, Override: overrides}},
	}, registry.Once{})
	v.must(err)
	return string(order.Ticket)
}

// Answer is what the vendor's page answers to a request file that was carried there.
func (v *Vendor) Answer(request []byte) (update []byte) {
	v.t.Helper()
	update, err := v.book.Program(v.t.Context(), request)
	v.must(err)
	return update
}

// Trust is the vendor's trust file, which a program embeds.
func (v *Vendor) Trust() []byte { return v.trust }

// RevokeKey has the vendor revoke the key that signs, as after a theft, and sign with
// another. It returns the new trust file, which the next release of a program embeds.
func (v *Vendor) RevokeKey() (trust []byte) {
	v.t.Helper()
	list, err := v.book.Keys(v.t.Context(), registry.System)
	v.must(err)
	v.must(v.book.ChangeKeys(v.t.Context(), registry.System, registry.KeyChange{Revoke: list.Signs, Reason: "a test"}))
	return []byte(v.book.WellKnown().Trust)
}

// Program is what a program of this vendor says of itself, to be filled in
// further.
func (v *Vendor) Program(product string) sdk.Product {
	return sdk.Product{Trust: v.trust, Code: product}
}

// Clock is the time of the vendor and of all machines.
func (v *Vendor) Clock() *Clock { return v.clock }

// Offline takes central off the network, or back to it.
func (v *Vendor) Offline(off bool) { v.offline.Store(off) }

func (v *Vendor) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatalf("sdktest: %v", err)
	}
}

func random(b []byte) { _, _ = rand.Read(b) } // never fails (crypto/rand)

// Start is the time at which every test begins.
var Start = time.Date(2027, time.January, 1, 12, 0, 0, 0, time.UTC)
