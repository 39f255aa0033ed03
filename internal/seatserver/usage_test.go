package seatserver

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licet/license"
	"licet/refusal"
	"licet/seal"
	"licet/seats"
	"licet/wire"
)

func at(text string) license.Time {
	t, err := license.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

// TestAggregate adds hours up.
func TestAggregate(t *testing.T) {
	h := func(from string, products ...seal.UsageProduct) seal.UsageHour {
		return seal.UsageHour{From: at(from), Until: at(from) + hour, Products: products}
	}
	p := func(name string, grants uint64, peak, seats int64, denied uint64) seal.UsageProduct {
		u := seal.UsageProduct{Product: name, Grants: grants, Peak: peak, Seats: seats, Denials: map[refusal.Code]uint64{}}
		if denied > 0 {
			u.Denials[refusal.NoSeatFree] = denied
		}
		return u
	}
	row := func(from, until, name string, grants uint64, peak, seats int64, denied uint64) wire.UsageRow {
		u := wire.UsageRow{From: at(from), Until: at(until), Product: name, Grants: grants, Peak: peak, Seats: seats, Denials: map[refusal.Code]uint64{}, Denied: denied}
		if denied > 0 {
			u.Denials[refusal.NoSeatFree] = denied
		}
		return u
	}
	hours := []seal.UsageHour{
		h("2026-12-31T22:00:00Z", p("CAD", 3, 2, 5, 1), p("ABC", 1, 1, 1, 0)),
		h("2026-12-31T23:00:00Z", p("CAD", 4, 5, 5, 2)),
		h("2027-01-01T00:00:00Z", p("CAD", 1, 1, 6, 0)),
	}
	for by, want := range map[string][]wire.UsageRow{
		"hour": {
			row("2026-12-31T22:00:00Z", "2026-12-31T23:00:00Z", "ABC", 1, 1, 1, 0), row("2026-12-31T22:00:00Z", "2026-12-31T23:00:00Z", "CAD", 3, 2, 5, 1),
			row("2026-12-31T23:00:00Z", "2027-01-01", "CAD", 4, 5, 5, 2), row("2027-01-01", "2027-01-01T01:00:00Z", "CAD", 1, 1, 6, 0),
		},
		"day": {
			row("2026-12-31", "2027-01-01", "ABC", 1, 1, 1, 0), row("2026-12-31", "2027-01-01", "CAD", 7, 5, 5, 3),
			row("2027-01-01", "2027-01-02", "CAD", 1, 1, 6, 0),
		},
		"month": {
			row("2026-12-01", "2027-01-01", "ABC", 1, 1, 1, 0), row("2026-12-01", "2027-01-01", "CAD", 7, 5, 5, 3),
			row("2027-01-01", "2027-02-01", "CAD", 1, 1, 6, 0),
		},
	} {
		got, err := Aggregate(hours, by)
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("by %s: %s", by, d)
		}
	}
	if got, err := Aggregate(nil, "day"); err != nil || len(got) != 0 || got == nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
	_, err := Aggregate(hours, "week")
	want(t, err, refusal.InvalidInput)
	text := string(UsageCSV([]wire.UsageRow{row("2026-12-31", "2027-01-01", "=cmd()", 7, 5, 5, 3)}))
	if text != "from,until,product,grants,denied,peak,seats,no_seat_free\n2026-12-31T00:00:00Z,2027-01-01T00:00:00Z,'=cmd(),7,3,5,5,3\n" {
		t.Errorf("%q", text)
	}
}

// TestUsage counts through hours, restarts and a crash; the container signs each hour,
// and one that is taken out shows.
func TestUsage(t *testing.T) {
	p := newPlace(t, cad(2))
	use := func(n int) {
		t.Helper()
		var held []granted
		for i := range 3 {
			if g, err := p.claim(n + i); err == nil {
				held = append(held, g)
			} else {
				want(t, err, refusal.NoSeatFree)
			}
		}
		p.Tick()
		for _, g := range held {
			must(t, p.Release(g.Lease.ID, g.Token))
		}
	}
	p.Tick()
	use(0)
	p.clock.move(time.Hour)
	p.Tick()
	use(10)
	p.clock.move(time.Hour)
	p.Tick()
	use(20)
	p.stop()
	p.start()
	use(30)
	p.clock.move(time.Hour)
	p.Tick()
	p.stop()
	p.start()
	v, err := p.Usage("hour")
	must(t, err)
	rows := slices.DeleteFunc(v.Rows, func(r wire.UsageRow) bool { return r.Grants == 0 })
	if len(rows) != 3 || len(v.Gaps) != 0 {
		t.Fatalf("%+v", v)
	}
	for i, wantGrants := range []uint64{2, 2, 4} {
		if r := rows[i]; r.Grants != wantGrants || r.Denials[refusal.NoSeatFree] != wantGrants/2 || r.Peak != 2 || r.Seats != 2 {
			t.Errorf("%+v", r)
		}
	}
	if len(p.usage.kept) != 3 {
		t.Fatalf("%d signed hours", len(p.usage.kept))
	}
	for _, k := range p.usage.kept {
		keeper := p.keepers[k.Serial]
		if _, err := seal.OpenUsage(keeper.scope, keeper.identity.SigningKey, k.Signed); err != nil {
			t.Error(err)
		}
		forged := slices.Clone(k.Signed)
		forged[len(forged)-70] ^= 1
		if _, err := seal.OpenUsage(keeper.scope, keeper.identity.SigningKey, forged); err == nil {
			t.Error("an hour that was changed passes")
		}
	}
	if gaps := gapsIn([]keptHour{p.usage.kept[0], p.usage.kept[2]}); len(gaps) != 1 || !strings.Contains(gaps[0], "1 signed hours") {
		t.Errorf("a missing hour: %q", gaps)
	}
	// A damaged record of use begins anew, and keeps nobody from a seat.
	p.stop()
	data, err := os.ReadFile(p.file(usageName))
	must(t, err)
	data[100] ^= 1
	must(t, os.WriteFile(p.file(usageName), data, 0o600))
	p.start()
	_, err = p.claim(50)
	must(t, err)
}

// TestStrangersProducts shows that asking for what there is not fills no memory.
func TestStrangersProducts(t *testing.T) {
	p := newPlace(t, cad(1))
	for range mostNamed + 50 {
		id := person(1).ID
		_, err := p.Claim(seats.Caller{Client: seats.Client{ID: id}, Local: true}, seats.Claim{Product: "P-" + id, Nonce: id})
		if err == nil {
			t.Fatal("a seat of nothing")
		}
	}
	if n := len(p.usage.open.Products); n > mostNamed+1 {
		t.Errorf("%d names are kept", n)
	}
}
