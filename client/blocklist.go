package client

import (
	"context"
	"net/http"
	"net/url"

	"licet/license"
	"licet/wire"
)

// BlockContainer closes a container, such as a stolen one.
func (c *Central) BlockContainer(ctx context.Context, serial license.Serial, reason string) (wire.Container, error) {
	return send[wire.Container](ctx, c, http.MethodPost, containerPath(serial, "block"), wire.Reason{Reason: reason})
}

// UnblockContainer opens a container again.
func (c *Central) UnblockContainer(ctx context.Context, serial license.Serial, reason string) (wire.Container, error) {
	return send[wire.Container](ctx, c, http.MethodPost, containerPath(serial, "unblock"), wire.Reason{Reason: reason})
}

// Push makes an update file for a container without a request of it.
func (c *Central) Push(ctx context.Context, serial license.Serial) ([]byte, error) {
	return c.do(ctx, call{method: http.MethodPost, base: c.base, path: apiPath + containerPath(serial, "push"), media: wire.MediaFile, header: c.header()})
}

// Blocked lists what is on the block list, newest first.
func (c *Central) Blocked(ctx context.Context, p Page) (wire.List[wire.Block], error) {
	return get[wire.List[wire.Block]](ctx, c, "/blocklist", p.query())
}

// Settings returns the vendor's settings.
func (c *Central) Settings(ctx context.Context) (wire.Settings, error) {
	return get[wire.Settings](ctx, c, "/settings", nil)
}

// ChangeSettings stores the vendor's settings.
func (c *Central) ChangeSettings(ctx context.Context, s wire.Settings) (wire.Settings, error) {
	return send[wire.Settings](ctx, c, http.MethodPut, "/settings", s)
}

func containerPath(serial license.Serial, what string) string {
	return "/containers/" + url.PathEscape(string(serial)) + "/" + what
}
