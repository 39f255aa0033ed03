package registry

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// More restores than this in so many days are noticed. A report of a whole
// container counts once.
const (
	excessCount = 3
	excessDays  = 30
	maxExcess   = 1000 // days or restores that can be asked for
)

// Kinds of those who can have many restores.
const (
	excessCustomer  = "customer"
	excessContainer = "container"
	excessStaff     = "staff"

	staffPrefix = "staff:" // of an actor's name
)

// who is a customer, a container or a member of staff.
type who struct{ kind, subject string }

// Excess lists who restored more than count times in the last days: customers,
// containers and members of staff. 0 stands for what is noticed by itself.
func (r *Registry) Excess(ctx context.Context, a Actor, count, days int64) (out wire.Excess, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	out = wire.Excess{Count: cmp.Or(count, excessCount), Days: cmp.Or(days, excessDays), Items: []wire.Excessive{}}
	if out.Count < 1 || out.Count > maxExcess || out.Days < 1 || out.Days > maxExcess {
		return out, refusal.New(refusal.InvalidInput, "Count and days may be from 1 to %d each.", maxExcess)
	}
	out.Since = license.At(r.cfg.Now()).Add(-daysOf(out.Days))
	err = r.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		found, err := counted(tx, out.Since)
		for _, x := range found {
			if x.Times > out.Count {
				out.Items = append(out.Items, x)
			}
		}
		return err
	})
	slices.SortFunc(out.Items, func(a, b wire.Excessive) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return out, err
}

// counted counts the restores from a moment on by whom they concern. A license
// that was lost with its withdrawal gave nobody anything.
func counted(tx *store.Tx, since license.Time) (map[who]wire.Excessive, error) {
	done, err := tx.RestoresWithCustomers(since)
	if err != nil {
		return nil, err
	}
	found := map[who]wire.Excessive{}
	type report struct {
		who
		recovery uint64
	}
	seen := map[report]bool{}
	for _, x := range done {
		if x.How == store.ByLoss {
			continue
		}
		for _, w := range concernedBy(x) {
			e := found[w]
			e.Kind, e.Subject, e.Last = w.kind, w.subject, x.Time
			e.Licenses++
			if k := (report{w, x.Recovery}); !seen[k] {
				seen[k] = true
				e.Times++
			}
			found[w] = e
		}
	}
	return found, nil
}

func concernedBy(x store.CustomerRestore) []who {
	all := []who{{excessCustomer, x.Customer}}
	if x.Container != "" {
		all = append(all, who{excessContainer, string(x.Container)})
	}
	if name, ok := strings.CutPrefix(x.Actor, staffPrefix); ok {
		all = append(all, who{excessStaff, name})
	}
	return all
}

// noticeExcess notes whoever has more restores than are usual because of a
// recovery whose restores were just recorded.
func (d *desk) noticeExcess(recovery uint64) error {
	done, err := d.tx.RestoresWithCustomers(d.now())
	if err != nil {
		return err
	}
	seen := map[who]bool{}
	for _, x := range done {
		if x.Recovery != recovery || x.How == store.ByLoss {
			continue
		}
		for _, w := range concernedBy(x) {
			if seen[w] {
				continue
			}
			seen[w] = true
			if err := d.noticeExcessOf(w, recovery); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *desk) noticeExcessOf(w who, recovery uint64) error {
	times, err := d.timesOf(w, d.now().Add(-daysOf(excessDays)))
	// The one that passes the limit is told, not every one after it.
	if err != nil || times != excessCount+1 {
		return err
	}
	subjects := []store.Subject{about(ofRecovery, number(recovery))}
	if w.kind == excessContainer {
		subjects = append(subjects, about(ofContainer, w.subject))
	}
	return d.log.note(evRecoveryExcess, map[string]any{"kind": w.kind, "subject": w.subject, "times": times, "days": excessDays, "number": recovery}, subjects...)
}

func (d *desk) timesOf(w who, since license.Time) (int64, error) {
	switch w.kind {
	case excessCustomer:
		return d.tx.CountReportsOfCustomer(w.subject, since)
	case excessContainer:
		return d.tx.CountReportsOfContainer(license.Serial(w.subject), since)
	}
	return d.tx.CountReportsOfActor(staffPrefix+w.subject, since)
}
