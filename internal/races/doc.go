// Package races sets machines against each other over the same license, and
// breaks what lies between them and the record: real server processes, real
// databases, a proxy that reads PostgreSQL's messages, kill -9. It has tests only.
//
// What must hold (docs/protocol.md): exactly one machine wins a license, every
// other one is told who has it; the history that the clients saw can be put into
// one order (checked with porcupine); and after any failure nothing that was
// acknowledged is lost, and nothing was done twice. Every test ends with the same
// look at the whole record, see book.whole.
//
// LICET_TEST_LONG=1 plays many more rounds.
package races
