package catalog

import (
	"slices"
	"strings"

	"licet/license"
	"licet/refusal"
)

// maxBundle is how many products a bundle can have.
const maxBundle = 100

// bundleSource is a bundle and where its references stand.
type bundleSource struct {
	license.Bundle
	line  int
	codes []string // of the products
	lines []int    // of each
}

func (f *file) bundle(n *node) {
	b := bundleSource{line: n.Line}
	f.mapping(n, "bundle", fields{
		"code":     func(n *node) { f.code(n, "code", &b.Code) },
		"name":     func(n *node) { f.text(n, "name", maxName, &b.Name) },
		"products": func(n *node) { f.list(n, "products", func(n *node) { f.bundled(n, &b) }) },
	}, "code", "name", "products")
	if b.Code == "" {
		return
	}
	if len(b.Products) == 0 || len(b.Products) > maxBundle {
		f.add(b.line, "a bundle has 1 to %d products", maxBundle)
	}
	for _, other := range f.bundles {
		if other.Code == b.Code {
			f.add(b.line, "bundle %q is there already, on line %d", b.Code, other.line)
		}
	}
	f.bundles = append(f.bundles, b)
}

// bundled reads one product of a bundle, such as RENDER=2.
func (f *file) bundled(n *node, b *bundleSource) {
	if !n.is("!!str", "!!int") || strings.Contains(n.Value, ",") {
		f.add(n.Line, "products must be a product's code, such as RENDER or RENDER=2, not %s", n.shown())
		return
	}
	item, err := ParseItem(n.Value)
	if err != nil {
		f.addError(n.Line, "products", err)
		return
	}
	if slices.Contains(b.codes, item.Code) {
		f.add(n.Line, "products: %q is listed twice; write %s=QUANTITY", item.Code, item.Code)
		return
	}
	text := item.Code
	if item.Quantity > 1 {
		text = item.String()
	}
	b.Products, b.codes, b.lines = append(b.Products, text), append(b.codes, item.Code), append(b.lines, n.Line)
}

// bundleReferences checks that bundles have products that there are, and that no
// code means two things.
func (f *file) bundleReferences(known Catalog, products map[string][]string) {
	for _, b := range f.bundles {
		if _, ok := products[b.Code]; ok {
			f.add(b.line, "bundle %q has the code of a product", b.Code)
		}
		for i, code := range b.codes {
			if _, ok := products[code]; !ok {
				f.add(b.lines[i], "unknown product %q%s", code, didYouMean(code, keys(products)))
			}
		}
	}
	for _, p := range f.products {
		if _, ok := known.Bundle(p.Code); ok {
			f.add(p.line, "product %q has the code of a bundle", p.Code)
		}
	}
}

// Position is one position of an order: an item, and the bundle that it was
// sold by, "" for none.
type Position struct {
	Item
	Bundle string
}

// Name names the position within its order: product, overrides and bundle,
// however many.
func (p Position) Name() string {
	p.Quantity = 1
	if p.Bundle != "" {
		return p.Bundle + "/" + p.Item.String() // no code has a slash
	}
	return p.Item.String()
}

// Positions are what an item that names a bundle stands for. Its overrides hold
// for every product.
func (i Item) Positions(b license.Bundle) ([]Position, error) {
	var list []Position
	for _, text := range b.Products {
		of, err := ParseItem(text)
		if err != nil {
			return nil, err
		}
		if of.Quantity > MaxQuantity/i.Quantity {
			return nil, refusal.New(refusal.TooLarge, "%d of the bundle %s are more than %d licenses of %s.", i.Quantity, b.Code, MaxQuantity, of.Code)
		}
		of.Quantity *= i.Quantity
		of.Overrides = slices.Clone(i.Overrides)
		list = append(list, Position{of, b.Code})
	}
	return list, nil
}
