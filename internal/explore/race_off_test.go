//go:build !race

package explore

// less is how many steps shorter the longest runs are.
const less = 0
