package sdktest_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"licet/license"
	"licet/sdk"
	"licet/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLicensed is the example of the package's documentation.
func TestLicensed(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD-PRO", Terms: license.Terms{ExpiresIn: 30 * license.Day}})
	m := v.Machine(t)
	m.Activate(v.Ticket("CAD-PRO"))
	session := m.Open(v.Program("CAD-PRO"))
	if !session.Valid() {
		t.Fatal(session.Verdict())
	}
	v.Clock().Advance(31 * 24 * time.Hour)
	if session.Valid() {
		t.Fatal("valid after its end")
	}
}

func TestCatalogFile(t *testing.T) {
	v := sdktest.New(t)
	v.Catalog(`
products:
  - {code: BASE, name: Base, model: perpetual_single}
  - {code: PLUS, name: Plus, model: perpetual_multi, requires: [BASE], terms: {seats: 3}}
`)
	m := v.Machine(t)
	m.Activate(v.Ticket("BASE"))
	m.Activate(v.Ticket("PLUS"))
	if s := m.Open(v.Program("PLUS")); !s.Valid() {
		t.Error(s.Verdict())
	}
}

// TestMove returns a license on one machine and uses it on another, with the
// same ticket.
func TestMove(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD-PRO"})
	ticket := v.Ticket("CAD-PRO")
	old, next := v.Machine(t), v.Machine(t)
	old.StartAgent()
	old.Activate(ticket)
	old.Return()
	next.Activate(ticket)
	if s := next.Open(v.Program("CAD-PRO")); !s.Valid() {
		t.Error(s.Verdict())
	}
	if s := old.Open(v.Program("CAD-PRO")); s.Verdict().Code != sdk.NoLicense {
		t.Error(s.Verdict())
	}
}

// TestOffline: nothing that runs needs central.
func TestOffline(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD-PRO"})
	m := v.Machine(t)
	m.Activate(v.Ticket("CAD-PRO"))
	v.Offline(true)
	if s := m.Open(v.Program("CAD-PRO")); !s.Valid() {
		t.Error(s.Verdict())
	}
	v.Offline(false)
	m.Return()
}
