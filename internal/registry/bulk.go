package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"licet/internal/orderfile"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

const (
	// A job has a turn of so many items or so long, then the next job has one.
	bulkTurn  = 200
	bulkSlice = 2 * time.Second
	// bulkLease is how long after its last item a server has a job to itself.
	bulkLease = 5 * time.Second
	// bulkHold is how long a job waits where no item would get further.
	bulkHold = 10 * time.Second
	// maxBulks is how many jobs may be open at once.
	maxBulks = 100
	// Items are stored so many together, or so many bytes.
	bulkChunk, bulkChunkBytes = 100, 64 << 10
	// bulkKept is how long a job that has ended is kept; so many of its results are
	// forgotten at once.
	bulkKept      = 90 * 24 * time.Hour
	bulkForgotten = 1000
)

// bulkKind is what the items of a job are: operations of the registry, with their own
// rules, one transaction each.
type bulkKind struct {
	scope   string
	decides bool // it needs a reason
	// do carries an item out, and names what it is about. What came of it is said within
	// the operation's own transaction, by says.
	do func(ctx context.Context, r *Registry, a Actor, body json.RawMessage, reason string) error
	// names is what an item is about.
	names func(body json.RawMessage) (wire.BulkResult, error)
	// says is what came of it. A refusal stands for an item of which nothing was done.
	says func(answer any, res *wire.BulkResult) *refusal.Refusal
}

// kindOf makes a kind from an operation over a T that answers an Out.
func kindOf[T, Out any](scope string, decides bool, names func(T) wire.BulkResult, do func(context.Context, *Registry, Actor, T, string) (Out, error), says func(Out, *wire.BulkResult) *refusal.Refusal) bulkKind {
	return bulkKind{
		scope: scope, decides: decides,
		names: func(body json.RawMessage) (wire.BulkResult, error) {
			var item T
			err := json.Unmarshal(body, &item)
			return names(item), err
		},
		do: func(ctx context.Context, r *Registry, a Actor, body json.RawMessage, reason string) error {
			var item T
			if err := json.Unmarshal(body, &item); err != nil {
				return err
			}
			_, err := do(ctx, r, a, item, reason)
			return err
		},
		says: func(answer any, res *wire.BulkResult) *refusal.Refusal { return says(*answer.(*Out), res) },
	}
}

// bulkKinds is every kind.
var bulkKinds = map[string]bulkKind{
	wire.BulkOrders: kindOf(ScopeOrders, false,
		func(o wire.OrderRequest) wire.BulkResult {
			return wire.BulkResult{Order: o.Number, Customer: o.Customer}
		},
		func(ctx context.Context, r *Registry, a Actor, o wire.OrderRequest, _ string) (wire.Order, error) {
			return r.CreateOrder(ctx, a, o, onceOf(ctx))
		},
		func(o wire.Order, res *wire.BulkResult) *refusal.Refusal {
			res.Order, res.Customer, res.New, res.Added = o.Number, o.Customer, o.New, o.Added
			return nil
		}),
	wire.BulkSubscriptions: kindOf(ScopeOrders, false,
		func(s wire.SubscriptionRequest) wire.BulkResult {
			return wire.BulkResult{Order: s.Number, Customer: s.Customer}
		},
		func(ctx context.Context, r *Registry, a Actor, s wire.SubscriptionRequest, _ string) (wire.SubscriptionDone, error) {
			return r.CreateSubscription(ctx, a, s, onceOf(ctx))
		}, saySubscription),
	wire.BulkRenewals: kindOf(ScopeOrders, false,
		func(s wire.BulkRenewal) wire.BulkResult { return wire.BulkResult{Subscription: s.Subscription} },
		func(ctx context.Context, r *Registry, a Actor, s wire.BulkRenewal, _ string) (wire.SubscriptionDone, error) {
			return r.RenewSubscription(ctx, a, s.Subscription, wire.SubscriptionRenewal{Periods: s.Periods, Reference: s.Reference})
		}, saySubscription),
	wire.BulkWithdraw: kindOf(ScopeLicenses, true, nameLicense,
		func(ctx context.Context, r *Registry, a Actor, l wire.BulkLicense, reason string) (wire.Ordered, error) {
			return r.Withdraw(ctx, a, []license.ID{l.License}, reason, false)
		}, sayOrdered),
	wire.BulkReplace: kindOf(ScopeLicenses, true,
		func(l wire.BulkReplacement) wire.BulkResult { return wire.BulkResult{License: l.License} },
		func(ctx context.Context, r *Registry, a Actor, l wire.BulkReplacement, reason string) (wire.Ordered, error) {
			return r.Replace(ctx, a, l.License, l.With, reason, false)
		}, sayOrdered),
	wire.BulkAssign: kindOf(ScopeLicenses, true,
		func(l wire.BulkAssignment) wire.BulkResult {
			return wire.BulkResult{License: l.License, Container: l.Container}
		},
		func(ctx context.Context, r *Registry, a Actor, l wire.BulkAssignment, reason string) (wire.Ordered, error) {
			return r.Assign(ctx, a, l.License, l.Container, reason, false)
		}, sayOrdered),
	wire.BulkUnits: kindOf(ScopeLicenses, true,
		func(l wire.BulkAddition) wire.BulkResult { return wire.BulkResult{License: l.License} },
		func(ctx context.Context, r *Registry, a Actor, l wire.BulkAddition, reason string) (wire.Ordered, error) {
			return r.AddUnits(ctx, a, l.License, l.Units, reason, false)
		}, sayOrdered),
	wire.BulkTakeBack: kindOf(ScopeLicenses, true, nameLicense,
		func(ctx context.Context, r *Registry, a Actor, l wire.BulkLicense, reason string) (wire.License, error) {
			return r.CancelPending(ctx, a, l.License, reason)
		},
		func(l wire.License, res *wire.BulkResult) *refusal.Refusal {
			res.License, res.Product = l.ID, l.Product
			return nil
		}),
	wire.BulkBlock: kindOf(ScopeContainers, true, nameContainer,
		func(ctx context.Context, r *Registry, a Actor, c wire.BulkContainer, reason string) (wire.Container, error) {
			return r.BlockContainer(ctx, a, c.Container, reason)
		}, sayContainer),
	wire.BulkUnblock: kindOf(ScopeContainers, true, nameContainer,
		func(ctx context.Context, r *Registry, a Actor, c wire.BulkContainer, reason string) (wire.Container, error) {
			return r.UnblockContainer(ctx, a, c.Container, reason)
		}, sayContainer),
	wire.BulkPush: kindOf(ScopeContainers, false, nameContainer,
		func(ctx context.Context, r *Registry, a Actor, c wire.BulkContainer, _ string) ([]byte, error) {
			return r.Push(ctx, a, c.Container)
		},
		func(file []byte, res *wire.BulkResult) *refusal.Refusal {
			res.Update = string(file)
			return nil
		}),
}

// BulkScope is the scope that a kind of job needs.
func BulkScope(kind string) string { return bulkKinds[kind].scope }

func nameLicense(l wire.BulkLicense) wire.BulkResult { return wire.BulkResult{License: l.License} }

func nameContainer(c wire.BulkContainer) wire.BulkResult {
	return wire.BulkResult{Container: c.Container}
}

func sayContainer(wire.Container, *wire.BulkResult) *refusal.Refusal { return nil }

func saySubscription(s wire.SubscriptionDone, res *wire.BulkResult) *refusal.Refusal {
	res.Subscription, res.Order, res.Customer = s.Subscription.ID, s.Subscription.Number, s.Subscription.Customer
	res.New, res.Changed, res.Ends = s.New, s.Changed, s.Subscription.Ends
	return nil
}

func sayOrdered(o wire.Ordered, res *wire.BulkResult) *refusal.Refusal {
	for _, no := range o.Refused {
		res.Product = no.Product
		return &refusal.Refusal{Code: no.Code, Message: no.Message, Hint: no.Hint, Details: no.Details}
	}
	for _, l := range o.Done {
		res.License, res.Product, res.When, res.Container, res.With = l.License, l.Product, l.When, l.Container, l.With
	}
	return nil
}

// bulkRow is an item as it is stored.
type bulkRow struct {
	Row     int64            `json:"row"`
	Item    json.RawMessage  `json:"item,omitempty"`
	Problem *wire.BulkResult `json:"problem,omitempty"` // why it cannot even be tried
}

// StartBulk takes many operations of a kind as a job, which the servers carry out
// from then on.
func StartBulk[T any](ctx context.Context, r *Registry, a Actor, kind string, items []T, reason string, dryRun bool) (out wire.Bulk, err error) {
	rows := make([]bulkRow, len(items))
	for i, item := range items {
		body, err := json.Marshal(item)
		if err != nil {
			return out, err
		}
		rows[i] = bulkRow{Row: int64(i + 1), Item: body}
	}
	return r.startBulk(ctx, a, kind, rows, reason, dryRun)
}

// ImportBulk takes a table of orders as a job. A bad row, with its order, is a result
// that failed; the other orders are made.
func (r *Registry) ImportBulk(ctx context.Context, a Actor, req wire.BulkImport) (out wire.Bulk, err error) {
	if err := a.may(ScopeOrders); err != nil {
		return out, err
	}
	table, err := orderfile.Read(strings.NewReader(req.CSV))
	if err != nil {
		return out, err
	}
	var rows []bulkRow
	for _, o := range table.Orders {
		o.Resent = req.Resent
		body, err := json.Marshal(o.OrderRequest)
		if err != nil {
			return out, err
		}
		rows = append(rows, bulkRow{Row: int64(o.Lines[0]), Item: body})
	}
	for _, p := range table.Problems {
		rows = append(rows, bulkRow{Row: int64(p.Line), Problem: &wire.BulkResult{Order: p.Order, Code: p.Code, Message: p.Message,
			Hint: "Correct the row and import the table again: what is there already is not added twice."}})
	}
	slices.SortStableFunc(rows, func(a, b bulkRow) int { return int(a.Row - b.Row) })
	return r.startBulk(ctx, a, wire.BulkOrders, rows, "", req.DryRun)
}

func (r *Registry) startBulk(ctx context.Context, a Actor, kind string, rows []bulkRow, reason string, dryRun bool) (out wire.Bulk, err error) {
	k := bulkKinds[kind]
	if err := a.may(k.scope); err != nil {
		return out, err
	}
	if k.decides {
		if err := reasonGiven(reason); err != nil {
			return out, err
		}
	}
	if len(rows) == 0 {
		return out, refusal.New(refusal.InvalidInput, "There is nothing to do: no item was sent.")
	}
	if len(rows) > wire.MaxBulkItems {
		return out, refusal.New(refusal.TooLarge, "One job has %d items at most; these are %d.", wire.MaxBulkItems, len(rows)).Hinted("Nothing was done. Send them in parts.")
	}
	chunks, err := bulkChunks(rows)
	if err != nil {
		return out, err
	}
	now := r.cfg.Now()
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			n, err := tx.CountOpenBulks()
			if err != nil {
				return err
			}
			if n >= maxBulks {
				return refusal.New(refusal.Conflict, "%d jobs are open already; nothing was taken.", n).Hinted("Wait until one of them has ended, or cancel one.")
			}
			j := store.BulkJob{ID: r.newID("blk", now), Kind: kind, ActorKind: a.Kind, ActorName: a.Name, Scopes: a.Scopes, Token: a.token,
				Reason: strings.TrimSpace(reason), DryRun: dryRun, Total: int64(len(rows)), Created: license.At(now)}
			if err := tx.InsertBulk(j); err != nil {
				return err
			}
			for _, c := range chunks {
				if err := tx.AddBulkItems(j.ID, c); err != nil {
					return err
				}
			}
			out = bulkView(j)
			log := r.scribe(tx, a, now)
			log.reason = j.Reason
			return log.note(evBulkStarted, bulkDetails(j), about(ofBulk, j.ID))
		})
	})
	return out, err
}

// bulkChunks is the items as they are stored.
func bulkChunks(rows []bulkRow) (chunks []store.BulkItems, err error) {
	var text []byte
	first := 0
	for i, row := range rows {
		one, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		if i > first && (i-first == bulkChunk || len(text)+len(one) > bulkChunkBytes) {
			chunks = append(chunks, store.BulkItems{First: int64(first), Items: append(text, ']')})
			text, first = nil, i
		}
		text = append(text, map[bool]byte{true: '[', false: ','}[i == first])
		text = append(text, one...)
	}
	return append(chunks, store.BulkItems{First: int64(first), Items: append(text, ']')}), nil
}

func bulkDetails(j store.BulkJob) map[string]any {
	return map[string]any{"kind": j.Kind, "total": j.Total, "done": j.Next - j.Failed, "failed": j.Failed, "dry_run": j.DryRun}
}

func bulkView(j store.BulkJob) wire.Bulk {
	w := wire.Bulk{ID: j.ID, Kind: j.Kind, State: wire.BulkQueued, DryRun: j.DryRun, Total: j.Total, Done: j.Next - j.Failed, Failed: j.Failed, Reason: j.Reason,
		Actor: Actor{Kind: j.ActorKind, Name: j.ActorName}.String(), Created: j.Created, Started: j.Started, Ended: j.Ended}
	switch {
	case j.Canceled:
		w.State = wire.BulkCanceled
	case j.Ended != 0:
		w.State = wire.BulkFinished
	case j.Started != 0:
		w.State = wire.BulkRunning
	}
	if j.Ended == 0 {
		w.Waits, w.PollWait = refusal.Code(j.Waits), 1
		if j.Waits != "" {
			w.PollWait = int64(bulkHold / time.Second)
		}
	}
	return w
}

func noBulk(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("job", id)
	}
	return err
}

// Bulks returns a page of jobs, newest first.
func (r *Registry) Bulks(ctx context.Context, a Actor, cursor string, limit int) (wire.List[wire.Bulk], error) {
	return page(ctx, r, a, limit, func(tx *store.Tx) ([]store.BulkJob, error) { return tx.Bulks(cursor, limit) },
		func(_ *store.Tx, j store.BulkJob) (wire.Bulk, string, error) { return bulkView(j), j.ID, nil })
}

// Bulk returns one job.
func (r *Registry) Bulk(ctx context.Context, a Actor, id string) (out wire.Bulk, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) error {
		j, err := tx.Bulk(id)
		out = bulkView(j)
		return noBulk(err, id)
	})
	return out, err
}

// BulkResults returns what came of the items of a job, in their order: of all that
// were looked at, or of those in one state. Who may take orders sees their tickets.
func (r *Registry) BulkResults(ctx context.Context, a Actor, id, state, cursor string, limit int) (wire.List[wire.BulkResult], error) {
	after := int64(-1)
	if cursor != "" {
		n, err := strconv.ParseInt(cursor, 10, 64)
		if err != nil || n < 0 {
			return wire.List[wire.BulkResult]{Items: []wire.BulkResult{}}, refusal.New(refusal.InvalidInput, "The cursor is none of this list.")
		}
		after = n
	}
	var failed *bool
	if state != "" {
		failed = new(state == wire.BulkFailed)
	}
	tickets := false
	return page(ctx, r, a, limit,
		func(tx *store.Tx) ([]store.BulkResult, error) {
			j, err := tx.Bulk(id)
			if err != nil {
				return nil, noBulk(err, id)
			}
			tickets = !j.DryRun && (j.Kind == wire.BulkOrders || j.Kind == wire.BulkSubscriptions) && a.may(ScopeOrders) == nil
			return tx.BulkResults(id, failed, after, limit)
		},
		func(tx *store.Tx, row store.BulkResult) (res wire.BulkResult, cursor string, err error) {
			if err := json.Unmarshal(row.Result, &res); err != nil {
				return res, "", err
			}
			if tickets && !row.Failed {
				o, err := tx.OrderByNumber(res.Order)
				if err != nil {
					return res, "", err
				}
				t, err := tx.TicketByOrder(o.ID)
				if err != nil {
					return res, "", err
				}
				if res.Ticket, err = r.openTicket(t); err != nil {
					return res, "", err
				}
			}
			return res, strconv.FormatInt(row.Item, 10), nil
		})
}

// CancelBulk ends a job before its next item. What was done stays done. It needs the
// scope that the job itself needed.
func (r *Registry) CancelBulk(ctx context.Context, a Actor, id string) (out wire.Bulk, err error) {
	if err := a.may(ScopeRead); err != nil {
		return out, err
	}
	err = r.write(ctx, func(tx *store.Tx) error {
		return answerOnce(r, tx, a, onceOf(ctx), &out, func() error {
			j, err := tx.LockBulk(id) // an item that is under way comes to its end
			if err != nil {
				return noBulk(err, id)
			}
			if err := a.may(bulkKinds[j.Kind].scope); err != nil {
				return err
			}
			if j.Ended != 0 {
				return refusal.New(refusal.Conflict, "The job %s has ended already.", id).Hinted("Nothing needs to be done.")
			}
			out, err = endBulk(r.scribe(tx, a, r.cfg.Now()), j, true)
			return err
		})
	})
	return out, err
}

// endBulk ends a job that is locked.
func endBulk(log scribe, j store.BulkJob, early bool) (wire.Bulk, error) {
	j.Ended, j.Canceled, j.Owner, j.Lease, j.Waits = license.At(log.now), early, "", 0, ""
	if err := log.tx.UpdateBulk(j); err != nil {
		return wire.Bulk{}, err
	}
	if err := log.tx.ForgetBulkItems(j.ID); err != nil {
		return wire.Bulk{}, err
	}
	event := evBulkFinished
	if early {
		event = evBulkCanceled
	}
	return bulkView(j), log.note(event, bulkDetails(j), about(ofBulk, j.ID))
}

// endBulks ends every job that is open: what it has done since a back-up is not known.
func endBulks(log scribe) error {
	ids, err := log.tx.OpenBulks()
	if err != nil {
		return err
	}
	for _, id := range ids {
		j, err := log.tx.LockBulk(id)
		if err != nil {
			return err
		}
		if _, err := endBulk(log, j, true); err != nil {
			return err
		}
	}
	return nil
}

// bulkWorker is who ends jobs.
var bulkWorker = Actor{Kind: "system", Name: "bulk"}

// errOvertaken says that an item is not this server's to do any more: another one has
// the job, or it was canceled.
var errOvertaken = errors.New("registry: the job is another server's by now, or has ended")

// WorkBulk gives the job that waited longest a turn of some items, and reports whether
// there was one. While a server has a job, no other takes it; a server that dies loses
// it after a while, and another one goes on with the item that is next.
func (r *Registry) WorkBulk(ctx context.Context, owner string) (did bool, err error) {
	j, err := r.takeBulk(ctx, owner)
	if err != nil || j.ID == "" {
		return false, err
	}
	waits, err := r.workBulk(ctx, j, owner, bulkTurn)
	last, end := context.WithTimeout(context.WithoutCancel(ctx), bulkHold)
	defer end()
	if failed := r.leaveBulk(last, j.ID, owner, waits); err == nil {
		err = failed
	}
	return true, err
}

// takeBulk takes the job whose turn it is for a server; none where there is nothing to do.
func (r *Registry) takeBulk(ctx context.Context, owner string) (j store.BulkJob, err error) {
	now := r.cfg.Now()
	at := license.At(now)
	err = r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) error { j, err = tx.DueBulk(at); return err })
	if errors.Is(err, store.ErrNotFound) {
		return store.BulkJob{}, nil
	}
	if err != nil {
		return j, err
	}
	id := j.ID
	err = r.write(ctx, func(tx *store.Tx) error {
		if j, err = tx.LockBulk(id); err != nil {
			return err
		}
		if j.Ended != 0 || j.Lease > at || j.Hold > at {
			j = store.BulkJob{} // somebody was faster
			return nil
		}
		if j.Token != "" {
			switch t, err := tx.TokenByID(j.Token); {
			case err != nil:
				return err
			case t.Revoked != 0: // whoever had it is to do nothing any more
				_, err = endBulk(r.scribe(tx, bulkWorker, now), j, true)
				j = store.BulkJob{}
				return err
			}
		}
		if j.Started == 0 {
			j.Started = at
		}
		j.Owner, j.Lease = owner, license.At(now.Add(bulkLease))
		return tx.UpdateBulk(j)
	})
	return j, err
}

// workBulk does so many items of a job that is this server's. It says why no item gets
// further, if that is so.
func (r *Registry) workBulk(ctx context.Context, j store.BulkJob, owner string, most int) (waits refusal.Code, err error) {
	k, known := bulkKinds[j.Kind]
	if !known {
		return refusal.Internal, fmt.Errorf("registry: the job %s is of the unknown kind %s", j.ID, j.Kind)
	}
	a := Actor{Kind: j.ActorKind, Name: j.ActorName, Scopes: j.Scopes, token: j.Token}
	ctx = WithRequest(ctx, j.ID)
	begin := r.cfg.Now()
	var rows []bulkRow
	first := int64(0)
	for n := 0; n < most && j.Next < j.Total && (n == 0 || r.cfg.Now().Sub(begin) < bulkSlice); n++ {
		if j.Next >= first+int64(len(rows)) {
			if rows, first, err = r.bulkItems(ctx, j.ID, j.Next); err != nil {
				if errors.Is(err, store.ErrNotFound) {
					return "", nil // it was canceled
				}
				return refusal.Internal, err
			}
		}
		i := &bulkItem{r: r, job: j.ID, owner: owner, at: j.Next, dry: j.DryRun, says: k.says}
		err := i.run(ctx, k, a, rows[j.Next-first], j.Reason)
		ref, refused := refusal.As(err)
		switch {
		case errors.Is(err, errOvertaken):
			return "", nil
		case ctx.Err() != nil:
			return "", nil
		case refused:
			return ref.Code, nil
		case err != nil:
			return refusal.Internal, err
		}
		j.Next++
	}
	return "", nil
}

func (r *Registry) bulkItems(ctx context.Context, job string, at int64) (rows []bulkRow, first int64, err error) {
	var chunk store.BulkItems
	err = r.cfg.DB.ReadOne(ctx, func(tx *store.Tx) error { chunk, err = tx.BulkItems(job, at); return err })
	if err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(chunk.Items, &rows); err != nil {
		return nil, 0, err
	}
	if at-chunk.First >= int64(len(rows)) {
		return nil, 0, fmt.Errorf("registry: item %d of the job %s is missing", at, job)
	}
	return rows, chunk.First, nil
}

// leaveBulk gives a job back after a turn, or ends it where its last item was done.
func (r *Registry) leaveBulk(ctx context.Context, id, owner string, waits refusal.Code) error {
	return r.write(ctx, func(tx *store.Tx) error {
		now := r.cfg.Now()
		j, err := tx.LockBulk(id)
		if err != nil || j.Owner != owner || j.Ended != 0 {
			return err
		}
		if j.Next == j.Total {
			_, err := endBulk(r.scribe(tx, bulkWorker, now), j, false)
			return err
		}
		j.Owner, j.Lease, j.Turn = "", 0, license.At(now)
		if j.Waits = string(waits); waits != "" {
			j.Hold = license.At(now.Add(bulkHold))
		}
		return tx.UpdateBulk(j)
	})
}

// ForgetBulks forgets some of what is older than it need be; false when that was all.
func (r *Registry) ForgetBulks(ctx context.Context) (more bool, err error) {
	before := license.At(r.cfg.Now().Add(-bulkKept))
	err = r.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		more, err = tx.ForgetBulk(before, bulkForgotten)
		return err
	})
	return more, err
}

// bulkItem is one item that is carried out. It takes the place of a key that makes a
// call repeatable: that it was done is written with what it did, or neither is.
type bulkItem struct {
	r          *Registry
	job, owner string
	at         int64
	dry        bool
	says       func(answer any, res *wire.BulkResult) *refusal.Refusal
	result     wire.BulkResult // what it is about, and then what came of it
	said       bool            // in the operation's transaction
}

// run carries an item out. A refusal is a result, unless no other item would fare better.
func (i *bulkItem) run(ctx context.Context, k bulkKind, a Actor, row bulkRow, reason string) (err error) {
	if row.Problem != nil {
		i.result = *row.Problem
		i.result.Row, i.result.State = row.Row, wire.BulkFailed
		return i.record(ctx)
	}
	if i.result, err = k.names(row.Item); err != nil {
		return err
	}
	i.result.Row = row.Row
	err = k.do(WithOnce(ctx, Once{item: i}), i.r, a, row.Item, reason)
	ref, refused := refusal.As(err)
	switch {
	case i.dry && i.said && (err == nil || errors.Is(err, errDryRun)):
		return i.record(ctx)
	case refused && !concernsAll(ref.Code):
		i.refuse(ref)
		return i.record(ctx)
	case err == nil && !i.said:
		return fmt.Errorf("registry: an item of the job %s was carried out and did not say so", i.job)
	}
	return err
}

// concernsAll tells what another item would not get past either.
func concernsAll(code refusal.Code) bool {
	switch code {
	case refusal.Internal, refusal.StorageFull, refusal.IssuingStopped, refusal.SignerUnavailable, refusal.ServerOutdated, refusal.KeyRevoked, refusal.TrustEnded:
		return true
	}
	return false
}

func (i *bulkItem) refuse(no *refusal.Refusal) {
	i.result.State, i.result.Code, i.result.Message, i.result.Hint, i.result.Details = wire.BulkFailed, no.Code, no.Error(), no.NextStep(), no.Details
}

// answer runs an operation's transaction as this item: locked behind its job, and with
// its result.
func (i *bulkItem) answer(tx *store.Tx, answer any, fn func() error) error {
	named := i.result
	i.said = false
	if !i.dry {
		if err := i.advance(tx, false); err != nil {
			return err
		}
	}
	if err := fn(); err != nil {
		i.result = named
		return err
	}
	i.result = named
	i.result.State = wire.BulkDone
	if no := i.says(answer, &i.result); no != nil {
		i.refuse(no)
	}
	if i.dry { // what was made for it is not there
		i.result.With, i.result.Subscription, i.result.Update = "", named.Subscription, ""
		if named.Order == "" {
			i.result.Order = ""
		}
		i.said = true
		return errDryRun
	}
	i.said = true
	if i.result.State == wire.BulkFailed {
		if err := tx.FailBulk(i.job); err != nil {
			return err
		}
	}
	return i.keep(tx)
}

func (i *bulkItem) advance(tx *store.Tx, failed bool) error {
	ok, err := tx.AdvanceBulk(i.job, i.owner, i.at, failed, license.At(i.r.cfg.Now().Add(bulkLease)))
	if err == nil && !ok {
		err = errOvertaken
	}
	return err
}

// record keeps the result of an item that has changed nothing else.
func (i *bulkItem) record(ctx context.Context) error {
	return i.r.write(ctx, func(tx *store.Tx) error {
		if err := i.advance(tx, i.result.State == wire.BulkFailed); err != nil {
			return err
		}
		return i.keep(tx)
	})
}

func (i *bulkItem) keep(tx *store.Tx) error {
	text, err := json.Marshal(i.result)
	if err != nil {
		return err
	}
	return tx.AddBulkResult(i.job, store.BulkResult{Item: i.at, Failed: i.result.State == wire.BulkFailed, Result: text})
}
