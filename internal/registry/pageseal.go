package registry

import (
	"errors"

	"licet/refusal"
	"licet/seal"
)

// SealPage encrypts what a page gives its reader to keep, such as the tickets of
// a visit, so that every process of this central can open it and nobody else.
// What was sealed for one use does not open for another.
func (r *Registry) SealPage(use string, plain []byte) ([]byte, error) {
	return r.keys().vault.Seal(pagePlace(use), plain)
}

// OpenPage opens what SealPage made for the same use; anything else is refused.
func (r *Registry) OpenPage(use string, sealed []byte) ([]byte, error) {
	plain, err := r.keys().vault.Open(pagePlace(use), sealed)
	if errors.Is(err, seal.ErrVault) {
		return nil, refusal.New(refusal.InvalidInput, "What the page kept does not open here.").Hinted("Start again from the first page.")
	}
	return plain, err
}

// pagePlace is no place in the database: pages are a place of their own.
func pagePlace(use string) seal.Place { return seal.Place{Table: "page", Row: "reader", Column: use} }
