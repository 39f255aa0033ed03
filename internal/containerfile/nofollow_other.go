//go:build !unix

package containerfile

// openNoFollow is nothing where open has no such flag.
const openNoFollow = 0
