package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"licet/internal/registry"
	"licet/internal/store"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// bulkOrders are so many orders of one license each.
func bulkOrders(n int) (items []wire.OrderRequest) {
	for i := range n {
		items = append(items, wire.OrderRequest{Number: fmt.Sprintf("B-%05d", i+1), Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD"}}})
	}
	return items
}

func startOrders(b *book, items []wire.OrderRequest, dry bool) wire.Bulk {
	b.t.Helper()
	job, err := registry.StartBulk(context.Background(), b.Registry, b.admin, wire.BulkOrders, items, "", dry)
	must(b.t, err)
	return job
}

// finish carries out every job, and gives one as it is then.
func (b *book) finish(id string) wire.Bulk {
	b.t.Helper()
	for {
		did, err := b.WorkBulk(context.Background(), "one")
		must(b.t, err)
		if !did {
			break
		}
	}
	job, err := b.Bulk(context.Background(), b.admin, id)
	must(b.t, err)
	return job
}

// results is every result of a job.
func (b *book) results(id, state string) (all []wire.BulkResult) {
	b.t.Helper()
	cursor := ""
	for {
		list, err := b.BulkResults(context.Background(), b.admin, id, state, cursor, 37)
		must(b.t, err)
		all = append(all, list.Items...)
		if cursor = list.Next; cursor == "" {
			return all
		}
	}
}

// sold counts orders and licenses.
func (b *book) sold() (orders, licenses int) {
	b.t.Helper()
	cursor := ""
	for {
		list, err := b.Orders(context.Background(), b.admin, cursor, 200)
		must(b.t, err)
		for _, o := range list.Items {
			orders++
			licenses += len(o.Licenses)
		}
		if cursor = list.Next; cursor == "" {
			return orders, licenses
		}
	}
}

// TestBulkJob: many orders are one job: a bad row is named, with the code that it would
// have had alone, and the rest done. Each order has its ticket, for who may see it.
func TestBulkJob(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		items := bulkOrders(210)
		items[6].Items[0].Product = "NONE"
		items[7].Items[0].Quantity = 3
		job := startOrders(b, items, false)
		if job.State != wire.BulkQueued || job.Total != 210 || job.PollWait == 0 {
			t.Fatalf("%+v", job)
		}
		did, err := b.WorkBulk(t.Context(), "one")
		must(t, err)
		job, err = b.Bulk(t.Context(), b.admin, job.ID)
		must(t, err)
		if !did || job.State != wire.BulkRunning || job.Done != 199 || job.Failed != 1 {
			t.Fatalf("after one turn: %+v", job)
		}
		job = b.finish(job.ID)
		if job.State != wire.BulkFinished || job.Done != 209 || job.Failed != 1 || job.Ended == 0 || job.PollWait != 0 {
			t.Fatalf("%+v", job)
		}
		all := b.results(job.ID, "")
		if len(all) != 210 || len(b.results(job.ID, wire.BulkDone)) != 209 {
			t.Fatalf("%d results", len(all))
		}
		for i, r := range all {
			want := fmt.Sprintf("B-%05d", i+1)
			switch {
			case r.Row != int64(i+1) || r.Order != want || r.Customer != "Ada":
				t.Fatalf("%+v", r)
			case i == 6:
				if r.State != wire.BulkFailed || r.Code != refusal.ProductUnknown || !strings.Contains(r.Message, "NONE") || r.Hint == "" || r.Ticket != "" {
					t.Errorf("%+v", r)
				}
			case r.State != wire.BulkDone || !r.New || r.Added != max(int(items[i].Items[0].Quantity), 1) || r.Ticket == "":
				t.Fatalf("%+v", r)
			}
		}
		ticket, err := b.Ticket(t.Context(), b.admin, string(all[7].Ticket))
		must(t, err)
		if ticket.Number != "B-00008" || len(ticket.Licenses) != 3 {
			t.Errorf("%+v", ticket)
		}
		if bad := b.results(job.ID, wire.BulkFailed); len(bad) != 1 || bad[0].Row != 7 {
			t.Errorf("%+v", bad)
		}
		reader := registry.Actor{Kind: "staff", Name: "reader", Scopes: []string{registry.ScopeRead}}
		list, err := b.BulkResults(t.Context(), reader, job.ID, "", "", 1)
		must(t, err)
		if list.Items[0].Ticket != "" {
			t.Error("a ticket for who may not see it")
		}
		// What happened to each order names the job.
		h, err := b.History(t.Context(), b.admin, "order", "B-00001", "", 10)
		must(t, err)
		if h.Items[0].Request != job.ID {
			t.Errorf("%+v", h.Items[0])
		}
		orders, licenses := b.sold()
		if orders != 209 || licenses != 211 {
			t.Errorf("%d orders, %d licenses", orders, licenses)
		}
		_, err = b.CancelBulk(t.Context(), b.admin, job.ID)
		b.refuses(refusal.Conflict, err)
	})
}

// TestBulkGoesOnAfterAKill: a server that is killed between items, or that is so slow
// that another one goes on in its place, leaves nothing out and does nothing twice.
func TestBulkGoesOnAfterAKill(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		items := bulkOrders(40)
		for i := range items {
			items[i].Number = "" // each one carried out is an order of its own
		}
		job := startOrders(b, items, false)
		wake, err := b.WorkBulkAndDie(t.Context(), "killed", 10)
		must(t, err)
		if job := b.finish(job.ID); job.Done != 10 {
			t.Fatalf("another server took it at once: %+v", job)
		}
		b.now = b.now.Add(registry.BulkLease + time.Second)
		second, err := b.WorkBulkAndDie(t.Context(), "killed too", 5)
		must(t, err)
		must(t, wake(10)) // the first one was only slow
		if job, _ := b.Bulk(t.Context(), b.admin, job.ID); job.Done != 15 {
			t.Fatalf("two servers at once: %+v", job)
		}
		b.now = b.now.Add(registry.BulkLease + time.Second)
		if job = b.finish(job.ID); job.State != wire.BulkFinished || job.Done != 40 {
			t.Fatalf("%+v", job)
		}
		must(t, second(10))
		if orders, licenses := b.sold(); orders != 40 || licenses != 40 || len(b.results(job.ID, "")) != 40 {
			t.Errorf("%d orders, %d licenses", orders, licenses)
		}
	})
}

// TestBulkOnTwoServers: servers whose leases always seem to have ended fight for the
// jobs, and every item is done once all the same.
func TestBulkOnTwoServers(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		var lock sync.Mutex
		b.cfg.Now = func() time.Time {
			lock.Lock()
			defer lock.Unlock()
			b.now = b.now.Add(registry.BulkLease / 2)
			return b.now
		}
		items := bulkOrders(30)
		for i := range items {
			items[i].Number = ""
		}
		jobs := []wire.Bulk{startOrders(b, items, false), startOrders(b, items, false)}
		var servers sync.WaitGroup
		for i := range 2 {
			r, err := b.another()
			must(t, err)
			servers.Go(func() {
				for n := 0; n < 2000; n++ {
					if _, err := r.WorkBulk(context.Background(), fmt.Sprint(i)); err != nil {
						t.Error(err)
						return
					}
					open := false
					for _, j := range jobs {
						j, err := r.Bulk(context.Background(), b.admin, j.ID)
						if err != nil {
							t.Error(err)
							return
						}
						open = open || !j.Over()
					}
					if !open {
						return
					}
				}
				t.Error("the jobs do not end")
			})
		}
		servers.Wait()
		for _, j := range jobs {
			if all := b.results(j.ID, wire.BulkDone); len(all) != 30 {
				t.Errorf("%d results", len(all))
			}
		}
		if orders, licenses := b.sold(); orders != 60 || licenses != 60 {
			t.Errorf("%d orders, %d licenses", orders, licenses)
		}
	})
}

// TestBulkCanceled: no item is begun after a job was canceled, not even by a server
// that has it.
func TestBulkCanceled(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		job := startOrders(b, bulkOrders(20), false)
		wake, err := b.WorkBulkAndDie(t.Context(), "one", 7)
		must(t, err)
		licenses := registry.Actor{Kind: "staff", Name: "x", Scopes: []string{registry.ScopeRead, registry.ScopeLicenses}}
		_, err = b.CancelBulk(t.Context(), licenses, job.ID)
		b.refuses(refusal.Forbidden, err)
		job, err = b.CancelBulk(t.Context(), b.admin, job.ID)
		must(t, err)
		must(t, wake(5))
		job = b.finish(job.ID)
		if job.State != wire.BulkCanceled || job.Done != 7 {
			t.Errorf("%+v", job)
		}
		if orders, _ := b.sold(); orders != 7 {
			t.Errorf("%d orders", orders)
		}
	})
}

// TestBulkDryRun says for each item what would come of it, and changes nothing.
func TestBulkDryRun(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		_, ids := b.bought("CAD")
		items := bulkOrders(3)
		items[1].Items[0].Product = "NONE"
		items[2].Number = ""
		before, _ := b.sold()
		job := b.finish(startOrders(b, items, true).ID)
		all := b.results(job.ID, "")
		if job.State != wire.BulkFinished || job.Done != 2 || job.Failed != 1 || all[0].Added != 1 || all[0].Ticket != "" || all[1].Code != refusal.ProductUnknown || all[2].Order != "" {
			t.Errorf("%+v %+v", job, all)
		}
		w, err := registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkReplace, []wire.BulkReplacement{{License: ids["CAD"], With: "CAD"}}, "r", true)
		must(t, err)
		b.finish(w.ID)
		if r := b.results(w.ID, "")[0]; r.State != wire.BulkDone || r.When != wire.Now || r.With != "" {
			t.Errorf("%+v", r)
		}
		b.is(ids["CAD"], license.NotCollected, 1)
		if orders, _ := b.sold(); orders != before {
			t.Errorf("%d orders, %d before", orders, before)
		}
	})
}

// TestBulkDecisions: every kind does what its own call does, in its own words.
func TestBulkDecisions(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tick, ids := b.bought("CAD")
		x := b.activated(tick)
		serial := x.keys.Serial()
		run := func(job wire.Bulk, err error) wire.BulkResult {
			t.Helper()
			must(t, err)
			b.finish(job.ID)
			return b.results(job.ID, "")[0]
		}
		one := []wire.BulkLicense{{License: ids["CAD"]}}
		if r := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkWithdraw, one, "r", false)); r.When != wire.NextContact || r.Container != serial {
			t.Errorf("withdraw: %+v", r)
		}
		if r := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkWithdraw, one, "r", false)); r.State != wire.BulkFailed || r.Code != refusal.LicenseWithdrawn {
			t.Errorf("withdraw again: %+v", r)
		}
		if r := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkTakeBack, one, "r", false)); r.State != wire.BulkDone || r.License != ids["CAD"] {
			t.Errorf("take back: %+v", r)
		}
		boxes := []wire.BulkContainer{{Container: serial}, {Container: "none"}}
		push := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkPush, boxes, "", false))
		if push.Update == "" || push.Container != serial {
			t.Errorf("push: %+v", push)
		}
		if r := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkBlock, boxes, "stolen", false)); r.State != wire.BulkDone || r.Container != serial {
			t.Errorf("block: %+v", r)
		}
		if c, err := b.Container(t.Context(), b.admin, serial); err != nil || c.Blocked == nil {
			t.Errorf("%+v %v", c, err)
		}
		if r := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkUnblock, boxes, "found", false)); r.State != wire.BulkDone {
			t.Errorf("unblock: %+v", r)
		}
		_, err := registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkBlock, boxes, " ", false)
		b.refuses(refusal.InvalidInput, err)
		if r := run(registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkReplace, []wire.BulkReplacement{{License: ids["CAD"], With: "CAD"}}, "r", false)); r.With == "" || r.When != wire.NextContact {
			t.Errorf("replace: %+v", r)
		}
	})
}

// TestBulkSubscriptions: a month of payments is one job, and a payment that was told
// before adds nothing.
func TestBulkSubscriptions(t *testing.T) {
	rented(t, func(t *testing.T, b *book) {
		job, err := registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkSubscriptions, []wire.SubscriptionRequest{
			{Number: "S-1", Customer: "Ada", Product: "ABO", Period: "monthly", Lead: "outside"}, {Number: "S-2", Customer: "Bob", Product: "NONE", Period: "monthly"}}, "", false)
		must(t, err)
		if job = b.finish(job.ID); job.Done != 1 || job.Failed != 1 {
			t.Fatalf("%+v", job)
		}
		r := b.results(job.ID, "")[0]
		if r.Subscription == "" || !r.New || r.Ticket == "" || r.Ends == 0 {
			t.Errorf("%+v", r)
		}
		paid := []wire.BulkRenewal{{Subscription: "S-1", Reference: "INV-1"}, {Subscription: "S-1", Reference: "INV-1"}, {Subscription: "S-9"}}
		job, err = registry.StartBulk(t.Context(), b.Registry, b.admin, wire.BulkRenewals, paid, "", false)
		must(t, err)
		b.finish(job.ID)
		all := b.results(job.ID, "")
		if !all[0].Changed || all[1].Changed || all[1].State != wire.BulkDone || all[2].Code != refusal.NotFound || all[0].Ends <= r.Ends {
			t.Errorf("%+v", all)
		}
	})
}

// TestBulkImport: a table is a job; a bad row, with its order, is named by its line.
func TestBulkImport(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		job, err := b.ImportBulk(t.Context(), b.admin, wire.BulkImport{CSV: "order,customer,product,quantity\n1,Ada,CAD,2\n2,Bob,CAD,none\n3,Eve,NONE,1\n1,Ada,CAD,1\n"})
		must(t, err)
		job = b.finish(job.ID)
		var got []string
		for _, r := range b.results(job.ID, "") {
			got = append(got, fmt.Sprintf("%d %s %s %s %d", r.Row, r.Order, r.State, r.Code, r.Added))
		}
		want := "[2 1 done  3 3 2 failed invalid_input 0 4 3 failed product_unknown 0]"
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
		_, err = b.ImportBulk(t.Context(), b.admin, wire.BulkImport{CSV: "nothing"})
		b.refuses(refusal.InvalidInput, err)
	})
}

// TestBulkIsRepeatable: the same call with the same key is the same job.
func TestBulkIsRepeatable(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		ctx := registry.WithOnce(t.Context(), registry.Once{Key: "k"})
		first, err := registry.StartBulk(ctx, b.Registry, b.admin, wire.BulkOrders, bulkOrders(2), "", false)
		must(t, err)
		b.finish(first.ID)
		again, err := registry.StartBulk(ctx, b.Registry, b.admin, wire.BulkOrders, bulkOrders(2), "", false)
		must(t, err)
		list, err := b.Bulks(t.Context(), b.admin, "", 10)
		must(t, err)
		if again.ID != first.ID || len(list.Items) != 1 {
			t.Errorf("%+v %+v", again, list)
		}
	})
}

// TestBulkTakesTurns: a job that comes later does not wait for the end of a large one.
func TestBulkTakesTurns(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		large := startOrders(b, bulkOrders(401), false)
		b.now = b.now.Add(time.Millisecond)
		small := startOrders(b, []wire.OrderRequest{{Number: "small", Customer: "Bob", Items: []wire.OrderItem{{Product: "CAD"}}}}, false)
		for range 2 {
			b.now = b.now.Add(time.Millisecond)
			_, err := b.WorkBulk(t.Context(), "one")
			must(t, err)
		}
		l, err := b.Bulk(t.Context(), b.admin, large.ID)
		must(t, err)
		s, err := b.Bulk(t.Context(), b.admin, small.ID)
		must(t, err)
		if l.State != wire.BulkRunning || s.State != wire.BulkFinished {
			t.Errorf("%+v %+v", l, s)
		}
	})
}

// TestBulkOfARevokedToken: what was asked for with a token ends with it.
func TestBulkOfARevokedToken(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		tok, err := b.CreateToken(t.Context(), b.admin, wire.TokenRequest{Name: "thief", Scopes: []string{registry.ScopeOrders}}, registry.Once{})
		must(t, err)
		thief, err := b.Authenticate(t.Context(), tok.Secret)
		must(t, err)
		job, err := registry.StartBulk(t.Context(), b.Registry, thief, wire.BulkOrders, bulkOrders(201), "", false)
		must(t, err)
		_, err = registry.StartBulk(t.Context(), b.Registry, thief, wire.BulkBlock, []wire.BulkContainer{{Container: "x"}}, "r", false)
		b.refuses(refusal.Forbidden, err)
		_, err = b.WorkBulk(t.Context(), "one")
		must(t, err)
		_, err = b.RevokeToken(t.Context(), b.admin, tok.ID)
		must(t, err)
		if job = b.finish(job.ID); job.State != wire.BulkCanceled || job.Done != 200 {
			t.Errorf("%+v", job)
		}
	})
}

// TestBulkWaits: what no item would get past keeps a job waiting, and none of its items
// fails for it.
func TestBulkWaits(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		rename := func(from, to string) {
			t.Helper()
			must(t, b.db.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec("alter table " + from + " rename to " + to)
				return err
			}))
		}
		job := startOrders(b, bulkOrders(3), false)
		rename("orders", "orders_away")
		_, err := b.WorkBulk(t.Context(), "one")
		if _, refused := refusal.As(err); err == nil || refused {
			t.Fatalf("a fault is not told: %v", err)
		}
		rename("orders_away", "orders")
		if job = b.finish(job.ID); job.State != wire.BulkRunning || job.Waits != refusal.Internal || job.Failed != 0 || job.Done != 0 || job.PollWait < 2 {
			t.Fatalf("%+v", job)
		}
		b.now = b.now.Add(time.Minute)
		if job = b.finish(job.ID); job.State != wire.BulkFinished || job.Done != 3 || job.Waits != "" {
			t.Errorf("%+v", job)
		}
	})
}

// TestBulkAfterABackup: a server that was restored from a back-up does not go on with
// jobs of which it does not know how far they came.
func TestBulkAfterABackup(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		job := startOrders(b, bulkOrders(5), false)
		b.now = b.now.Add(time.Minute)
		_, err := b.OpenGap(t.Context(), registry.System, 0, "the disk was put back")
		must(t, err)
		if job = b.finish(job.ID); job.State != wire.BulkCanceled || job.Done != 0 {
			t.Errorf("%+v", job)
		}
	})
}

// TestBulkIsForgotten: jobs are kept for a while after their end, with their results.
func TestBulkIsForgotten(t *testing.T) {
	stage(t, func(t *testing.T, b *book) {
		old := b.finish(startOrders(b, bulkOrders(3), false).ID)
		b.now = b.now.Add(registry.BulkKept - time.Hour)
		fresh := b.finish(startOrders(b, bulkOrders(3), false).ID)
		for n, more := 0, true; more; n++ {
			var err error
			more, err = b.ForgetBulks(t.Context())
			must(t, err)
			if n == 0 && more {
				t.Error("forgotten too early")
			}
		}
		b.now = b.now.Add(2 * time.Hour)
		for more := true; more; {
			var err error
			more, err = b.ForgetBulks(t.Context())
			must(t, err)
		}
		list, err := b.Bulks(t.Context(), b.admin, "", 10)
		must(t, err)
		if len(list.Items) != 1 || list.Items[0].ID != fresh.ID || len(b.results(fresh.ID, "")) != 3 {
			t.Errorf("%+v", list)
		}
		_, err = b.Bulk(t.Context(), b.admin, old.ID)
		b.refuses(refusal.NotFound, err)
	})
}

// TestBulkMemory: while a large job is carried out, only a few of its items are in
// memory; LICET_TEST_LONG=1 has ten thousand.
func TestBulkMemory(t *testing.T) {
	n := 250
	if os.Getenv("LICET_TEST_LONG") == "1" {
		n = 10_000
	}
	db, err := store.Open(t.Context(), "sqlite:"+t.TempDir()+"/licet.db")
	must(t, err)
	defer db.Close()
	b := newBook(t, db)
	items := bulkOrders(n)
	for i := range items { // a large request each
		items[i].Customer = strings.Repeat("x", 200)
		items[i].Items = append(items[i].Items, make([]wire.OrderItem, 20)...)
		for k := range items[i].Items {
			items[i].Items[k] = wire.OrderItem{Product: "CAD", Override: []string{fmt.Sprintf("valid_from=20%02d-01-01", 10+k)}}
		}
		items[i].Items = items[i].Items[:1+i%2]
	}
	text, err := json.Marshal(items)
	must(t, err)
	job := startOrders(b, items, false)
	items = nil
	size := len(text)
	text = nil
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	first, most := heap(), int64(0)
	begin := time.Now()
	for {
		did, err := b.WorkBulk(t.Context(), "one")
		must(t, err)
		if !did {
			break
		}
		most = max(most, heap())
	}
	job, err = b.Bulk(t.Context(), b.admin, job.ID)
	must(t, err)
	t.Logf("%d items of %d bytes in %s; %d KiB more in memory at most", n, size, time.Since(begin).Round(time.Millisecond), (most-first)>>10)
	if job.State != wire.BulkFinished || job.Failed != 0 || most-first > 8<<20 {
		t.Errorf("%+v, %d KiB more", job, (most-first)>>10)
	}
}
