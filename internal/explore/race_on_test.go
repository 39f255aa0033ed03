//go:build race

package explore

// less is how many steps shorter the longest runs are: the race detector makes
// them ten times slower, and nothing here runs side by side.
const less = 1
