// Package explore walks every state that the exchange between a vendor's server
// and two containers can get into, and checks the invariants of docs/protocol.md
// in each. It has tests only.
//
// What decides is the product's own code: container.Plan, State.Import,
// State.Report, Log.Reconcile, container.Confirm, container.Reopened and
// license.Next. Around it stand an in-memory book that takes the same decisions
// in the same order as internal/registry, the files that were ever made, and two
// machines.
//
// # What can happen
//
// Every report and every update that was ever made can be handed over at any
// time, any number of times, in any order, or never, also from a machine that was
// wiped. A container may ask at any time, for any wish. The vendor may withdraw
// the license at any time. In the runs with cheating a container's file may be
// replaced by any state the container was ever in, forward and back, and staff
// may accept a container that was flagged.
//
// Three reductions keep the graph finite, and hide nothing. A file that somebody
// could have made by now is there: whoever has more files can do all that whoever
// has fewer can. Two reports of one container that say the same are one file, and
// handing it over counts both as a fresh report and as a repetition. A nonce drawn
// for a step is named by container, step and life, a life being what lies between
// two rollbacks.
//
// # What is checked
//
// In every state or on every edge: Inv4, Inv5, Inv9, Inv11 (the number, not the
// disk), Inv12 to Inv16, Inv18 to Inv20, R13, that a record in step with its
// container says what the container holds, and that a proven rollback is found at
// the second contact. Inv17 is checked in a form stronger than "some path leads
// back": from every state, with every file lost, three contacts without a wish
// make the license usable or free. A license in a wiped machine is excused: it
// waits for its restore, which comes with lost licenses; such states are counted.
//
// Inv6 needs restores as well. Here it says only that no container holds another
// generation than the current one.
//
// Each mutant removes one rule, by wrapping one of the functions above, and must
// be caught by the invariant that the rule is there for.
//
// # Limits
//
// One license, in one run two; two containers; three or four steps for each; one
// withdrawal for each license. No time, no signatures, no SQL, no crash in the
// middle of a write: other packages have tests for these. A challenge is named by
// the acknowledged number, so an old challenge for the same number counts as
// fresh: the explorer convicts a little sooner than the product. A copy that runs
// beside its original is a container that is rolled back and forth, at most twice.
package explore
