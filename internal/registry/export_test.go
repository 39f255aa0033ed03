package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"licet/internal/store"
)

// WrongMessages looks through everything that happened for events of which webhooks
// would tell something else than the catalog promises, or which another event about
// the same license could overtake.
func (r *Registry) WrongMessages(ctx context.Context) (wrong []string, err error) {
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		wrong = nil
		after := ""
		for {
			events, err := tx.AllEvents(after, 1000)
			if err != nil || len(events) == 0 {
				return err
			}
			for _, e := range events {
				after = e.ID
				t, told := hookTypeOf[e.Name]
				if !told {
					continue
				}
				text, err := bodyOf(tx, e.ID)
				if err != nil {
					return fmt.Errorf("%s: %w", e.Name, err)
				}
				var message struct {
					Type string
					Data map[string]any
				}
				if err := json.Unmarshal(text, &message); err != nil {
					return err
				}
				delete(message.Data, "event")
				delete(message.Data, "sequence")
				has, want := slices.Sorted(maps.Keys(message.Data)), slices.Sorted(slices.Values(t.fields))
				// Of what can go by seats or by units, either is told.
				if _, bySeats := message.Data[fieldSeats]; slices.Contains(t.fields, fieldSeats) && slices.Contains(t.fields, fieldUnits) {
					other := fieldSeats
					if bySeats {
						other = fieldUnits
					}
					want = slices.DeleteFunc(want, func(f string) bool { return f == other })
				}
				if message.Type != t.name || !slices.Equal(has, want) {
					wrong = append(wrong, fmt.Sprintf("%s promises %q and tells %s", t.name, want, text))
				}
				about, err := aboutOf(tx, e.ID)
				if err != nil {
					return err
				}
				order, err := orderOf(tx, e.Subjects)
				if err != nil {
					return err
				}
				if order != "" && !slices.Contains(about, "order:"+order) {
					wrong = append(wrong, fmt.Sprintf("%s of order %s waits for %q alone", t.name, order, about))
				}
			}
		}
	})
	return wrong, err
}

// WorkBulkAndDie takes a job for a server that is killed after so many items: it does
// not give the job back. What it returns goes on as that server would, if it was only
// very slow.
func (r *Registry) WorkBulkAndDie(ctx context.Context, owner string, items int) (wake func(items int) error, err error) {
	j, err := r.takeBulk(ctx, owner)
	if err != nil {
		return nil, err
	}
	wake = func(items int) error {
		_, err := r.workBulk(ctx, j, owner, items)
		return err
	}
	err = wake(items)
	j.Next += int64(items)
	return wake, err
}

// BulkLease is how long a server that was killed keeps its job.
const BulkLease = bulkLease

// BulkKept is how long a job is kept that has ended.
const BulkKept = bulkKept
