package client

import (
	"context"
	"net/http"
	"net/url"

	"licet/wire"
)

// StartBulk asks for many operations of a kind, such as wire.BulkOrders, which the
// servers carry out. The request is the kind's: wire.BulkRequest or wire.BulkDecision
// over its items.
func (c *Central) StartBulk(ctx context.Context, kind string, request any) (wire.Bulk, error) {
	return send[wire.Bulk](ctx, c, http.MethodPost, "/bulk/"+url.PathEscape(kind), request)
}

// ImportBulk asks for the orders of a table.
func (c *Central) ImportBulk(ctx context.Context, req wire.BulkImport) (wire.Bulk, error) {
	return c.StartBulk(ctx, "import", req)
}

// Bulks lists jobs, newest first.
func (c *Central) Bulks(ctx context.Context, p Page) (wire.List[wire.Bulk], error) {
	return get[wire.List[wire.Bulk]](ctx, c, "/bulk", p.query())
}

// Bulk returns a job: how far it is.
func (c *Central) Bulk(ctx context.Context, id string) (wire.Bulk, error) {
	return get[wire.Bulk](ctx, c, "/bulk/"+url.PathEscape(id), nil)
}

// BulkResults lists what came of the items of a job: of those in one state, or of all
// with "".
func (c *Central) BulkResults(ctx context.Context, id, state string, p Page) (wire.List[wire.BulkResult], error) {
	q := p.query()
	if state != "" {
		q.Set("state", state)
	}
	return get[wire.List[wire.BulkResult]](ctx, c, "/bulk/"+url.PathEscape(id)+"/results", q)
}

// CancelBulk ends a job before its next item.
func (c *Central) CancelBulk(ctx context.Context, id string) (wire.Bulk, error) {
	return send[wire.Bulk](ctx, c, http.MethodPost, "/bulk/"+url.PathEscape(id)+"/cancel", nil)
}
