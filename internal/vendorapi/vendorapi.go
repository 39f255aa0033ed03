// Package vendorapi is the REST interface for a vendor's staff and shops. It
// authenticates, reads and writes JSON, and describes itself as OpenAPI; who may
// do what is decided in the registry, by the actor that each operation takes.
package vendorapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"licet/internal/registry"
	"licet/internal/web"
)

// Prefix is where the interface lies.
const Prefix = "/api/v1"

// Paths of the description and the interactive guide.
const (
	PathDescription = "/openapi.json"
	PathGuide       = "/docs"
)

// DefaultLimits serve a shop on a busy day and stop a script that went wild.
func DefaultLimits() web.Limits {
	return web.Limits{
		PerAddress: web.Rate{PerSecond: 100, Burst: 500},
		Total:      web.Rate{PerSecond: 1000, Burst: 4000},
		AtOnce:     64,
		AtOnceAll:  256,
	}
}

// New is the interface's handler, with its description and guide.
func New(reg *registry.Registry, log *slog.Logger, limits web.Limits) http.Handler {
	mux := http.NewServeMux()
	api := describe(mux, reg)
	description := sync.OnceValue(func() []byte { return render(api) })
	mux.HandleFunc("GET "+PathDescription, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(description()) // a connection that broke is the caller's
	})
	guide(mux)
	return web.Observe(log, web.NewLimiter(limits).Handler(web.Mux(mux)))
}

// Description is the interface as OpenAPI 3.1.
func Description() []byte { return render(describe(http.NewServeMux(), nil)) }

// describe puts every route on mux and returns the description.
func describe(mux *http.ServeMux, reg *registry.Registry) *huma.OpenAPI {
	ownErrors()
	config := huma.DefaultConfig("Licet management", "1")
	config.CreateHooks = nil // $schema would trust the Host header
	config.DocsPath, config.OpenAPIPath, config.SchemasPath = "", "", ""
	config.NoFormatFallback = false
	config.RejectUnknownQueryParameters = true
	config.Info.Description = guideText
	config.Servers = []*huma.Server{{URL: Prefix}}
	config.Components.Schemas = schemas()
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An API token, from licet-central token create."},
	}
	config.Security = []map[string][]string{{"token": {}}}
	config.Tags = []*huma.Tag{
		{Name: "Catalog", Description: "What is sold."},
		{Name: "Orders", Description: "What was sold, and the tickets to activate it."},
		{Name: "Licenses", Description: "Where each license is."},
		{Name: "Containers", Description: "The machines, tokens and accounts that hold licenses."},
		{Name: "Recoveries", Description: "Lost licenses, and what is decided about them."},
		{Name: "Bulk", Description: "Many operations of one kind as one job, which the servers carry out."},
		{Name: "Settings", Description: "What holds for every machine."},
		{Name: "Webhooks", Description: "Where events are sent to, and what became of them."},
		{Name: "Audit", Description: "Everything that happened, provably whole."},
		{Name: "Tokens", Description: "Access to this interface."},
	}

	api := humago.NewWithPrefix(mux, Prefix, config)
	api.UseMiddleware(authenticate(reg))
	routes(api, reg)
	describeWebhooks(api.OpenAPI())
	return api.OpenAPI()
}

// render writes the description in the form that docs/openapi.json has.
func render(d *huma.OpenAPI) []byte {
	compact, err := d.MarshalJSON()
	if err != nil {
		panic(fmt.Sprintf("vendorapi: describe: %v", err)) // the routes are wrong, which every test shows
	}
	var value any
	if err := json.Unmarshal(compact, &value); err != nil {
		panic(fmt.Sprintf("vendorapi: describe: %v", err))
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("vendorapi: describe: %v", err))
	}
	return append(text, '\n')
}

// guideText opens the interactive guide.
const guideText = `Management of a Licet server: products, orders, licenses, containers, the audit trail.

**Tokens.** Every call needs the header ` + "`Authorization: Bearer TOKEN`" + `. The first token is in the file admin.token of the server's data folder. Each operation names the scope that it needs; admin has all of them.

**Errors** are problems as in RFC 9457, with a stable ` + "`code`" + `, a ` + "`hint`" + ` that names the next step, and ` + "`details`" + ` for programs. What does not exist and what is not yours get the same answer.

**Retries.** Send ` + "`Idempotency-Key`" + ` with a POST that creates or decides something: the same key with the same request gets the first answer again.

**Changes by several.** An answer about one thing has an ` + "`ETag`" + `. Send it as ` + "`If-Match`" + ` with a change, and nothing is changed if somebody else was faster: status 412, code ` + "`changed_meanwhile`" + `. With ` + "`If-None-Match`" + ` a GET answers 304 where nothing is new.

**Limits.** Every answer says what is left of your address's account, in ` + "`RateLimit: \"address\";r=LEFT;t=SECONDS`" + ` and ` + "`RateLimit-Policy`" + `. Status 429 says in ` + "`Retry-After`" + ` when to come again; nothing of the call was done.

**Lists** answer ` + "`items`" + ` and, where there is more, ` + "`next`" + `: pass it as ` + "`cursor`" + `.`

type actorKey struct{}

// authenticate finds the actor of every call, or answers 401. It runs before
// anything of the body is read.
func authenticate(reg *registry.Registry) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		token, err := web.Bearer(r)
		if err != nil {
			web.Error(w, r, err)
			return
		}
		actor, err := reg.Authenticate(ctx.Context(), token)
		if err != nil {
			web.Error(w, r, err)
			return
		}
		web.ActedAs(ctx.Context(), actor.String())
		serving := registry.WithRequest(ctx.Context(), web.RequestID(ctx.Context()))
		next(huma.WithContext(ctx, context.WithValue(serving, actorKey{}, actor)))
	}
}

// actor is who makes the call. It is passed on to the registry by hand; no
// other package looks into a context for it.
func actor(ctx context.Context) registry.Actor {
	a, ok := ctx.Value(actorKey{}).(registry.Actor)
	if !ok {
		panic("vendorapi: a route without authentication")
	}
	return a
}

var once sync.Once

// ownErrors makes huma's errors ours. huma has one set of them per process.
func ownErrors() {
	once.Do(func() {
		huma.DefaultArrayNullable = false
		huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
			return invalid("", status, message, errs)
		}
		huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
			if status >= http.StatusInternalServerError {
				for _, err := range errs {
					web.Fault(ctx.Context(), err)
				}
			}
			return invalid(web.RequestID(ctx.Context()), status, message, errs)
		}
	})
}
