package registry

import (
	"context"

	"licet/internal/store"
	"licet/wire"
)

// Figures is how many of what the record holds, for monitoring.
type Figures struct {
	store.Figures
	Webhooks WebhookCounts
	Epoch    uint64
	Gap      wire.Gap // since the last restore from a back-up
	Journal  JournalStatus
}

// Figures counts what the record holds. It reads every license: a second for
// some millions.
func (r *Registry) Figures(ctx context.Context) (f Figures, err error) {
	f.Epoch = r.keys().epoch
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		var err error
		if f.Figures, err = tx.Figures(); err != nil {
			return err
		}
		if f.Webhooks, err = webhookCounts(tx); err != nil {
			return err
		}
		if f.Gap, err = r.gapView(tx); err != nil {
			return err
		}
		f.Journal, err = r.journalStatus(tx)
		return err
	})
	return f, err
}
