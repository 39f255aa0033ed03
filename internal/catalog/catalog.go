// Package catalog reads what a vendor sells from YAML, strictly: a key, value or
// reference that is not understood is a problem that names its line, and all
// problems of a file are told at once. It also reads the items of an order,
// which override the same terms by the same names.
package catalog

import (
	"slices"
	"strings"

	"licet/license"
	"licet/terms"
)

// Catalog is what a vendor sells, every default filled in.
type Catalog struct {
	Categories []Category        `json:"categories"`
	Products   []license.Product `json:"products"` // in the order of the file
	Bundles    []license.Bundle  `json:"bundles"`
}

// Category groups products for people; it has no meaning for licenses.
type Category struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

// Product finds a product by its code.
func (c Catalog) Product(code string) (license.Product, bool) {
	i := slices.IndexFunc(c.Products, func(p license.Product) bool { return p.Code == code })
	if i < 0 {
		return license.Product{}, false
	}
	return c.Products[i], true
}

// Category finds a category by its code.
func (c Catalog) Category(code string) (Category, bool) {
	i := slices.IndexFunc(c.Categories, func(k Category) bool { return k.Code == code })
	if i < 0 {
		return Category{}, false
	}
	return c.Categories[i], true
}

// Bundle finds a bundle by its code.
func (c Catalog) Bundle(code string) (license.Bundle, bool) {
	i := slices.IndexFunc(c.Bundles, func(b license.Bundle) bool { return b.Code == code })
	if i < 0 {
		return license.Bundle{}, false
	}
	return c.Bundles[i], true
}

// MaxSize is the largest catalog file in bytes.
const MaxSize = 4 << 20

// Parse reads a catalog file that stands alone: every category and product it
// refers to is in it. What is wrong with it is refused with InvalidInput, whose
// detail "problems" is a []Problem; a file above MaxSize with TooLarge.
func Parse(data []byte) (*Catalog, error) { return ParseOver(Catalog{}, data) }

// ParseOver is Parse for a file that may also refer to what is known already.
// The answer holds only what is in the file, and takes the place of what is
// known by the same code.
func ParseOver(known Catalog, data []byte) (*Catalog, error) {
	root, err := document("catalog file", data)
	if err != nil {
		return nil, err
	}
	f := &file{}
	f.read(root)
	f.references(known)
	if err := f.refusal("catalog file"); err != nil {
		return nil, err
	}
	return f.catalog(), nil
}

// file is a catalog file while it is read.
type file struct {
	problems
	categories []categorySource
	products   []productSource
	bundles    []bundleSource
}

type categorySource struct {
	Category
	line int
}

// productSource is a product and where its references stand.
type productSource struct {
	license.Product
	line          int
	categoryLine  int
	requiresLines []int // by index in Requires
}

func (f *file) read(root *node) {
	f.mapping(root, "the catalog", fields{
		"categories": func(n *node) { f.list(n, "categories", f.category) },
		"products":   func(n *node) { f.list(n, "products", f.product) },
		"bundles":    func(n *node) { f.list(n, "bundles", f.bundle) },
	})
}

func (f *file) category(n *node) {
	c := categorySource{line: n.Line}
	f.mapping(n, "category", fields{
		"code": func(n *node) { f.code(n, "code", &c.Code) },
		"name": func(n *node) { f.text(n, "name", maxName, &c.Name) },
	}, "code", "name")
	if c.Code == "" {
		return
	}
	for _, other := range f.categories {
		if other.Code == c.Code {
			f.add(c.line, "category %q is there already, on line %d", c.Code, other.line)
		}
	}
	f.categories = append(f.categories, c)
}

func (f *file) product(n *node) {
	src := productSource{line: n.Line}
	// The model decides the defaults, wherever in the product it stands.
	var model license.Model
	if m := n.value("model"); m != nil {
		enum(&f.problems, m, "model", license.Models, &model)
	}
	src.Product = model.Preset()
	p := &src.Product
	var given []setting
	termsLine, restoreLine, splitLine := n.Line, n.Line, 0 // 0 where it is not given

	f.mapping(n, "product", fields{
		"code":     func(n *node) { f.code(n, "code", &p.Code) },
		"name":     func(n *node) { f.text(n, "name", maxName, &p.Name) },
		"category": func(n *node) { f.code(n, "category", &p.Category); src.categoryLine = n.Line },
		"value":    func(n *node) { f.whole(n, "value", MaxCount, &p.Value) },
		"model":    func(*node) {}, // read above
		"features": func(n *node) { p.Features, _ = f.codes(n, "features") },
		"containers": func(n *node) {
			p.Containers = []license.Kind{}
			f.list(n, "containers", func(n *node) { f.kind(n, p) })
			if n.Kind == sequence && len(n.Content) == 0 {
				f.add(n.Line, "containers is empty: the product could never be activated")
			}
		},
		"binding":      func(n *node) { enum(&f.problems, n, "binding", tolerances, &p.Binding) },
		"repair":       func(n *node) { f.boolean(n, "repair", &p.Repair) },
		"deactivation": func(n *node) { f.boolean(n, "deactivation", &p.Deactivation) },
		"split":        func(n *node) { splitLine = n.Line; f.boolean(n, "split", &p.Split) },
		"requires":     func(n *node) { p.Requires, src.requiresLines = f.codes(n, "requires") },
		"terms":        func(n *node) { termsLine = n.Line; given = f.settings(n, "terms") },
		"restore":      func(n *node) { restoreLine = n.Line; f.restore(n, &p.Restore) },
	}, "code", "name", "model")

	p.Terms = f.override(p.Terms, given)
	if model != "" {
		f.coherent(termsLine, *p, p.Terms)
		if b := p.Terms.Borrow; b.Containers != "" && b.Max == 0 && b.Seats == 0 {
			f.add(termsLine, "borrow has containers, but no max and seats: nothing could be borrowed")
		}
		f.coherentRestore(restoreLine, *p)
		if p.Split && splitLine != 0 {
			f.coherentSplit(splitLine, *p)
		}
	}
	if p.Code == "" {
		return
	}
	for _, other := range f.products {
		if other.Code == p.Code {
			f.add(src.line, "product %q is there already, on line %d", p.Code, other.line)
		}
	}
	f.products = append(f.products, src)
}

func (f *file) kind(n *node, p *license.Product) {
	var k license.Kind
	if !enum(&f.problems, n, "container", license.Kinds, &k) {
		return
	}
	if slices.Contains(p.Containers, k) {
		f.add(n.Line, "container %q is listed twice", k)
		return
	}
	p.Containers = append(p.Containers, k)
}

var tolerances = []license.Tolerance{license.Loose, license.Medium, license.Tight}

// coherent checks what terms of a product must be as a whole.
func (p *problems) coherent(line int, product license.Product, t license.Terms) {
	m := product.Model
	if t.Seats > 1 && !m.MultiSeat() {
		p.add(line, "seats is %d, but model %s has one seat", t.Seats, m)
	}
	if !terms.Before(t.ValidFrom, t.ExpiresAt) {
		p.add(line, "the license would expire (%s) before it is valid (%s)", t.ExpiresAt, t.ValidFrom)
	}
	if (t.Borrow.Max == 0) != (t.Borrow.Seats == 0) {
		p.add(line, "borrow needs both max and seats")
	}
	for _, k := range t.Borrow.Containers.List() {
		if !slices.Contains(product.Containers, k) {
			p.add(line, "borrow.containers has %s, which is not among the containers of the product", k)
		}
	}
	p.coherentSeats(line, m, t)
}

// coherentSeats checks how seats are counted and shared. That more may be lent
// than there are does no harm: there are never more than there are.
func (p *problems) coherentSeats(line int, m license.Model, t license.Terms) {
	asWhole := t.Counting == license.Exclusive
	counted := !asWhole && t.Counting != license.Unlimited
	if !counted && !m.MultiSeat() {
		p.add(line, "counting is %s, but model %s has one seat", t.Counting, m)
	}
	if asWhole && t.Borrow.Seats != 0 {
		p.add(line, "counting is exclusive, so that no single seats can be borrowed")
	}
	if !counted && t.Transfer.Has(license.MovesSeats) {
		p.add(line, "counting is %s, so that seats can only move as a whole", t.Counting)
	}
}

// coherentSplit checks a product whose licenses are to be split: it has units, or its
// seats are ones that can be told apart. How many there are, an order may say.
func (p *problems) coherentSplit(line int, x license.Product) {
	switch c := x.Terms.Counting; {
	case x.Terms.Units > 0:
	case !x.Model.MultiSeat():
		p.add(line, "split is true, but model %s has one seat", x.Model)
	case c == license.Exclusive || c == license.Unlimited:
		p.add(line, "split is true, but counting is %s, so that there are no single seats", c)
	}
}

// references checks that what products refer to is in the file or known, and
// that no product needs itself.
func (f *file) references(known Catalog) {
	requires := map[string][]string{}
	for _, p := range known.Products {
		requires[p.Code] = p.Requires
	}
	for _, p := range f.products {
		requires[p.Code] = p.Requires
	}
	for _, p := range f.products {
		f.knownCategory(p, known)
		for i, code := range p.Requires {
			if _, ok := requires[code]; !ok {
				f.add(p.requiresLines[i], "requires the unknown product %q%s", code, didYouMean(code, keys(requires)))
			}
		}
		if circle := circle(requires, p.Code); circle != nil {
			f.add(p.line, "product %q needs itself: %s", p.Code, strings.Join(circle, " → "))
		}
	}
	f.bundleReferences(known, requires)
}

func (f *file) knownCategory(p productSource, known Catalog) {
	codes := map[string]bool{"": true}
	for _, c := range known.Categories {
		codes[c.Code] = true
	}
	for _, c := range f.categories {
		codes[c.Code] = true
	}
	if !codes[p.Category] {
		f.add(p.categoryLine, "unknown category %q%s", p.Category, didYouMean(p.Category, keys(codes)))
	}
}

// circle is a shortest way from a product over what it requires back to itself,
// nil if there is none.
func circle(requires map[string][]string, start string) []string {
	from := map[string]string{}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range requires[queue[0]] {
			if _, seen := from[next]; seen {
				continue
			}
			from[next] = queue[0]
			if next == start {
				return walk(from, start)
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// walk follows the steps that led to end back to where they began, which is end.
func walk(from map[string]string, end string) []string {
	way := []string{end}
	for at := from[end]; ; at = from[at] {
		way = append(way, at)
		if at == end {
			slices.Reverse(way)
			return way
		}
	}
}

func (f *file) catalog() *Catalog {
	c := &Catalog{Categories: []Category{}, Products: []license.Product{}, Bundles: []license.Bundle{}}
	for _, k := range f.categories {
		c.Categories = append(c.Categories, k.Category)
	}
	for _, p := range f.products {
		c.Products = append(c.Products, p.Product)
	}
	for _, b := range f.bundles {
		c.Bundles = append(c.Bundles, b.Bundle)
	}
	return c
}
