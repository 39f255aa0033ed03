package registry

import (
	"context"
	"time"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// The bounds of how often machines ask by themselves: more often would only be
// load, and more seldom is as good as never.
const (
	minAutoUpdate = license.Duration(time.Minute)
	maxAutoUpdate = 365 * license.Day
)

// Settings returns the vendor's settings.
func (r *Registry) Settings(ctx context.Context, a Actor) (out wire.Settings, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		out, err = settingsShown(tx)
		return err
	})
	return out, err
}

func settingsShown(tx *store.Tx) (out wire.Settings, err error) {
	_, out.AutoUpdate, err = tx.List()
	return out, err
}

// ChangeSettings stores the vendor's settings. Machines learn of them with their
// next update.
func (r *Registry) ChangeSettings(ctx context.Context, a Actor, s wire.Settings) (wire.Settings, error) {
	if err := a.may(ScopeContainers); err != nil {
		return wire.Settings{}, err
	}
	if s.AutoUpdate != 0 && (s.AutoUpdate < minAutoUpdate || s.AutoUpdate > maxAutoUpdate) {
		return wire.Settings{}, refusal.New(refusal.InvalidInput, "auto_update may be from %s to %s.", minAutoUpdate, maxAutoUpdate).
			Hinted("0s leaves it to the machines.")
	}
	err := r.write(ctx, func(tx *store.Tx) error {
		if err := tx.Touch("vendor", "id", r.keys().vendor.ID); err != nil {
			return err
		}
		_, was, err := tx.List()
		if err != nil || was == s.AutoUpdate {
			return err
		}
		if err := tx.SetRefresh(s.AutoUpdate); err != nil {
			return err
		}
		r.blocks.touched.Store(true) // it travels with the block list
		return r.scribe(tx, a, r.cfg.Now()).note(evSettingsChanged, map[string]any{"auto_update": s.AutoUpdate, "was": was}, about(ofVendor, r.keys().vendor.ID))
	})
	return s, err
}

// Earmarks returns a page of the vendor's orders that are pending, newest first.
func (r *Registry) Earmarks(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.Earmark], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.Earmark, error) { return tx.Earmarks(cursor, limit) },
		func(tx *store.Tx, e store.Earmark) (wire.Earmark, string, error) {
			l, err := tx.License(e.License)
			return wire.Earmark{ID: e.ID, Kind: e.Kind, License: e.License, Product: l.Product, Generation: e.Generation, Container: e.Container,
				With: e.With, Step: e.Step, Text: pending(e, e.License), Actor: e.Actor, Reason: e.Reason, Created: e.Created}, e.ID, err
		})
}
