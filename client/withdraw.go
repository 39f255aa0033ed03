package client

import (
	"context"
	"net/http"
	"net/url"

	"licet/license"
	"licet/wire"
)

// Withdraw takes a license away for good.
func (c *Central) Withdraw(ctx context.Context, id license.ID, req wire.Decided) (wire.Ordered, error) {
	return send[wire.Ordered](ctx, c, http.MethodPost, licensePath(id, "withdraw"), req)
}

// WithdrawAll takes licenses away for good; the answer names those that it did
// not.
func (c *Central) WithdrawAll(ctx context.Context, req wire.Withdrawal) (wire.Ordered, error) {
	return send[wire.Ordered](ctx, c, http.MethodPost, "/licenses/withdraw", req)
}

// Replace puts another license in place of one.
func (c *Central) Replace(ctx context.Context, id license.ID, req wire.Replacement) (wire.Ordered, error) {
	return send[wire.Ordered](ctx, c, http.MethodPost, licensePath(id, "replace"), req)
}

// AddUnits adds units to the counter of a license.
func (c *Central) AddUnits(ctx context.Context, id license.ID, req wire.Addition) (wire.Ordered, error) {
	return send[wire.Ordered](ctx, c, http.MethodPost, licensePath(id, "units"), req)
}

// Assign sends a license to a container.
func (c *Central) Assign(ctx context.Context, id license.ID, req wire.Assignment) (wire.Ordered, error) {
	return send[wire.Ordered](ctx, c, http.MethodPost, licensePath(id, "assign"), req)
}

// CancelPending takes back what is pending for a license.
func (c *Central) CancelPending(ctx context.Context, id license.ID, reason string) (wire.License, error) {
	return send[wire.License](ctx, c, http.MethodPost, licensePath(id, "cancel"), wire.Reason{Reason: reason})
}

// DeclareLost ends the withdrawal of a license whose machine is gone.
func (c *Central) DeclareLost(ctx context.Context, id license.ID, reason string) (wire.License, error) {
	return send[wire.License](ctx, c, http.MethodPost, licensePath(id, "lost"), wire.Reason{Reason: reason})
}

// CancelOrder withdraws every license of an order.
func (c *Central) CancelOrder(ctx context.Context, number string, req wire.Decided) (wire.Ordered, error) {
	return send[wire.Ordered](ctx, c, http.MethodPost, "/orders/"+url.PathEscape(number)+"/cancel", req)
}

// Earmarks lists the vendor's orders that are pending, newest first.
func (c *Central) Earmarks(ctx context.Context, p Page) (wire.List[wire.Earmark], error) {
	return get[wire.List[wire.Earmark]](ctx, c, "/earmarks", p.query())
}

func licensePath(id license.ID, what string) string {
	return "/licenses/" + url.PathEscape(string(id)) + "/" + what
}
