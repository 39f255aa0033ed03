package vendortest

import (
	"licet/license"
	"licet/seal"
)

// SignOrigins is the list of origins that the vendor signs at a time, for 30 days.
// They are given rising.
func (v *Vendor) SignOrigins(at license.Time, list ...string) []byte {
	return must(seal.SignOrigins(v.scope, v.issuing, seal.Origins{Time: at, Until: at.Add((30 * license.Day).Go()), List: list}, v.keys...))(v.t)
}
