package registry

import (
	"context"

	"licet/internal/store"
)

// Figures is how many of what the record holds, for monitoring.
type Figures struct {
	store.Figures
	Epoch uint64
}

// Figures counts what the record holds. It reads every license: a second for
// some millions.
func (r *Registry) Figures(ctx context.Context) (f Figures, err error) {
	f.Epoch = r.keys.epoch
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		var err error
		f.Figures, err = tx.Figures()
		return err
	})
	return f, err
}
