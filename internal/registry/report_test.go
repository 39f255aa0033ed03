package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// TestLicenseReport counts what a year brings, in both databases.
func TestLicenseReport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		report := func() wire.LicenseReport {
			t.Helper()
			r, err := b.LicenseReport(t.Context(), b.admin)
			must(t, err)
			return r
		}
		month := func(r wire.LicenseReport, at time.Time) wire.ReportMonth {
			for _, m := range r.Months {
				if m.Month == at.Format("2006-01") {
					return m
				}
			}
			t.Fatalf("no month %s in %+v", at.Format("2006-01"), r.Months)
			return wire.ReportMonth{}
		}
		empty := report()
		if empty.Total != (wire.ReportLine{}) || len(empty.Products) != 0 || len(empty.Months) != 25 {
			t.Fatalf("an empty book: %+v", empty)
		}
		sold := b.now
		o := b.order("1", wire.OrderItem{Product: "YEAR", Quantity: 3}, wire.OrderItem{Product: "CAD"})
		if again := report(); again.Total != empty.Total {
			t.Fatalf("counted again within a minute: %+v", again.Total)
		}
		b.now = b.now.Add(40 * 24 * time.Hour)
		b.box().gets(ticket(o.Ticket), refusal.Done)
		r := report()
		if want := (wire.ReportLine{Licenses: 4, Active: 4, Seats: 4, ActiveSeats: 4}); r.Total != want {
			t.Fatalf("%+v, want %+v", r.Total, want)
		}
		if m := month(r, sold); m.Issued != 4 || m.Activated != 0 {
			t.Fatalf("%+v", m)
		}
		if m := month(r, b.now); m.Issued != 0 || m.Activated != 4 {
			t.Fatalf("%+v", m)
		}
		ends := b.now.Add(365 * 24 * time.Hour)
		if m := month(r, ends); m.Ending != 3 {
			t.Fatalf("%+v", m)
		}
		b.now = ends.Add(-10 * 24 * time.Hour)
		if r = report(); r.Total.EndSoon != 3 || r.Total.Ended != 0 {
			t.Fatalf("ten days before the end: %+v", r.Total)
		}
		b.now = ends
		if r = report(); r.Total.EndSoon != 0 || r.Total.Ended != 3 || month(r, ends).Ending != 3 {
			t.Fatalf("at the end: %+v", r.Total)
		}
		if len(r.Products) != 2 || r.Products[0].Product != "CAD" || r.Products[1].Product != "YEAR" || r.Products[1].Ended != 3 {
			t.Fatalf("%+v", r.Products)
		}
		for _, name := range []string{"products", "months"} {
			if rows, ok := r.Table(name); !ok || len(rows) < 3 || len(rows[0]) != len(rows[1]) {
				t.Errorf("%s: %q", name, rows)
			}
		}
		if _, err := b.LicenseReport(t.Context(), registry.Actor{Kind: "token", Name: "orders", Scopes: []string{registry.ScopeOrders}}); err == nil {
			t.Error("a token that may not read got a report")
		}
	})
}

// BenchmarkMillionReport is a report over a million licenses, of 20 products, half of
// which have an end.
func BenchmarkMillionReport(b *testing.B) {
	const size = 1_000_000
	for engine, address := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + b.TempDir() + "/licet.db" },
		"postgres": func() string { return pgtest.URL(b) },
	} {
		b.Run(engine, func(b *testing.B) {
			db, err := store.Open(b.Context(), address())
			must(b, err)
			defer db.Close()
			bk := newBook(b, db)
			o := bk.order("1", wire.OrderItem{Product: "CAD"})
			terms := func(ends int) string {
				text, err := json.Marshal(license.Terms{Seats: 1, ExpiresAt: license.At(bk.now.AddDate(0, ends, 0))})
				must(b, err)
				return string(text)
			}
			for at := 0; at < size; at += 100_000 {
				must(b, db.Write(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec(fmt.Sprintf(`insert into licenses (id, order_id, ticket_id, product, item, features, terms, state, generation, holder, step, withdrawn, activated, created, seats)
						with recursive n(i) as (select %d union all select i + 1 from n where i < %d)
						select 'lic_' || (10000000 + n.i), l.order_id, l.ticket_id, l.product, l.item, l.features, case when n.i %% 2 = 0 then l.terms when n.i %% 3 = 0 then '%s' else '%s' end,
						case when n.i %% 5 = 0 then 'collected' else 'not_collected' end, 1, case when n.i %% 5 = 0 then 'S' || n.i else null end, 1, 0, case when n.i %% 5 = 0 then l.created else 0 end, l.created, 1
						from n, licenses l where l.id = '%s'`, at, at+99_999, terms(1), terms(5), o.Licenses[0].ID))
					return err
				}))
			}
			b.ResetTimer()
			for b.Loop() {
				bk.now = bk.now.Add(time.Minute)
				r, err := bk.LicenseReport(b.Context(), bk.admin)
				must(b, err)
				if r.Total.Licenses != size+1 {
					b.Fatal(r.Total)
				}
			}
		})
	}
}
