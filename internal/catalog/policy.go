package catalog

import "licet/license"

// ParsePolicy reads the policy for lost licenses of a product that exists: the
// text is what a catalog has under restore, with that key or without. What it
// leaves out is as the product's model has it. What is wrong with it is refused
// with InvalidInput, as of a catalog file.
func ParsePolicy(p license.Product, data []byte) (license.Restore, error) {
	const of = "policy"
	root, err := document(of, data)
	if err != nil {
		return license.Restore{}, err
	}
	if under := root.value("restore"); under != nil && len(root.Content) == 2 {
		root = under
	}
	f := &file{}
	p.Restore = p.Model.Preset().Restore
	f.restore(root, &p.Restore)
	f.coherentRestore(root.Line, p)
	return p.Restore.WithDefaults(), f.refusal(of)
}
