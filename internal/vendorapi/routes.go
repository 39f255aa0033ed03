package vendorapi

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
	"licet/license"
	"licet/wire"
)

// The most that a body may have.
const (
	maxBody    = 1 << 20
	maxCatalog = 9 << 20 // 4 MiB of YAML, written as a JSON string
	maxBulk    = 16 << 20
)

// routes is every operation, in reading order. Scope is what its description
// says; the registry checks it.
func routes(api huma.API, reg *registry.Registry) {
	add(api, route{"PUT", "/catalog", "catalog", "Catalog", "applyCatalog", "Apply a catalog file",
		"Creates and changes categories, products and bundles; what the file does not name stays. The same file again changes nothing."},
		func(ctx context.Context, a registry.Actor, in *body[wire.CatalogRequest]) (wire.CatalogResult, error) {
			return reg.ApplyCatalog(ctx, a, in.Body)
		})
	add(api, route{"GET", "/products", "read", "Catalog", "listProducts", "List products", "Every default filled in."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.List[license.Product], error) {
			products, err := reg.Products(ctx, a)
			return wire.List[license.Product]{Items: append([]license.Product{}, products...)}, err
		})
	add(api, route{"GET", "/products/{code}", "read", "Catalog", "getProduct", "Show a product", ""},
		func(ctx context.Context, a registry.Actor, in *struct {
			Code string `path:"code" maxLength:"200" doc:"Product code."`
		}) (license.Product, error) {
			return reg.Product(ctx, a, in.Code)
		})
	add(api, route{"GET", "/bundles", "read", "Catalog", "listBundles", "List bundles", "Articles that stand for licenses of several products."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.List[license.Bundle], error) {
			bundles, err := reg.Bundles(ctx, a)
			return wire.List[license.Bundle]{Items: append([]license.Bundle{}, bundles...)}, err
		})

	add(api, route{"POST", "/orders", "orders", "Orders", "createOrder", "Create or extend an order",
		"Sending an order number again states its totals: what is there already is not added twice."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.OrderRequest]) (wire.Order, error) {
			return reg.CreateOrder(ctx, a, in.Body, in.once("POST", "/orders"))
		})
	add(api, route{"GET", "/orders", "read", "Orders", "listOrders", "List orders", "Newest first."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Order], error) {
			return reg.Orders(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/orders/{number}", "read", "Orders", "getOrder", "Show an order", ""},
		func(ctx context.Context, a registry.Actor, in *OrderPath) (wire.Order, error) {
			return reg.Order(ctx, a, in.Number)
		})
	add(api, route{"GET", "/orders/{number}/history", "read", "Orders", "getOrderHistory", "History of an order", "Oldest first, with who and why."},
		func(ctx context.Context, a registry.Actor, in *struct {
			OrderPath
			Page
		}) (wire.List[wire.Event], error) {
			return reg.History(ctx, a, "order", in.Number, in.Cursor, in.Limit)
		})
	add(api, route{"POST", "/tickets/lookup", "read", "Orders", "lookupTicket", "Show a ticket",
		"The ticket travels in the body, because addresses end up in logs."},
		func(ctx context.Context, a registry.Actor, in *body[wire.TicketQuery]) (wire.Ticket, error) {
			return reg.Ticket(ctx, a, in.Body.Ticket)
		}, lookUp(reg))

	add(api, route{"GET", "/licenses", "read", "Licenses", "listLicenses", "List licenses", "Newest first."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.License], error) {
			return reg.Licenses(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/licenses/{id}", "read", "Licenses", "getLicense", "Show a license", "Where it is, what waits for it, and what can be done."},
		func(ctx context.Context, a registry.Actor, in *IDPath) (wire.License, error) {
			return reg.License(ctx, a, license.ID(in.ID))
		})
	add(api, route{"GET", "/licenses/{id}/history", "read", "Licenses", "getLicenseHistory", "History of a license", "Oldest first, with who and why."},
		func(ctx context.Context, a registry.Actor, in *struct {
			IDPath
			Page
		}) (wire.List[wire.Event], error) {
			return reg.History(ctx, a, "license", in.ID, in.Cursor, in.Limit)
		})

	add(api, route{"GET", "/containers", "read", "Containers", "listContainers", "List containers", "By serial."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Container], error) {
			return reg.Containers(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/containers/{serial}", "read", "Containers", "getContainer", "Show a container", "What it holds, what waits for it, and whether it contradicts the record."},
		func(ctx context.Context, a registry.Actor, in *SerialPath) (wire.Container, error) {
			return reg.Container(ctx, a, license.Serial(in.Serial))
		})
	add(api, route{"GET", "/containers/{serial}/history", "read", "Containers", "getContainerHistory", "History of a container", "Oldest first, with who and why."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SerialPath
			Page
		}) (wire.List[wire.Event], error) {
			return reg.History(ctx, a, "container", in.Serial, in.Cursor, in.Limit)
		})
	add(api, route{"POST", "/containers/{serial}/accept", "containers", "Containers", "acceptContainer", "Accept a flagged container",
		"Takes what the container reported as true, and sends it again what came later."},
		func(ctx context.Context, a registry.Actor, in *struct {
			SerialPath
			Body wire.Reason
		}) (wire.Container, error) {
			return reg.AcceptContainer(ctx, a, license.Serial(in.Serial), in.Body.Reason)
		})
	add(api, route{"GET", "/reports/licenses", "read", "Licenses", "reportLicenses", "Count the licenses",
		"By product and by month, with what somebody should look at. Every license is read for it, so it is kept for a minute."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.LicenseReport, error) {
			return reg.LicenseReport(ctx, a)
		})
	subscriptionRoutes(api, reg)
	withdrawRoutes(api, reg)
	recoveryRoutes(api, reg)
	blockListRoutes(api, reg)
	webhookRoutes(api, reg)
	gapRoutes(api, reg)
	bulkRoutes(api, reg)

	add(api, route{"GET", "/audit", "audit", "Audit", "listAudit", "List the trail", "Oldest first."},
		func(ctx context.Context, a registry.Actor, in *Page) (wire.List[wire.Event], error) {
			return reg.Audit(ctx, a, in.Cursor, in.Limit)
		})
	add(api, route{"GET", "/audit/verify", "audit", "Audit", "verifyAudit", "Prove the trail",
		"Checks every event against the signed log; what does not prove is named."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.AuditReport, error) {
			return reg.VerifyAudit(ctx, a)
		})

	add(api, route{"POST", "/tokens", "tokens", "Tokens", "createToken", "Create a token", "The secret is in this answer only."},
		func(ctx context.Context, a registry.Actor, in *Creation[wire.TokenRequest]) (wire.Token, error) {
			return reg.CreateToken(ctx, a, in.Body, in.once("POST", "/tokens"))
		})
	add(api, route{"GET", "/tokens", "tokens", "Tokens", "listTokens", "List tokens", "Never their secrets."},
		func(ctx context.Context, a registry.Actor, _ *struct{}) (wire.List[wire.Token], error) {
			return reg.Tokens(ctx, a)
		})
	add(api, route{"DELETE", "/tokens/{id}", "tokens", "Tokens", "revokeToken", "Revoke a token", "At once and for good; it stays in the list."},
		func(ctx context.Context, a registry.Actor, in *IDPath) (wire.Token, error) {
			return reg.RevokeToken(ctx, a, in.ID)
		})
}

// Page is the part of a list that is asked for. It and the paths below are
// exported because huma reads embedded structs only then.
type Page struct {
	Cursor string `query:"cursor" maxLength:"500" doc:"next of the page before; absent for the first."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at most."`
}

// OrderPath names an order.
type OrderPath struct {
	Number string `path:"number" maxLength:"200" doc:"Order number."`
}

// IDPath names a license, a token or a webhook.
type IDPath struct {
	ID string `path:"id" maxLength:"200" doc:"Its id."`
}

// SerialPath names a container.
type SerialPath struct {
	Serial string `path:"serial" maxLength:"200" doc:"Serial of the container."`
}

// body is a call with a JSON body.
type body[T any] struct{ Body T }

// Creation is a call with a JSON body that creates something, and may be
// repeated.
type Creation[T any] struct {
	Key     string `header:"Idempotency-Key" maxLength:"255" doc:"Chosen by the caller, such as a random text; the same key with the same request gets the first answer again."`
	RawBody []byte
	Body    T
}

// once binds the key to the request's method, path and bytes.
func (c *Creation[T]) once(method, path string) registry.Once {
	if c.Key == "" {
		return registry.Once{}
	}
	h := sha256.New()
	for _, part := range [][]byte{[]byte(method), []byte(Prefix + path), c.RawBody} {
		h.Write(part)
		h.Write([]byte{0})
	}
	return registry.Once{Key: c.Key, Hash: [32]byte(h.Sum(nil))}
}

// route is one row of the interface.
type route struct {
	method, path, scope   string
	tag, id, summary, doc string
}

// output is what every operation answers.
type output[T any] struct{ Body T }

// add puts a route on the interface: the operation gets the actor by hand, and
// its error becomes a problem.
// What is to come before that, once it is known who asks, is first.
func add[In, Out any](api huma.API, r route, do func(context.Context, registry.Actor, *In) (Out, error), first ...func(huma.Context, func(huma.Context))) {
	defer jsonOnly(api, r)
	op := operation(r)
	op.Middlewares = first
	if r.one() {
		cached(&op)
		huma.Register(api, op, func(ctx context.Context, in *In) (*tagged[Out], error) {
			out, err := do(ctx, actor(ctx), in)
			if err != nil {
				return nil, refused(ctx, err)
			}
			tag, err := registry.Tag(out)
			if err != nil {
				return nil, refused(ctx, err)
			}
			answer := &tagged[Out]{Status: http.StatusOK, ETag: `"` + tag + `"`, Body: out}
			if seen, _ := ctx.Value(seenKey{}).([]string); slices.Contains(seen, tag) {
				answer.Status = http.StatusNotModified
			}
			return answer, nil
		})
		return
	}
	conditional(r, &op)
	huma.Register(api, op, func(ctx context.Context, in *In) (*output[Out], error) {
		out, err := do(ctx, actor(ctx), in)
		if err != nil {
			return nil, refused(ctx, err)
		}
		return &output[Out]{out}, nil
	})
}

// operation describes a route.
func operation(r route) huma.Operation {
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Tags: []string{r.tag},
		Summary: r.summary, Description: join(r.doc, "Needs the scope `"+r.scope+"`."),
		Extensions: map[string]any{"x-licet-scope": r.scope},
		Errors:     []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests},
	}
	if strings.Contains(r.path, "{") || r.method != http.MethodGet { // bodies name things too
		op.Errors = append(op.Errors, http.StatusNotFound)
	}
	if r.method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge)
	}
	op.MaxBodyBytes = maxBody
	op.DefaultStatus = http.StatusOK
	switch {
	case r.path == "/catalog":
		op.MaxBodyBytes = maxCatalog
	case r.startsBulk():
		op.MaxBodyBytes, op.DefaultStatus = maxBulk, http.StatusAccepted
	case r.id == "createOrder" || r.id == "createToken" || r.id == "createSubscription" || r.id == "createWebhook":
		op.DefaultStatus = http.StatusCreated
	}
	return op
}

// jsonOnly takes the second media type out of the description that huma adds
// where an operation also wants the raw bytes.
func jsonOnly(api huma.API, r route) {
	item := api.OpenAPI().Paths[r.path]
	for _, op := range []*huma.Operation{item.Post, item.Put} {
		if op != nil && op.RequestBody != nil {
			delete(op.RequestBody.Content, "application/octet-stream")
		}
	}
}

func join(parts ...string) string {
	text := ""
	for _, p := range parts {
		if p != "" && text != "" {
			text += " "
		}
		text += p
	}
	return text
}
