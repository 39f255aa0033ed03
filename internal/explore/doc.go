// Package explore walks every state that the exchange between a vendor's server
// and two containers can get into, and checks the invariants of docs/protocol.md
// in each. It has tests only: go test -v ./internal/explore prints the number of
// states, and for each mutant how it was caught.
//
// What decides is the product's own code: container.Plan, State.Import,
// container.LentNow, container.WaitsForSeats,
// State.Report, Log.Reconcile, container.Confirm, container.Reopened,
// container.NextLock and license.Next. Around it stand an in-memory book that takes the same decisions
// in the same order as internal/registry, the files that were ever made, and two
// machines.
//
// # What can happen
//
// A report or an update that was ever made can be handed over at any time, any
// number of times, in any order, or never, also from a machine that was wiped. A
// container may ask at any time, for any wish. The vendor may withdraw the first
// license at any time, and in some runs replace it by another, take such an order
// back, block a container and open it again; and a license may be restored
// whenever it counts as with a user, also with its withdrawal ordered, whether its
// machine is gone or not. In the runs with rollbacks the file of A may be replaced by
// any state that A could have been in, back and forth, and in one of them staff
// may accept a container that was flagged. In some runs the license has units, of
// which the machine that holds it may take one at any time; in some it has seats, and
// a container may ask for some of them or give some back, which splits it in parts.
//
// In one run a license server on A's machine may lend a seat of the license at any
// time while A holds it, and have it back at any time.
//
// In some runs the vendor makes a back-up once, at any time, and the server is lost and
// comes back from it once, at any time after that. Files of the server that was lost
// still lie around; containers bring what the book has lost; staff release what is held
// back, at any time.
//
// The files of a state are not listed but derived, and never too few: reports of
// every step a container has been through, with every number that it could have
// believed acknowledged; updates with every number acknowledged and every number
// of steps issued so far, as an answer to the container's last report or not.
// Whoever has more files can do all that whoever has fewer can, so that a lost
// file needs no state of its own.
//
// Randomness has names, which keeps the graph finite: an apply nonce is named by
// container, step and life (what lies between two rollbacks); a report's nonce by
// the steps and lives behind it; a challenge by container and acknowledged number.
// Reports of one moment therefore share a nonce, and an old challenge for the same
// number counts as fresh: the explorer convicts sooner than the product, never
// later.
//
// # What is checked
//
// In every state or on every edge: Inv1, Inv3 (a license and the one that comes in
// its place are not both usable), Inv4 to Inv11 (of Inv11 the number, not the
// disk), Inv12 to Inv16, Inv18 to Inv20, R13, R14, R20; that a record in step with
// its container says what the container holds and whether it is locked; and that a
// container rolled back below its acknowledged number is flagged at its second
// contact. With rollbacks, Inv4, Inv5, Inv8, Inv13, Inv17 and Inv20 hold the
// container that was not rolled back to account.
//
// After a return, what a container holds that was not heard from since is not known, and
// only what it holds together with others is checked: no generation is in both (Inv4),
// nobody is accused (Inv20), and five contacts of any container, with every file lost,
// put it in step with the record, which says what it holds; and what is held back it
// can have after one release (Inv17).
//
// Inv31, as far as the vendor can tell: no license is free to be activated while a
// seat of it is out of a container that it was returned from.
//
// Inv6: a copy of an earlier generation, also in a container that was rolled back,
// has its removal ordered, or issued and not applied, or its container is flagged
// or blocked. That the license was once returned from there is no removal: such a
// copy is one that was put back. Inv8: no more copies of a license can be used than
// one and the lost generations whose removal is not proven.
//
// Inv17 is checked in a form stronger than "some path leads back": from every
// state, with every file lost, three contacts without a wish make the license
// usable or free, remove every lost copy, carry out what the vendor has ordered
// (in a blocked container a replacement waits) and leave the container locked only
// if it is blocked. A license in a wiped machine waits for its restore; the test
// counts such states, and in each of them, and in every state of the runs with
// restores, one restore makes it usable in the other container, or gone if its
// withdrawal was ordered.
//
// Each mutant takes one rule away, by wrapping one of the functions above or one
// decision of the book, and must break the invariant that the rule is there for.
//
// # Limits
//
// One license, in one run two; two containers; at most four steps for each, or
// six and two, and less where there is more that can happen; one withdrawal or
// replacement at a time; two rollbacks; two restores. No assignment, no lost
// container that turns up and gets its license back, no prerequisites: the tests of
// packages container and registry have these. Whoever may approve a restore is not
// asked here. One return, of one license, with one server at a time: two that go on beside
// each other, and keys that are revoked, are tests of package registry. No time, signatures,
// SQL or power cuts, and no two reports under one nonce. A copy that runs beside
// its original is a container that is rolled back and forth. Runs with rollbacks
// leave out what honest runs cover: a container in them asks as soon as it can and
// never notes what is acknowledged. What a cheater's machine can use in secret is
// not bounded by anything here (Sc42).
package explore
