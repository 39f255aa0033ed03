package vendorapi

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/wire"
)

// gapRoutes is what staff see and decide after the server was restored from a
// back-up.
func gapRoutes(api huma.API, reg *registry.Registry) {
	add(api, route{"GET", "/gap", "read", "Gap", "getGap", "Show what is not known since a restore",
		"After the server was restored from a back-up: how many licenses are held back, because somebody may have got them in between, and how many containers have not been in contact since."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.Gap, error) {
			return reg.Gap(ctx, a)
		})
	add(api, route{"GET", "/gap/licenses", "read", "Gap", "listHeldBack", "List the licenses that are held back", "By id."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.License], error) {
			return reg.HeldBack(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/gap/containers", "read", "Gap", "listSilent", "List the containers that were not in contact since", "By serial."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Container], error) {
			return reg.Silent(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"POST", "/gap/release", "licenses", "Gap", "releaseHeldBack", "Release licenses that are held back",
		"They can be activated again, in their next generation: a copy that somebody got in between counts no more, and goes when it shows."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.Release]) (wire.Released, error) {
			return reg.Release(in.asked(ctx, "POST", "/gap/release"), a, in.Body)
		})
	add(api, route{"POST", "/gap/close", "licenses", "Gap", "closeGap", "Say that all is settled",
		"Refused while licenses are held back. From then on new containers are served at once."},
		func(ctx context.Context, a registry.Actor, in *body[wire.Reason]) (wire.Gap, error) {
			return reg.CloseGap(ctx, a, in.Body.Reason)
		})
}
