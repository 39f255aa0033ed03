package verify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"licet/container"
	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// contact is what a program does in one go: it asks, asks again if it is challenged,
// and delivers a receipt.
func (x *box) contact(w container.Wishes) []container.Outcome {
	x.b.t.Helper()
	out := x.program(w)
	for range 2 {
		if len(x.state.Challenge) > 0 {
			out = x.program(w)
		}
	}
	x.receipt()
	return out
}

// comesBack is a server that is restored from a back-up into an empty database.
func (b *book) comesBack(file []byte, url string) (*book, *store.DB) {
	b.t.Helper()
	n := *b
	n.now = b.now.Add(time.Hour)
	cfg := b.cfg
	cfg.Now = func() time.Time { return n.now }
	out, err := registry.Restore(context.Background(), cfg, registry.RestoreBackup{Database: url, Reason: "the disk is gone",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }})
	must(b.t, err)
	cfg.DB, err = store.Open(context.Background(), url)
	must(b.t, err)
	b.t.Cleanup(func() { cfg.DB.Close() })
	n.tick()
	n.cfg, n.db = cfg, cfg.DB
	n.Registry, err = registry.Open(context.Background(), cfg)
	must(b.t, err)
	n.admin, err = n.Authenticate(context.Background(), out.AdminToken)
	must(b.t, err)
	return &n, cfg.DB
}

// lossStory is a record that came back from a back-up, with a part of everything that
// can come of that.
func lossStory(t testing.TB, db *store.DB, url string) (*book, *store.DB, map[string]string) {
	b := newBook(t, db)
	sold := map[string]wire.Order{}
	name := map[string]string{}
	for _, what := range []string{"idle", "free", "moved", "taken", "waits"} {
		sold[what] = b.order("20"+what, wire.OrderItem{Product: "CAD"})
		name[what] = string(sold[what].Licenses[0].ID)
	}
	units := b.order("20units", wire.OrderItem{Product: "PREPAID"})
	team := b.order("20team", wire.OrderItem{Product: "TEAM", Override: []string{"seats=8"}})
	name["units"], name["team"] = string(units.Licenses[0].ID), string(team.Licenses[0].ID)
	x, y := b.box(), b.box()
	x.contact(ticket(sold["moved"].Ticket))
	x.contact(ticket(sold["taken"].Ticket))
	x.contact(ticket(units.Ticket))
	x.contact(some(team.Ticket, team.Licenses[0].ID, 3))
	var file bytes.Buffer
	_, err := registry.Backup(context.Background(), b.cfg, registry.BackupRequest{}, &file, func() error { return errors.New("again") })
	must(t, err)

	x.use(units.Licenses[0].ID, 40)
	x.contact(returns(sold["moved"].Licenses[0].ID))
	y.contact(ticket(sold["moved"].Ticket))
	y.contact(some(team.Ticket, team.Licenses[0].ID, 4))
	b.tick()
	_, err = b.Withdraw(context.Background(), b.admin, []license.ID{sold["taken"].Licenses[0].ID}, "refunded", false)
	must(t, err)
	x.contact(container.Wishes{Pending: true})
	late := b.order("30", wire.OrderItem{Product: "CAD"})
	name["late"] = string(late.Licenses[0].ID)
	y.contact(ticket(late.Ticket))

	n, db := b.comesBack(file.Bytes(), url)
	x.b, y.b = n, n
	for range 2 {
		y.contact(container.Wishes{Pending: true})
		x.contact(container.Wishes{Pending: true})
	}
	n.tick()
	_, err = n.Release(context.Background(), n.admin, wire.Release{Licenses: []license.ID{sold["free"].Licenses[0].ID}, Reason: "asked", Block: true})
	must(t, err)
	want(t, n.box().contact(ticket(sold["idle"].Ticket))[0].Code, refusal.LicenseHeldBack)
	n.tick()
	name["x"], name["y"], name["vendor"] = string(x.state.Serial), string(y.state.Serial), n.WellKnown().VendorID
	for what, l := range map[string]struct {
		state license.State
		held  string
	}{"idle": {license.NotCollected, "back_up"}, "free": {license.NotCollected, ""}, "moved": {license.Collected, ""}, "taken": {license.Returned, "taken"}, "late": {license.Collected, ""}, "units": {license.Collected, ""}} {
		got := n.license(license.ID(name[what]))
		if got.State != l.state || got.HeldBack != l.held {
			t.Fatalf("%s is %s, held back %q", what, got.State, got.HeldBack)
		}
	}
	n.sequence()
	return n, db, name
}

// afterRestore are changes behind the back of a record that came back.
var afterRestore = []corruption{
	{name: "the gap deleted", sql: `delete from gaps`, want: "gaps *"},
	{name: "the gap of another moment", sql: `update gaps set since = since - 1000000`, want: "gaps * since"},
	{name: "the gap closed", sql: `update gaps set closed = 1`, want: "gaps * closed"},
	{name: "a gap invented", sql: `insert into gaps (epoch, since, opened) values (99999999999, 1, 1)`, want: "gaps 99999999999"},
	{name: "the epoch turned back", sql: `update vendor set epoch = 1`, want: "vendor {vendor} epoch"},
	{name: "the record said to be outdated", sql: `update vendor set outdated = 'x'`, want: "vendor {vendor} outdated"},
	{name: "what is held back given free", sql: `update licenses set held_back = '' where id = '{idle}'`, want: "licenses {idle} held_back"},
	{name: "what was taken given free", sql: `update licenses set held_back = '' where id = '{taken}'`, want: "licenses {taken} held_back"},
	{name: "what was released held back", sql: `update licenses set held_back = 'back_up' where id = '{free}'`, want: "licenses {free} held_back"},
	{name: "another reason to hold back", sql: `update licenses set held_back = 'returned' where id = '{idle}'`, want: "licenses {idle} held_back"},
	{name: "the generation of a release turned back", sql: `update licenses set generation = 1 where id = '{free}'`, want: "licenses {free} generation"},
	{name: "the place that was brought changed", sql: `update licenses set holder = '{x}' where id = '{moved}'`, want: "licenses {moved} holder"},
	{name: "a license that was brought freed", sql: `update licenses set state = 'returned', holder = null where id = '{late}'`, want: "licenses {late} holder"},
	{name: "units that were brought forgotten", sql: `update licenses set used = 0 where id = '{units}'`, want: "licenses {units} used"},
	{name: "seats that were brought doubled", sql: `update licenses set seats = seats + 1 where id = '{team}'`, want: "licenses {team} seats"},
	{name: "a container said to be heard from", sql: `update containers set epoch = epoch + 1 where serial = '{x}'`, want: "containers {x} epoch"},
	{name: "a container said to be silent", sql: `update containers set epoch = 1 where serial = '{y}'`, want: "containers {y} epoch"},
	{name: "the epoch of a step changed", sql: `update steps set epoch = epoch + 1 where container = '{y}' and number = 1`, want: "steps {y}/1 epoch"},
	{name: "a step that was brought deleted", sql: `delete from step_ops where container = '{y}' and number = 1; delete from steps where container = '{y}' and number = 1`, want: "steps {y}/1"},
	{name: "an operation that was brought deleted", sql: `delete from step_ops where container = '{y}' and number = 1`, want: "step_ops {y}/1/0"},
	{name: "a step that was brought altered", sql: `update steps set signed = (select signed from steps where container = '{y}' and number = 2) where container = '{y}' and number = 1`, want: "steps {y}/1 signed"},
	{name: "the event of a release deleted", sql: `delete from event_subjects where event_id in (select id from events where name = 'license_released'); delete from events where name = 'license_released'`, want: "licenses {free} generation"},
	{name: "the event that brought a license deleted", sql: `delete from event_subjects where event_id in (select event_id from event_subjects where subject_id = '{moved}') and event_id in (select id from events where name = 'license_brought'); delete from events where name = 'license_brought' and id not in (select event_id from event_subjects)`, want: "licenses {moved} holder"},
	{name: "the entry of a release deleted", sql: `delete from blocks where subject = '{free}'`, want: "blocks *"},
	{name: "the order that was brought back resold", sql: `update licenses set item = 'CAD=1' where id = '{late}'`, want: "licenses {late} item"},
}

// TestPlantedAfterARestoreAreNamed: the verifier follows a record through its return
// from a back-up, and names what was changed since.
func TestPlantedAfterARestoreAreNamed(t *testing.T) {
	for engine, empty := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + filepath.Join(t.TempDir(), "db") },
		"postgres": func() string { return pgtest.URL(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			first, err := store.Open(t.Context(), empty())
			must(t, err)
			defer first.Close()
			b, db, name := lossStory(t, first, empty())
			plant(t, db, b, name, afterRestore)
		})
	}
}
