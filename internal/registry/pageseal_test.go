package registry_test

import (
	"bytes"
	"testing"

	"licet/internal/store"
	"licet/internal/store/storetest"
	"licet/refusal"
)

func TestSealPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		b := newBook(t, open())
		sealed, err := b.SealPage("tickets", []byte("K7WQM"))
		must(t, err)
		if bytes.Contains(sealed, []byte("K7WQM")) {
			t.Fatal("it is readable")
		}
		plain, err := b.OpenPage("tickets", sealed)
		if err != nil || string(plain) != "K7WQM" {
			t.Fatalf("%q %v", plain, err)
		}
		_, err = b.OpenPage("update", sealed)
		b.refuses(refusal.InvalidInput, err)
		sealed[len(sealed)-1]++
		_, err = b.OpenPage("tickets", sealed)
		b.refuses(refusal.InvalidInput, err)
		_, err = b.OpenPage("tickets", nil)
		b.refuses(refusal.InvalidInput, err)
	})
}
