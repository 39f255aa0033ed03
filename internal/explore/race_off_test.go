//go:build !race

package explore

// less is how many steps shorter the chains of TestEveryState are.
const less = 0
