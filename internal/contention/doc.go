// Package contention holds the license server to what it promises while many want
// its seats: the built program, killed at any moment, flooded, and spoken to by
// whoever means it no good. What clients saw is checked for an order in which it
// could have happened one after the other.
//
// LICET_TEST_LONG=1 plays many more histories.
package contention
