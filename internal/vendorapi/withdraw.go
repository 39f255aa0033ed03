package vendorapi

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/license"
	"licet/refusal"
	"licet/wire"
)

// withdrawRoutes is what staff decide about licenses and orders.
func withdrawRoutes(api huma.API, reg *registry.Registry) {
	add(api, route{"POST", "/licenses/withdraw", "licenses", "Licenses", "withdrawLicenses", "Withdraw several licenses",
		"Each goes for good: at once if it is with the vendor, at its container's next contact otherwise. Those that may not go are named in refused; the others go."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.Withdrawal]) (wire.Ordered, error) {
			return reg.Withdraw(in.asked(ctx, "POST", "/licenses/withdraw"), a, in.Body.Licenses, in.Body.Reason, in.Body.DryRun)
		})
	add(api, route{"POST", "/licenses/{id}/withdraw", "licenses", "Licenses", "withdrawLicense", "Withdraw a license",
		"It goes for good: at once if it is with the vendor, at its container's next contact otherwise."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.Decided]
		}) (wire.Ordered, error) {
			return only(reg.Withdraw(in.asked(ctx, "POST", "/licenses/"+in.ID+"/withdraw"), a, []license.ID{license.ID(in.ID)}, in.Body.Reason, in.Body.DryRun))
		})
	add(api, route{"POST", "/licenses/{id}/replace", "licenses", "Licenses", "replaceLicense", "Replace a license",
		"A new license on the same ticket takes its place: at once if it is with the vendor; otherwise both change in one step at the next contact."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.Replacement]
		}) (wire.Ordered, error) {
			return reg.Replace(in.asked(ctx, "POST", "/licenses/"+in.ID+"/replace"), a, license.ID(in.ID), in.Body.With, in.Body.Reason, in.Body.DryRun)
		})
	add(api, route{"POST", "/licenses/{id}/units", "licenses", "Licenses", "addUnits", "Add units to a license",
		"At once if it is with the vendor; otherwise its container gets them at its next contact. What is used stays used."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.Addition]
		}) (wire.Ordered, error) {
			return reg.AddUnits(in.asked(ctx, "POST", "/licenses/"+in.ID+"/units"), a, license.ID(in.ID), in.Body.Units, in.Body.Reason, in.Body.DryRun)
		})
	add(api, route{"POST", "/licenses/{id}/assign", "licenses", "Licenses", "assignLicense", "Send a license to a container",
		"The container gets it at its next contact, with no ticket; until then nobody else gets it."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.Assignment]
		}) (wire.Ordered, error) {
			return reg.Assign(in.asked(ctx, "POST", "/licenses/"+in.ID+"/assign"), a, license.ID(in.ID), in.Body.Container, in.Body.Reason, in.Body.DryRun)
		})
	add(api, route{"POST", "/licenses/{id}/cancel", "licenses", "Licenses", "cancelPending", "Take back what is pending for a license",
		"As long as no update that carries it was issued."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.Reason]
		}) (wire.License, error) {
			return reg.CancelPending(in.asked(ctx, "POST", "/licenses/"+in.ID+"/cancel"), a, license.ID(in.ID), in.Body.Reason)
		})
	add(api, route{"POST", "/licenses/{id}/lost", "licenses", "Licenses", "declareLost", "Close a withdrawal whose machine is gone",
		"The copy can no longer be proven to be removed: the license is gone, and the block list names the copy."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Creation[wire.Reason]
		}) (wire.License, error) {
			return reg.DeclareLost(in.asked(ctx, "POST", "/licenses/"+in.ID+"/lost"), a, license.ID(in.ID), in.Body.Reason)
		})
	add(api, route{"POST", "/orders/{number}/cancel", "licenses", "Orders", "cancelOrder", "Cancel an order",
		"Withdraws every license of it that is not gone yet. Those that may not go are named in refused."},
		func(ctx context.Context, a registry.Actor, in *struct {
			OrderPath
			Creation[wire.Decided]
		}) (wire.Ordered, error) {
			return reg.CancelOrder(in.asked(ctx, "POST", "/orders/"+in.Number+"/cancel"), a, in.Number, in.Body.Reason, in.Body.DryRun)
		})
	add(api, route{"GET", "/earmarks", "read", "Licenses", "listEarmarks", "List what is pending",
		"Every order of the vendor that waits for a container's next contact, or for the proof that it was carried out; newest first."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Earmark], error) {
			return reg.Earmarks(ctx, a, in.Cursor, in.Limit)
		})
}

// asked is ctx for a decision that a repeated call must not make twice.
func (c *Creation[T]) asked(ctx context.Context, method, path string) context.Context {
	return registry.WithOnce(ctx, c.once(method, path))
}

// only makes the refusal of the one license that was asked about an error.
func only(out wire.Ordered, err error) (wire.Ordered, error) {
	if err != nil || len(out.Refused) == 0 {
		return out, err
	}
	no := out.Refused[0]
	return out, &refusal.Refusal{Code: no.Code, Message: no.Message, Hint: no.Hint, Details: no.Details}
}
