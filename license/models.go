package license

import "slices"

// Model is one of the seven presets of what a customer buys. A model only fills
// in what product and order leave open; any of it can be set by hand, but a
// "single" model never has more than one seat.
type Model string

// The models.
const (
	PerpetualSingle    Model = "perpetual_single"
	PerpetualMulti     Model = "perpetual_multi"
	SubscriptionSingle Model = "subscription_single"
	SubscriptionMulti  Model = "subscription_multi"
	Demo               Model = "demo"
	Prepaid            Model = "prepaid"
	NotForResale       Model = "nfr"
)

// Models lists every model.
var Models = []Model{PerpetualSingle, PerpetualMulti, SubscriptionSingle, SubscriptionMulti, Demo, Prepaid, NotForResale}

// preset is one row of the table of models; what is the same for all stands in
// Preset.
type preset struct {
	model        Model
	multi        bool        // whether it may have more than one seat
	expiresIn    Duration    // counted from the first activation; 0 means never
	deactivation bool        // whether users may return it themselves
	restore      RestoreMode // what happens when it is lost
}

var presets = []preset{
	//                  multi  expires    return restore
	{PerpetualSingle, false, 0, true, RestoreManual},
	{PerpetualMulti, true, 0, true, RestoreManual},
	{SubscriptionSingle, false, 365 * Day, true, RestoreManual},
	{SubscriptionMulti, true, 365 * Day, true, RestoreManual},
	{Demo, true, 30 * Day, false, RestoreNever},
	{Prepaid, true, 30 * Day, true, RestoreManual},
	{NotForResale, true, 365 * Day, true, RestoreManual},
}

// Known reports whether m is one of Models.
func (m Model) Known() bool { return slices.Contains(Models, m) }

// MultiSeat reports whether a license of this model may have more than one
// seat; an unknown model may not.
func (m Model) MultiSeat() bool { return m.row().multi }

// Preset is the product that a model stands for before anything is given: no
// code, no name, no features, one seat, and the defaults of its row. An unknown
// model gives a product that no kind of container accepts.
func (m Model) Preset() Product {
	row := m.row()
	p := Product{
		Model:        m,
		Features:     []string{},
		Containers:   []Kind{},
		Binding:      Medium,
		Repair:       true,
		Deactivation: row.deactivation,
		Split:        row.multi && row.deactivation,
		Requires:     []string{},
		Terms:        Terms{Seats: 1, ExpiresIn: row.expiresIn},
		Restore: Restore{
			License:   RestoreLicense{Mode: row.restore},
			Container: RestoreContainer{SameHardware: row.restore, NewHardware: row.restore, Damaged: row.restore},
		}.WithDefaults(),
	}
	if m.Known() {
		p.Containers = slices.Clone(Kinds)
	}
	return p
}

func (m Model) row() preset {
	for _, row := range presets {
		if row.model == m {
			return row
		}
	}
	return preset{restore: RestoreNever}
}
