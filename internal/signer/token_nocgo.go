//go:build !cgo

package signer

import (
	"io"

	"licet/refusal"
)

// OpenToken refuses: modules of tokens are C libraries.
func OpenToken(string, string, string, io.Reader) (Keeper, error) {
	return nil, refusal.New(refusal.InvalidInput, "This licet-signer was built without cgo, which PKCS#11 modules need.").
		Hinted("Build it with CGO_ENABLED=1: make signer.")
}
