//go:build !race

package whole

// few is how many runs there are if nobody asks for more.
const few = 20
