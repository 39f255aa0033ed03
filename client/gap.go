package client

import (
	"context"
	"net/http"

	"licet/wire"
)

// Gap says what the server does not know since it was restored from a back-up.
func (c *Central) Gap(ctx context.Context) (wire.Gap, error) {
	return get[wire.Gap](ctx, c, "/gap", nil)
}

// HeldBack lists the licenses that are held back since.
func (c *Central) HeldBack(ctx context.Context, p Page) (wire.List[wire.License], error) {
	return get[wire.List[wire.License]](ctx, c, "/gap/licenses", p.query())
}

// Silent lists the containers that were not in contact since.
func (c *Central) Silent(ctx context.Context, p Page) (wire.List[wire.Container], error) {
	return get[wire.List[wire.Container]](ctx, c, "/gap/containers", p.query())
}

// Release gives out licenses again that are held back.
func (c *Central) Release(ctx context.Context, req wire.Release) (wire.Released, error) {
	return send[wire.Released](ctx, c, http.MethodPost, "/gap/release", req)
}

// CloseGap says that all is settled.
func (c *Central) CloseGap(ctx context.Context, reason string) (wire.Gap, error) {
	return send[wire.Gap](ctx, c, http.MethodPost, "/gap/close", wire.Reason{Reason: reason})
}
