package registry

import (
	"context"
	"fmt"

	"licet/internal/store"
	"licet/refusal"
	"licet/seal"
)

// rewrapBatch is how many rows one transaction encrypts anew.
const rewrapBatch = 500

// Rewrap encrypts everything anew that lies in the database under a secret which is not
// the newest: keys, copies of tickets, keys of webhooks, kept answers. It can be ended at
// any moment and goes on where it was. It tells how many values it encrypted.
func (r *Registry) Rewrap(ctx context.Context, a Actor) (done int, err error) {
	if err := a.may(ScopeAdmin); err != nil {
		return 0, err
	}
	n, err := r.rewrapKeys(ctx)
	done += n
	if err != nil {
		return done, err
	}
	for _, page := range []func(tx *store.Tx, after store.Sealed) ([]store.Sealed, error){
		func(tx *store.Tx, after store.Sealed) ([]store.Sealed, error) {
			return tx.SealedTickets(after.Key[0], rewrapBatch)
		},
		func(tx *store.Tx, after store.Sealed) ([]store.Sealed, error) {
			return tx.SealedWebhookKeys(after.Key[0], rewrapBatch)
		},
		func(tx *store.Tx, after store.Sealed) ([]store.Sealed, error) {
			return tx.SealedAnswers(after.Key, rewrapBatch)
		},
	} {
		var last store.Sealed
		for {
			var rows []store.Sealed
			changed := 0
			err := r.write(ctx, func(tx *store.Tx) (err error) {
				changed = 0
				if rows, err = page(tx, last); err != nil {
					return err
				}
				log := r.scribe(tx, a, r.cfg.Now())
				for _, s := range rows {
					again, err := r.keys().rewrapped(s)
					if err != nil {
						return err
					}
					if again == nil {
						continue
					}
					s.Value = again
					if err := tx.Rewrap(s); err != nil {
						return err
					}
					if t := s.Ticket; t.ID != "" {
						t.Sealed = again
						err := log.note(evTicketRewrapped, map[string]any{"ticket_record": ticketRecord(t)}, about(ofTicket, t.ID), about(ofOrder, t.OrderID))
						if err != nil {
							return err
						}
					}
					changed++
				}
				return nil
			})
			if err != nil {
				return done, err
			}
			done += changed
			if len(rows) < rewrapBatch {
				break
			}
			last = rows[len(rows)-1]
		}
	}
	if done == 0 {
		return 0, nil
	}
	return done, r.write(ctx, func(tx *store.Tx) error {
		return r.scribe(tx, a, r.cfg.Now()).note(evRewrapped, map[string]any{"values": done}, about(ofVendor, r.keys().vendor.ID))
	})
}

// column is where a table has its encrypted value.
var column = map[string]string{"tickets": "sealed", "webhook_keys": "secret", "once": "answer", "keys": "private"}

// rewrapped is a value encrypted anew; nil if the newest secret has sealed it.
func (k *keyring) rewrapped(s store.Sealed) ([]byte, error) {
	at := seal.Place{Table: s.Table, Row: s.Row, Column: column[s.Table]}
	if k.vault.Current(at, s.Value) {
		return nil, nil
	}
	plain, err := k.vault.Open(at, s.Value)
	if err != nil {
		return nil, refusal.New(refusal.DamagedFile, "%s %s does not open with secret.key. It was left as it is.", s.Table, s.Row).
			Hinted("Put back the secret.key with which it was made, and run the command again.")
	}
	return k.vault.Seal(at, plain)
}

func (r *Registry) rewrapKeys(ctx context.Context) (done int, err error) {
	err = r.write(ctx, func(tx *store.Tx) error {
		done = 0
		if err := tx.ChangeKeys(); err != nil {
			return err
		}
		rows, err := tx.Keys()
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Private == nil {
				continue
			}
			again, err := r.keys().rewrapped(store.Sealed{Table: "keys", Row: row.ID, Value: row.Private})
			if err != nil {
				return err
			}
			if again == nil {
				continue
			}
			if err := tx.RewrapKey(row.ID, again); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if err := r.loadKeys(ctx); err != nil {
		return done, fmt.Errorf("after encrypting the keys anew: %w", err)
	}
	return done, nil
}
