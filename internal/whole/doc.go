// Package whole lets chance play with the whole: a real registry on SQLite behind
// its gateway, real agents with home folders, and a network and couriers that
// lose, keep, repeat and mix up what they carry. It has tests only.
//
// After every action the record and the machines are held against the invariants
// of docs/protocol.md. One machine may put old copies of its home folder back;
// what "honest" limits is then held against the others. At the end of a run the
// audit trail and the verifier must find nothing, and one update with a working
// network must settle every license of every honest machine (Inv17).
//
// There are a tenth of RAPID_CHECKS runs, or exactly as many as -rapid.checks says;
// RAPID_STEPS is about how many actions each has. go test -v prints what happened
// how often.
package whole
