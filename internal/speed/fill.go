package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"licet/container"
	"licet/internal/store"
	"licet/license"
	"licet/seal"
)

// one in so many licenses that fill a database was activated.
const oneActivated = 10

// grow fills a vendor's database until it holds so many licenses, each with its
// order, ticket and event, as the interface would have made them one by one. In
// between, orders are taken through the interface; they are returned, so that
// what is looked up lies scattered among the rest.
func (v *vendor) grow(licenses, orders int) ([]*machine, error) {
	var all []*machine
	const chunks = 5
	for n := range chunks {
		v.stop()
		if err := v.fill(n*licenses/chunks, (n+1)*licenses/chunks); err != nil {
			return nil, err
		}
		if err := v.start(); err != nil {
			return nil, err
		}
		some, err := v.machines(orders / chunks)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// fill adds the licenses from one number to another to a database that no server
// uses. Its events are numbered as if the audit log had taken them in long ago.
func (v *vendor) fill(from, to int) error {
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(v.data, "licet.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	var ids license.IDs
	newID := func(word string) string {
		var r [6]byte
		rand.Read(r[:])
		return ids.New(word, time.Now(), r)
	}
	const batch = 2000
	for ; from < to; from += batch {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+batch, to); i++ {
				if err := fillOne(tx, i, newID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func fillOne(tx *store.Tx, i int, newID func(string) string) error {
	now := license.At(time.Now())
	o := store.Order{ID: newID("ord"), Number: fmt.Sprintf("F-%d", i), Customer: "Example Customer", Created: now}
	if _, _, err := tx.EnsureOrder(o); err != nil {
		return err
	}
	random := make([]byte, 96)
	rand.Read(random)
	t := store.Ticket{ID: newID("tic"), OrderID: o.ID, Lookup: random[:32], Sealed: random[32:], Created: now}
	if err := tx.InsertTicket(t); err != nil {
		return err
	}
	l := store.License{ID: license.ID(newID("lic")), OrderID: o.ID, TicketID: t.ID, Product: "CAD", Item: "CAD",
		Features: []string{"render", "export"}, Terms: license.Terms{Seats: 1, ExpiresIn: 365 * license.Day},
		State: license.NotCollected, Generation: 1, Created: now}
	if err := tx.InsertLicenses([]store.License{l}); err != nil {
		return err
	}
	e := store.Event{ID: newID("evt"), Time: int64(now), Actor: "staff:admin", Name: "order_created", Request: "0123456789abcdef",
		Subjects: []store.Subject{{Kind: "order", ID: o.ID}, {Kind: "ticket", ID: t.ID}, {Kind: "license", ID: string(l.ID)}},
		Details:  []byte(`{"added":1,"customer":"Example Customer","items":[{"asked":1,"had":0,"position":"CAD","product":"CAD"}]}`)}
	if err := tx.AppendEvent(e); err != nil {
		return err
	}
	if err := tx.SetEventSequences(1<<40+int64(i), e.ID); err != nil {
		return err
	}
	if i%oneActivated != 0 {
		return nil
	}
	return fillActivated(tx, l, random)
}

// fillActivated puts a license into a container.
func fillActivated(tx *store.Tx, l store.License, random []byte) error {
	identity := container.Identity{SigningKey: random[:32], SealingKey: random[32:64], Kind: license.Machine}
	serial := seal.SerialOf(identity)
	if err := tx.InsertContainer(store.Container{Serial: serial, Identity: identity, Binding: "medium", FirstSeen: l.Created, Epoch: 1}); err != nil {
		return err
	}
	bytes := make([]byte, 1600)
	rand.Read(bytes)
	op := container.Op{Kind: container.Put, Phase: container.Activate, License: l.ID, Generation: 1, Product: l.Product}
	if err := tx.InsertStep(serial, store.Step{Number: 1, Signed: bytes[:330], Time: l.Created, Epoch: 1, Ops: []store.StepOp{{Op: op, Bytes: bytes[:420]}}}, 1); err != nil {
		return err
	}
	if err := tx.InsertAnswer(store.Answer{Container: serial, Report: bytes, Hash: random[:32], Issued: 1, Answer: bytes, Time: l.Created}); err != nil {
		return err
	}
	old := l.State
	l.State, l.Holder, l.Step, l.Activated = license.Collected, serial, 1, l.Created
	return tx.MoveLicense(old, l)
}
