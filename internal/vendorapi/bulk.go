package vendorapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/wire"
)

// bulkRoutes is many operations at once.
func bulkRoutes(api huma.API, reg *registry.Registry) {
	startBulk(api, "orders", wire.BulkOrders, "Create or extend orders", "Each as createOrder does.", requested[wire.OrderRequest](reg))
	startBulk(api, "orders", "import", "Import a table of orders", "Rows with the same order number make one order. A bad row, with its order, is a result that failed; the other orders are made. Row is the line of the table.",
		func(ctx context.Context, a registry.Actor, _ string, in wire.BulkImport) (wire.Bulk, error) {
			return reg.ImportBulk(ctx, a, in)
		})
	startBulk(api, "orders", wire.BulkSubscriptions, "Create subscriptions", "Each as createSubscription does.", requested[wire.SubscriptionRequest](reg))
	startBulk(api, "orders", wire.BulkRenewals, "Tell that periods were paid", "Each as renewSubscription does.", requested[wire.BulkRenewal](reg))
	startBulk(api, "licenses", wire.BulkWithdraw, "Withdraw many licenses", "Each as withdrawLicense does.", decided[wire.BulkLicense](reg))
	startBulk(api, "licenses", wire.BulkReplace, "Replace many licenses", "Each as replaceLicense does.", decided[wire.BulkReplacement](reg))
	startBulk(api, "licenses", wire.BulkAssign, "Send many licenses to containers", "Each as assignLicense does.", decided[wire.BulkAssignment](reg))
	startBulk(api, "licenses", wire.BulkTakeBack, "Take back what is pending for many licenses", "Each as cancelPending does.", decided[wire.BulkLicense](reg))
	startBulk(api, "licenses", wire.BulkUnits, "Add units to many licenses", "Each as addUnits does.", decided[wire.BulkAddition](reg))
	startBulk(api, "containers", wire.BulkBlock, "Block many containers", "Each as blockContainer does.", decided[wire.BulkContainer](reg))
	startBulk(api, "containers", wire.BulkUnblock, "Unblock many containers", "Each as unblockContainer does.", decided[wire.BulkContainer](reg))
	startBulk(api, "containers", wire.BulkPush, "Make updates for many containers", "Each as pushUpdate does; the files are in the results.",
		func(ctx context.Context, a registry.Actor, kind string, in wire.BulkPushes) (wire.Bulk, error) {
			return registry.StartBulk(ctx, reg, a, kind, in.Items, "", false)
		})

	add(api, route{"GET", "/bulk", "read", "Bulk", "listBulk", "List jobs", "Newest first. A job is kept for 90 days after it has ended."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Bulk], error) {
			return reg.Bulks(ctx, a, in.Cursor, in.Limit)
		})
	jobRoute(api, route{"GET", "/bulk/{id}", "read", "Bulk", "getBulk", "Show a job", "How far it is. Until it has ended, Retry-After says when it is worth looking again."},
		func(ctx context.Context, a registry.Actor, in *IDPath) (wire.Bulk, error) {
			return reg.Bulk(ctx, a, in.ID)
		})
	add(api, route{"GET", "/bulk/{id}/results", "read", "Bulk", "listBulkResults", "List results of a job",
		"What came of each item that was looked at, in their order; also while it runs. Tickets of orders are shown with the scope `orders`."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Page
			State string `query:"state" enum:"done,failed" doc:"Only these."`
		}) (wire.List[wire.BulkResult], error) {
			return reg.BulkResults(ctx, a, in.ID, in.State, in.Cursor, in.Limit)
		})
	jobRoute(api, route{"POST", "/bulk/{id}/cancel", "read", "Bulk", "cancelBulk", "Cancel a job",
		"No item is begun any more. What was done stays done. Needs the scope of what the job does, too."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Key string `header:"Idempotency-Key" maxLength:"255" doc:"Chosen by the caller."`
		}) (wire.Bulk, error) {
			once := Creation[struct{}]{Key: in.Key}
			return reg.CancelBulk(once.asked(ctx, "POST", "/bulk/"+in.ID+"/cancel"), a, in.ID)
		})
}

// requested and decided make a job of the items of a body.
func requested[T any](reg *registry.Registry) func(context.Context, registry.Actor, string, wire.BulkRequest[T]) (wire.Bulk, error) {
	return func(ctx context.Context, a registry.Actor, kind string, in wire.BulkRequest[T]) (wire.Bulk, error) {
		return registry.StartBulk(ctx, reg, a, kind, in.Items, "", in.DryRun)
	}
}

func decided[T any](reg *registry.Registry) func(context.Context, registry.Actor, string, wire.BulkDecision[T]) (wire.Bulk, error) {
	return func(ctx context.Context, a registry.Actor, kind string, in wire.BulkDecision[T]) (wire.Bulk, error) {
		return registry.StartBulk(ctx, reg, a, kind, in.Items, in.Reason, in.DryRun)
	}
}

const bulkStart = "startBulk"

// startsBulk reports whether a route takes many items.
func (r route) startsBulk() bool { return strings.HasPrefix(r.id, bulkStart) }

// startBulk puts the route on the interface that takes items of a kind.
func startBulk[T any](api huma.API, scope, kind, summary, doc string, start func(context.Context, registry.Actor, string, T) (wire.Bulk, error)) {
	path := "/bulk/" + kind
	name := ""
	for word := range strings.SplitSeq(kind, "_") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	jobRoute(api, route{"POST", path, scope, "Bulk", bulkStart + name, summary,
		doc + " Answers at once with a job; items are carried out one after the other, each wholly or not at all. One that is refused does not keep the others."},
		func(ctx context.Context, a registry.Actor, in *Creation[T]) (wire.Bulk, error) {
			return start(in.asked(ctx, "POST", path), a, kind, in.Body)
		})
}

// job is an answer that says where to look, and when.
type job struct {
	Location   string `header:"Location" doc:"Of the job."`
	RetryAfter string `header:"Retry-After" doc:"In so many seconds it is worth looking again; absent once the job has ended."`
	Body       wire.Bulk
}

func jobRoute[In any](api huma.API, r route, do func(context.Context, registry.Actor, *In) (wire.Bulk, error)) {
	defer jsonOnly(api, r)
	huma.Register(api, operation(r), func(ctx context.Context, in *In) (*job, error) {
		out, err := do(ctx, actor(ctx), in)
		if err != nil {
			return nil, refused(ctx, err)
		}
		answer := &job{Body: out}
		if r.method != http.MethodGet {
			answer.Location = Prefix + "/bulk/" + out.ID
		}
		if out.PollWait > 0 {
			answer.RetryAfter = strconv.FormatInt(out.PollWait, 10)
		}
		return answer, nil
	})
}
