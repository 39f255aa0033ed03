package vendorapi

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/license"
	"licet/wire"
)

// blockListRoutes is what staff decide about containers, and how often they call.
func blockListRoutes(api huma.API, reg *registry.Registry) {
	add(api, route{"POST", "/containers/{serial}/block", "containers", "Containers", "blockContainer", "Block a container",
		"Nothing in it may be used any more: from its next contact on, or from when the block list reaches it."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SerialPath
			Creation[wire.Reason]
		}) (wire.Container, error) {
			return reg.BlockContainer(in.asked(ctx, "POST", "/containers/"+in.Serial+"/block"), a, license.Serial(in.Serial), in.Body.Reason)
		})
	add(api, route{"POST", "/containers/{serial}/unblock", "containers", "Containers", "unblockContainer", "Unblock a container", "From its next contact on."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SerialPath
			Creation[wire.Reason]
		}) (wire.Container, error) {
			return reg.UnblockContainer(in.asked(ctx, "POST", "/containers/"+in.Serial+"/unblock"), a, license.Serial(in.Serial), in.Body.Reason)
		})
	pushRoute(api, reg)
	add(api, route{"GET", "/blocklist", "read", "Containers", "listBlocked", "List what is blocked",
		"Lost copies of licenses, and containers; newest first. Machines get it signed from /gateway/v1/blocklist."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Block], error) {
			return reg.Blocked(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/settings", "read", "Settings", "getSettings", "Show the settings", ""},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.Settings, error) {
			return reg.Settings(ctx, a)
		})
	add(api, route{"PUT", "/settings", "containers", "Settings", "changeSettings", "Change the settings", "Machines learn of them with their next update."},
		func(ctx context.Context, a registry.Actor, in *body[wire.Settings]) (wire.Settings, error) {
			return reg.ChangeSettings(ctx, a, in.Body)
		})
}

// file is an answer that is a file or, for who takes no files, JSON.
type file struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// pushRoute answers an update file.
func pushRoute(api huma.API, reg *registry.Registry) {
	op := operation(route{"POST", "/containers/{serial}/push", "containers", "Containers", "pushUpdate", "Make an update without a request",
		"The file carries what is on its way to the container and what is pending for it. Where Accept names " + wire.MediaFile + " it is answered as it is, otherwise in JSON."})
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[wire.UpdateFile](), true, "")
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema},
		wire.MediaFile:     {Schema: &huma.Schema{Type: huma.TypeString}},
	}}}
	huma.Register(api, op, func(ctx context.Context, in *struct {
		SerialPath
		Accept string `header:"Accept" maxLength:"1000" doc:"What the caller takes."`
	}) (*file, error) {
		update, err := reg.Push(ctx, actor(ctx), license.Serial(in.Serial))
		if err != nil {
			return nil, refused(ctx, err)
		}
		if strings.Contains(in.Accept, wire.MediaFile) {
			return &file{wire.MediaFile, update}, nil
		}
		text, err := json.Marshal(wire.UpdateFile{File: string(update)})
		if err != nil {
			return nil, refused(ctx, err)
		}
		return &file{"application/json", text}, nil
	})
}
