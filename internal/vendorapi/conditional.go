package vendorapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/registry"
)

// Conditional requests (RFC 9110, section 13): what a GET of one thing answers has a
// tag, and a change may say to which it belongs.

// tagged is the answer of a GET of one thing.
type tagged[T any] struct {
	Status int
	ETag   string `header:"ETag" doc:"Names what this answer says. Send it as If-Match with a change."`
	Body   T
}

// subjects are what changes can depend on, by the first part of the path.
var subjects = map[string]string{
	"licenses": "license", "containers": "container", "orders": "order", "subscriptions": "subscription",
	"webhooks": "webhook", "recoveries": "recovery", "settings": "settings",
}

// subject is what a route is about, and the name of its parameter in the path; "" for
// several things, or none.
func (r route) subject() (of, parameter string) {
	parts := strings.Split(strings.TrimPrefix(r.path, "/"), "/")
	of = subjects[parts[0]]
	switch {
	case of == "settings":
		return of, ""
	case of == "" || len(parts) < 2 || !strings.HasPrefix(parts[1], "{"):
		return "", ""
	}
	return of, strings.Trim(parts[1], "{}")
}

// one reports whether a route gives one thing as it is.
func (r route) one() bool {
	of, _ := r.subject()
	return r.method == http.MethodGet && of != "" && strings.Count(r.path, "/") == 1+strings.Count(r.path, "/{")
}

// tags reads a header such as If-Match: the tags that it names, and whether it is
// there and is not "*". Weak ones are left out, because none of ours is.
func tags(header string) (list []string, some bool) {
	if header = strings.TrimSpace(header); header == "" || header == "*" {
		return nil, false
	}
	for _, tag := range strings.Split(header, ",") {
		tag = strings.TrimSpace(tag)
		if len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
			list = append(list, tag[1:len(tag)-1])
		}
	}
	return list, true
}

// conditional lets a change depend on what the caller saw.
func conditional(r route, op *huma.Operation) {
	of, parameter := r.subject()
	if of == "" || r.method == http.MethodGet {
		return
	}
	op.Errors = append(op.Errors, http.StatusPreconditionFailed)
	op.Parameters = append(op.Parameters, header("If-Match", "ETag of the "+of+" as you saw it: if it is another one by now, nothing is changed, and the answer is 412."))
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		if list, some := tags(ctx.Header("If-Match")); some {
			c := registry.Condition{Of: of, Tags: list, Actor: actor(ctx.Context())}
			if parameter != "" {
				c.ID = ctx.Param(parameter)
			}
			ctx = huma.WithContext(ctx, registry.WithCondition(ctx.Context(), c))
		}
		next(ctx)
	})
}

type seenKey struct{}

// cached answers 304 where the caller has the answer already.
func cached(op *huma.Operation) {
	op.Parameters = append(op.Parameters, header("If-None-Match", "ETag of the answer that you have: if it is the same still, the answer is 304 and empty."))
	op.Responses = map[string]*huma.Response{"304": {Description: "As it was."}}
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		list, _ := tags(strings.ReplaceAll(ctx.Header("If-None-Match"), "W/", ""))
		next(huma.WithContext(ctx, context.WithValue(ctx.Context(), seenKey{}, list)))
	})
}

func header(name, doc string) *huma.Param {
	length := 1000
	return &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &length}}
}
