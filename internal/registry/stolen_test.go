package registry_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/wire"
)

// TestStolenDatabase reads the whole database as a thief would: no ticket, token
// or private key stands in it (Th43).
func TestStolenDatabase(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "licet.db"))
	must(t, err)
	defer db.Close()
	b := newBook(t, db)
	o := b.order("1", wire.OrderItem{Product: "CAD"})
	token, err := b.CreateToken(t.Context(), b.admin, wire.TokenRequest{Name: "shop", Scopes: []string{registry.ScopeOrders}}, registry.Once{Key: "k"})
	must(t, err)
	b.box().program(ticket(o.Ticket))
	root, err := b.ExportRoot(t.Context(), registry.System, false)
	must(t, err)

	secrets := map[string][]byte{
		"ticket":                 []byte(o.Ticket),
		"ticket without hyphens": []byte(strings.ReplaceAll(string(o.Ticket), "-", "")),
		"token":                  []byte(token.Secret),
		"root key":               root,
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		if !bytes.Contains(content, []byte("order_created")) && strings.HasSuffix(f.Name(), "wal") {
			t.Fatal("the test does not see what it should")
		}
		for name, secret := range secrets {
			if bytes.Contains(content, secret) {
				t.Errorf("%s holds the %s in the clear", f.Name(), name)
			}
		}
	}
}
