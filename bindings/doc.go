// Package bindings tests package sdk as other languages use it: the shared
// library in c, and the thin wrappers over it in python and node. See
// docs/sdk.md.
package bindings
