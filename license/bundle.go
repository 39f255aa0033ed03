package license

// Bundle is one article that stands for licenses of several products. It exists
// for selling alone: what is sold by it are ordinary licenses.
type Bundle struct {
	Code     string   `json:"code"` // no product has the same
	Name     string   `json:"name"`
	Products []string `json:"products"` // as in an order: CODE, or CODE=QUANTITY
}
