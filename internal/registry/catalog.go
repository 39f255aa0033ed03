package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"licet/internal/catalog"
	"licet/internal/store"
	"licet/license"
	"licet/wire"
)

// ApplyCatalog brings categories, products and bundles to what a catalog file says, and
// tells the difference. What the file does not name stays. A dry run only tells.
func (r *Registry) ApplyCatalog(ctx context.Context, a Actor, req wire.CatalogRequest) (wire.CatalogResult, error) {
	if err := a.may(ScopeCatalog); err != nil {
		return wire.CatalogResult{}, err
	}
	now := r.cfg.Now()
	var result wire.CatalogResult
	apply := func(tx *store.Tx) error {
		result = wire.CatalogResult{DryRun: req.DryRun, Changes: []wire.CatalogChange{}}
		if !req.DryRun {
			if err := tx.Touch("vendor", "id", r.keys().vendor.ID); err != nil {
				return err
			}
		}
		known, err := loadCatalog(tx)
		if err != nil {
			return err
		}
		next, err := catalog.ParseOver(known, []byte(req.YAML))
		if err != nil {
			return err
		}
		log := r.scribe(tx, a, now)
		for _, c := range catalog.Diff(known, *next) {
			result.Changes = append(result.Changes, changeView(c))
			if req.DryRun || c.Action == catalog.Unchanged {
				continue
			}
			if err := applyChange(tx, log, c, *next); err != nil {
				return err
			}
		}
		return nil
	}
	if req.DryRun {
		return result, r.cfg.DB.Read(ctx, apply)
	}
	err := r.write(ctx, apply)
	return result, err
}

func loadCatalog(tx *store.Tx) (catalog.Catalog, error) {
	var c catalog.Catalog
	categories, err := tx.Categories()
	if err != nil {
		return c, err
	}
	for _, k := range categories {
		c.Categories = append(c.Categories, catalog.Category{Code: k.Code, Name: k.Name})
	}
	if c.Products, err = tx.Products(); err != nil {
		return c, err
	}
	c.Bundles, err = tx.Bundles()
	return c, err
}

func applyChange(tx *store.Tx, log scribe, c catalog.Change, next catalog.Catalog) error {
	if c.Kind == "category" {
		k, _ := next.Category(c.Code)
		if err := tx.PutCategory(store.Category{Code: k.Code, Name: k.Name}); err != nil {
			return err
		}
		name := evCategoryCreated
		if c.Action == catalog.Changed {
			name = evCategoryChanged
		}
		return log.note(name, map[string]any{"name": k.Name}, about(ofCategory, k.Code))
	}
	if c.Kind == "bundle" {
		b, _ := next.Bundle(c.Code)
		return noteSpec(log, c, evBundleCreated, evBundleChanged, ofBundle, b, tx.PutBundle(b))
	}
	p, _ := next.Product(c.Code)
	return noteSpec(log, c, evProductCreated, evProductChanged, ofProduct, p, tx.PutProduct(p))
}

// noteSpec notes what was put, by its hash, if it was.
func noteSpec(log scribe, c catalog.Change, created, changed, kind string, thing any, err error) error {
	if err != nil {
		return err
	}
	name := created
	if c.Action == catalog.Changed {
		name = changed
	}
	spec, err := json.Marshal(thing)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(spec)
	return log.note(name, map[string]any{"fields": c.Fields, "spec_hash": hex.EncodeToString(hash[:])}, about(kind, c.Code))
}

func changeView(c catalog.Change) wire.CatalogChange {
	w := wire.CatalogChange{Kind: c.Kind, Code: c.Code, Change: string(c.Action)}
	for _, f := range c.Fields {
		w.Fields = append(w.Fields, f.Key+": "+f.Old+" → "+f.New)
	}
	return w
}

// Products returns every product with all defaults filled in.
func (r *Registry) Products(ctx context.Context, a Actor) (products []license.Product, err error) {
	if err := a.may(ScopeRead); err != nil {
		return nil, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		products, err = tx.Products()
		return err
	})
	return products, err
}

// Product returns one product.
func (r *Registry) Product(ctx context.Context, a Actor, code string) (p license.Product, err error) {
	if err := a.may(ScopeRead); err != nil {
		return p, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		p, err = tx.Product(code)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return p, notFound("product", code)
	}
	return p, err
}

// Bundles returns every bundle.
func (r *Registry) Bundles(ctx context.Context, a Actor) (bundles []license.Bundle, err error) {
	if err := a.may(ScopeRead); err != nil {
		return nil, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		bundles, err = tx.Bundles()
		return err
	})
	return bundles, err
}
