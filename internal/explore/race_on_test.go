//go:build race

package explore

// less is how many steps shorter the chains of TestEveryState are. The race
// detector is slow and finds nothing here: a run is one goroutine.
const less = 1
