package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"licet/license"
)

// Item is one line of an order: how many licenses of a product, and what differs
// from the product.
type Item struct {
	Code      string     `json:"code"`
	Quantity  int64      `json:"quantity"` // number of licenses, 1 to MaxQuantity
	Overrides []Override `json:"overrides,omitempty"`
}

// Override gives one of the terms, or the features, for this item alone.
type Override struct {
	Key   string `json:"key"` // as in the catalog file, such as "seats" or "borrow.max"; or "features"
	Value string `json:"value"`
}

// MaxQuantity is the most licenses one item can order.
const MaxQuantity = 100_000

// featuresKey is the one override that is none of the terms.
const featuresKey = "features"

// ParseItem reads CODE[=QUANTITY][,KEY=VALUE...], such as
//
//	CAD-PRO=5,seats=10,expires_at=2027-06-30,features=render+export
//
// Keys are those of terms in the catalog file (borrow.max and borrow.seats with
// a dot) and features, a list joined by "+" that takes the place of the
// product's; "features=" means none. No value can hold a comma. What is wrong is
// refused with InvalidInput, whose detail "problems" is a []Problem.
func ParseItem(arg string) (Item, error) {
	first, rest, more := strings.Cut(arg, ",")
	code, text, counted := strings.Cut(first, "=")
	var p problems
	quantity := int64(1)
	if counted {
		var err error
		if quantity, err = wholeNumber(text, MaxQuantity); err != nil {
			p.addError(0, "quantity", err)
			quantity = 1 // told already
		}
	}
	var overrides []string
	if more {
		overrides = strings.Split(rest, ",")
	}
	return p.item(code, quantity, overrides)
}

// NewItem is ParseItem for parts that stand alone, such as in JSON; each
// override is KEY=VALUE, and values can hold commas.
func NewItem(code string, quantity int64, overrides []string) (Item, error) {
	return new(problems).item(code, quantity, overrides)
}

func (p *problems) item(code string, quantity int64, overrides []string) (Item, error) {
	item := Item{Code: code, Quantity: quantity}
	if err := validCode(code); err != nil {
		p.addError(0, "code", err)
	}
	switch {
	case quantity < 1:
		p.add(0, "quantity: at least one license must be ordered")
	case quantity > MaxQuantity:
		p.add(0, "quantity: %d is more than %d", quantity, MaxQuantity)
	}
	for _, o := range overrides {
		item.parseOverride(p, o)
	}
	// Whether the values are acceptable does not depend on the product.
	item.apply(p, license.Product{})
	if err := p.refusal("item " + strconv.Quote(shorten(code))); err != nil {
		return Item{}, err
	}
	return item, nil
}

func (i *Item) parseOverride(p *problems, part string) {
	key, value, ok := strings.Cut(part, "=")
	switch {
	case !ok:
		p.add(0, "%q is no override: write key=value", shorten(part))
	case i.has(key):
		p.add(0, "key %q is given twice", key)
	case key != featuresKey && !isTerm(key):
		p.add(0, "unknown key %q%s", shorten(key), didYouMean(key, itemKeys()))
	default:
		i.Overrides = append(i.Overrides, Override{key, value})
	}
}

func (i Item) has(key string) bool {
	return slices.ContainsFunc(i.Overrides, func(o Override) bool { return o.Key == key })
}

func isTerm(key string) bool {
	_, ok := termNamed(key)
	return ok
}

// ItemKey says what is wrong with the key of an override: nil if it is known.
func ItemKey(key string) error {
	if key == featuresKey || isTerm(key) {
		return nil
	}
	return fmt.Errorf("no term has this name%s", didYouMean(key, itemKeys()))
}

func itemKeys() []string {
	keys := []string{featuresKey}
	for _, f := range termFields {
		keys = append(keys, f.key)
	}
	return keys
}

// String is what ParseItem reads, unless a value holds a comma.
func (i Item) String() string {
	var s strings.Builder
	s.WriteString(i.Code + "=" + strconv.FormatInt(i.Quantity, 10))
	for _, o := range i.Overrides {
		s.WriteString("," + o.Key + "=" + o.Value)
	}
	return s.String()
}

// Resolve gives the terms and features that licenses of this item get: the
// product's with the item's overrides, and the product's kinds of container where
// they do not say into which seats may be lent. Overrides that are not acceptable, alone
// or together with the product, are refused with InvalidInput.
func (i Item) Resolve(product license.Product) (license.Terms, []string, error) {
	var p problems
	resolved, features := i.apply(&p, product)
	if len(p.found) == 0 {
		p.coherent(0, product, resolved)
		resolved.Borrow.Containers = lendsInto(resolved.Borrow, product)
	}
	if err := p.refusal("item " + strconv.Quote(i.Code)); err != nil {
		return license.Terms{}, nil, err
	}
	return resolved, features, nil
}

// lendsInto is the kinds of container that seats of a license may be lent into: by
// default those that the product's licenses may be activated into.
func lendsInto(b license.Borrow, product license.Product) license.KindSet {
	switch {
	case b.Seats == 0:
		return ""
	case b.Containers == "" && len(product.Containers) < len(license.Kinds):
		return license.KindsOf(product.Containers...)
	}
	return b.Containers
}

// apply puts the overrides on the product's terms and features.
func (i Item) apply(p *problems, product license.Product) (license.Terms, []string) {
	features := slices.Clone(product.Features)
	var given []setting
	for _, o := range i.Overrides {
		switch {
		case o.Key == featuresKey:
			features = readFeatures(p, o.Value)
		case isTerm(o.Key):
			given = append(given, setting{key: o.Key, text: o.Value})
		default:
			p.add(0, "unknown key %q%s", shorten(o.Key), didYouMean(o.Key, itemKeys()))
		}
	}
	return p.override(product.Terms, given), features
}

func readFeatures(p *problems, value string) []string {
	features := []string{}
	if value == "" {
		return features
	}
	for f := range strings.SplitSeq(value, "+") {
		if err := validCode(f); err != nil {
			p.addError(0, featuresKey, err)
			continue
		}
		if slices.Contains(features, f) {
			p.add(0, "features: %q is listed twice", f)
			continue
		}
		features = append(features, f)
	}
	return features
}
