package races

import (
	"path/filepath"
	"testing"
	"time"

	"licet/internal/pgtest"
	"licet/internal/registry"
	"licet/wire"
)

// TestKillBulk kills the server that carries a job out, with SIGKILL: started again, or
// on another server of the same database, the job goes on by itself, and each item is
// done once.
func TestKillBulk(t *testing.T) {
	kills, items := long(1, 8), long(250, 2000)
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			first := &process{t: t, program: build(t), folder: filepath.Join(t.TempDir(), "central")}
			address := "sqlite:" + filepath.Join(first.folder, "licet.db")
			servers := []*process{first}
			if engine == "postgres" {
				address = pgtest.URL(t)
				first.database = address
			}
			first.set()
			b := openBook(t, open(t, address), first.secret())
			if engine == "postgres" {
				servers = append(servers, first.copyTo(filepath.Join(t.TempDir(), "central-1")))
			}
			for _, p := range servers {
				p.start()
				t.Cleanup(func() { p.kill() })
			}
			request := wire.BulkRequest[wire.OrderRequest]{}
			for range items { // with no number: each one that is carried out is an order of its own
				request.Items = append(request.Items, wire.OrderRequest{Customer: "Ada", Items: []wire.OrderItem{{Product: "CAD"}}})
			}
			job, err := first.central().StartBulk(t.Context(), wire.BulkOrders, request)
			must(t, err)
			look := func() wire.Bulk {
				t.Helper()
				job, err := b.Bulk(t.Context(), b.admin, job.ID)
				must(t, err)
				return job
			}
			for killed, seen := 0, int64(0); !look().Over(); {
				if now := look(); killed < kills && now.Done > seen+int64(items/(2*kills)) {
					for _, p := range servers { // one of them has it
						p.kill()
						p.start()
					}
					killed, seen = killed+1, now.Done
					t.Logf("killed at %d of %d", now.Done, now.Total)
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-t.Context().Done():
					return
				}
			}
			if job := look(); job.State != wire.BulkFinished || job.Done != int64(items) || job.Failed != 0 {
				t.Errorf("%+v", job)
			}
			orders, licenses := 0, 0
			for cursor := ""; ; {
				list, err := b.OrderHeads(t.Context(), b.admin, "", cursor, 200)
				must(t, err)
				for _, o := range list.Items {
					orders, licenses = orders+1, licenses+int(o.Licenses)
				}
				if cursor = list.Next; cursor == "" {
					break
				}
			}
			results := map[string]bool{}
			for cursor := ""; ; {
				list, err := b.BulkResults(t.Context(), registry.Actor{Kind: "staff", Scopes: []string{registry.ScopeRead}}, job.ID, wire.BulkDone, cursor, 200)
				must(t, err)
				for _, r := range list.Items {
					results[r.Order] = true
				}
				if cursor = list.Next; cursor == "" {
					break
				}
			}
			if orders != items || licenses != items || len(results) != items {
				t.Errorf("%d orders and %d licenses, named by %d results, of %d items", orders, licenses, len(results), items)
			}
			must(t, b.whole())
			_, err = servers[0].central().CancelBulk(t.Context(), job.ID)
			if err == nil {
				t.Error("a job that has ended can be canceled")
			}
		})
	}
}
