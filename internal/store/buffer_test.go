package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"licet/internal/store"
	"licet/internal/store/storetest"
)

// TestEventsCommitWithTheirTransaction mixes transactions that fail, or read
// events, with others beside them: what is left is exactly the events of those
// that did not fail.
func TestEventsCommitWithTheirTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		no := errors.New("no")
		var all sync.WaitGroup
		var lock sync.Mutex
		var want []string
		for i := range 200 {
			all.Go(func() {
				id := fmt.Sprintf("e%03d", i)
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					e := store.Event{ID: id, Name: "thing", Subjects: []store.Subject{{Kind: "thing", ID: id}}}
					if err := tx.AppendEvent(e); err != nil {
						return err
					}
					if i%3 == 0 { // its own event is there, and others may be
						own, err := tx.Events(e.Subjects[0], "", 10)
						if err != nil || len(own) != 1 || own[0].ID != id {
							return fmt.Errorf("reads %v, %w", own, err)
						}
					}
					if i%2 == 0 {
						return no
					}
					return nil
				})
				switch {
				case i%2 == 0 && errors.Is(err, no):
				case i%2 == 1 && err == nil:
					lock.Lock()
					want = append(want, id)
					lock.Unlock()
				default:
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		all.Wait()
		slices.Sort(want)
		var got []string
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			events, err := tx.AllEvents("", 1000)
			got = nil
			for _, e := range events {
				if len(e.Subjects) != 1 || e.Subjects[0].ID != e.ID {
					t.Errorf("%s is about %v", e.ID, e.Subjects)
				}
				got = append(got, e.ID)
			}
			return err
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("events %v, want %v; %v", got, want, err)
		}
	})
}

// TestEventsAreNotReadAway refuses an event in a transaction that only reads:
// it would be lost.
func TestEventsAreNotReadAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		appends := func(tx *store.Tx) error { return tx.AppendEvent(store.Event{ID: "e", Name: "thing"}) }
		if err := db.Read(t.Context(), appends); err == nil {
			t.Error("taken")
		}
		for range 20 { // whichever connection it is: nothing waits there
			if err := db.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.AllEvents("", 1); return err }); err != nil {
				t.Fatal(err)
			}
		}
	})
}
