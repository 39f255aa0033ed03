package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licet/internal/store"
	"licet/internal/store/storetest"
)

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		db := open()
		order := store.Subject{Kind: "order", ID: "o1"}
		var want []store.Event
		for i := range 7 {
			e := store.Event{ID: fmt.Sprintf("e%d", i), Time: int64(i), Actor: "staff:ü", Name: "order.changed", Sequence: -1}
			switch i % 3 {
			case 0:
				e.Subjects = []store.Subject{{Kind: "ticket", ID: "t"}, order, {Kind: "a", ID: ""}}
				e.Before, e.After, e.Details = []byte{0}, []byte{1, 2}, []byte(`{"b":1, "a":2}`)
				e.Reason, e.Request = "why", "r"
			case 1:
				e.Subjects = []store.Subject{order}
			}
			leaf := e.LeafHash()
			e.Leaf = leaf[:]
			want = append(want, e)
			write(t, db, func(tx *store.Tx) error { return tx.AppendEvent(e) })
		}
		list := func(get func(tx *store.Tx) ([]store.Event, error)) (events []store.Event) {
			t.Helper()
			if err := db.Read(ctx, func(tx *store.Tx) (err error) { events, err = get(tx); return err }); err != nil {
				t.Fatal(err)
			}
			return events
		}
		var all []store.Event
		for after := ""; ; after = all[len(all)-1].ID {
			page := list(func(tx *store.Tx) ([]store.Event, error) { return tx.AllEvents(after, 3) })
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
		}
		if d := cmp.Diff(want, all); d != "" {
			t.Error(d)
		}
		history := []store.Event{want[0], want[1], want[3], want[4], want[6]}
		if d := cmp.Diff(history, list(func(tx *store.Tx) ([]store.Event, error) { return tx.Events(order, "", 10) })); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(history[2:4], list(func(tx *store.Tx) ([]store.Event, error) { return tx.Events(order, "e2", 2) })); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(want[5:], list(func(tx *store.Tx) ([]store.Event, error) { return tx.EventTail("e4", 10) })); d != "" {
			t.Error(d)
		}

		if err := db.Write(ctx, func(tx *store.Tx) error { return tx.AppendEvent(want[1]) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("an event twice: %v", err)
		}
		for _, bad := range []store.Event{
			{Name: "x"},
			{ID: "x"},
			{ID: "x", Name: "x", Details: []byte("{")},
			{ID: "x", Name: "x", Actor: "\xff"},
			{ID: "x", Name: "x", Reason: "a\x00b"},
			{ID: "x", Name: "x", Subjects: []store.Subject{order, order}},
		} {
			if err := db.Write(ctx, func(tx *store.Tx) error { return tx.AppendEvent(bad) }); err == nil {
				t.Errorf("stored %+v", bad)
			}
		}
	})
}

// The encoding is written out by hand here, as somebody else would implement it.
func TestEventEncoding(t *testing.T) {
	e := store.Event{ID: "e1", Time: 258, Actor: "a", Name: "n", Subjects: []store.Subject{{Kind: "k", ID: "i"}},
		Before: []byte{9}, Reason: "r", Request: "q", Details: []byte("{}"), Sequence: 4, Leaf: []byte("no part")}
	want := "licet event 1\n" +
		"\x00\x00\x00\x00\x00\x00\x00\x02e1" + "\x00\x00\x00\x00\x00\x00\x01\x02" +
		"\x00\x00\x00\x00\x00\x00\x00\x01a" + "\x00\x00\x00\x00\x00\x00\x00\x01n" +
		"\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x01k" + "\x00\x00\x00\x00\x00\x00\x00\x01i" +
		"\x00\x00\x00\x00\x00\x00\x00\x01\x09" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x01r" + "\x00\x00\x00\x00\x00\x00\x00\x01q" + "\x00\x00\x00\x00\x00\x00\x00\x02{}"
	if got := e.Encode(); !bytes.Equal(got, []byte(want)) {
		t.Errorf("got %q", got)
	}
	hash := sha256.Sum256([]byte("\x00" + want))
	if got := e.LeafHash(); got != hash {
		t.Errorf("leaf %s is not %s", got, hex.EncodeToString(hash[:]))
	}
}
