package store_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/license"
)

// sold is a database with licenses of so many seats each.
func sold(t *testing.T, db *store.DB, seats ...int64) (ids []license.ID) {
	t.Helper()
	must(t, db.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.PutProduct(license.Product{Code: "P"}); err != nil {
			return err
		}
		if _, _, err := tx.EnsureOrder(store.Order{ID: "ord_1", Number: "1", Customer: "C", Created: 1}); err != nil {
			return err
		}
		if err := tx.InsertTicket(store.Ticket{ID: "tic_1", OrderID: "ord_1", Lookup: []byte("l"), Sealed: []byte("s"), Created: 1}); err != nil {
			return err
		}
		var all []store.License
		for i, n := range seats {
			id := license.ID("lic_" + string(rune('a'+i)))
			ids = append(ids, id)
			all = append(all, store.License{ID: id, OrderID: "ord_1", TicketID: "tic_1", Product: "P", Item: "P " + string(rune('a'+i)),
				Terms: license.Terms{Seats: n, Borrow: license.Borrow{Max: license.Day, Seats: n / 2}}, State: license.NotCollected, Generation: 1, Created: 1})
		}
		return tx.InsertLicenses(all)
	}))
	return ids
}

// TestSeatsOfBefore: licenses that were sold before there were parts have the seats
// that their terms say.
func TestSeatsOfBefore(t *testing.T) {
	migration, err := os.ReadFile("migrations/0009_parts.sql")
	must(t, err)
	_, fill, _ := strings.Cut(string(migration), "update licenses set seats =")
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		want := []int64{0, 1, 9, 10, 1_000_000}
		ids := sold(t, db, want...)
		must(t, db.Write(t.Context(), func(tx *store.Tx) error {
			for _, q := range []string{
				`update licenses set seats = 77`,
				`update licenses set terms = '{"seats":9}' where id = 'lic_c'`,
				"update licenses set seats =" + strings.TrimSuffix(strings.TrimSpace(fill), ";"),
			} {
				if _, err := tx.Exec(q); err != nil {
					return err
				}
			}
			for i, id := range ids {
				l, err := tx.License(id)
				if err != nil || l.Terms.Seats != want[i] || l.Sold.Seats != want[i] {
					t.Errorf("%s: %d seats, want %d; %v", id, l.Terms.Seats, want[i], err)
				}
			}
			return nil
		}))
	})
}

// TestSeatsMove: what one part gets, another loses, or nothing happens.
func TestSeatsMove(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		id := sold(t, db, 10)[0]
		seats := func() (all []int64) {
			t.Helper()
			must(t, db.Read(t.Context(), func(tx *store.Tx) error {
				parts, err := tx.Parts(id)
				for _, l := range parts {
					all = append(all, l.Terms.Seats)
				}
				return err
			}))
			return all
		}
		split := func(n int64) error {
			return db.Write(t.Context(), func(tx *store.Tx) error {
				l, err := tx.LockLicense(id)
				if err != nil {
					return err
				}
				rest, part, err := tx.SplitLicense(l, "lic_z", n, 2)
				if err == nil && (rest.Terms.Seats != 10-n || part.Terms.Seats != n || part.Terms.Borrow.Seats != n/2 || part.Origin != id) {
					t.Errorf("%+v\n%+v", rest, part)
				}
				return err
			})
		}
		whole := func(id license.ID) (whole license.ID) {
			t.Helper()
			must(t, db.Read(t.Context(), func(tx *store.Tx) (err error) {
				whole, err = tx.WholeOf(id)
				return err
			}))
			return whole
		}
		if got := whole(id); got != "" {
			t.Errorf("a license without parts is a part of %s", got)
		}
		if err := split(11); err == nil {
			t.Error("more seats were split off than there are")
		}
		if got := seats(); len(got) != 1 || got[0] != 10 {
			t.Fatalf("after a split that failed: %v", got)
		}
		must(t, split(4))
		if got := seats(); len(got) != 2 || got[0] != 6 || got[1] != 4 {
			t.Fatalf("after the split: %v", got)
		}
		if whole(id) != id || whole("lic_z") != id || whole("lic_0") != "" {
			t.Error("the family is another one")
		}
		// A part that is not there gets nothing, and nobody loses anything.
		missed := errors.New("x")
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			l, err := tx.LockLicense(id)
			if err != nil {
				return err
			}
			if _, _, missed = tx.MergeLicense(l, store.License{ID: "lic_0", Sold: l.Sold}); missed == nil {
				_, missed = tx.License(id) // what waited has run by now
			}
			return missed
		})
		if err == nil {
			t.Error("seats went nowhere")
		}
		must(t, db.Write(t.Context(), func(tx *store.Tx) error {
			l, err := tx.LockLicense(id)
			if err != nil {
				return err
			}
			part, err := tx.LockLicense("lic_z")
			if err != nil {
				return err
			}
			gone, all, err := tx.MergeLicense(part, l)
			if gone.Terms.Seats != 0 || gone.MergedInto != id || all.Terms.Seats != 10 {
				t.Errorf("%+v\n%+v", gone, all)
			}
			return err
		}))
		if got := seats(); len(got) != 1 || got[0] != 10 {
			t.Fatalf("after the merge: %v", got)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
