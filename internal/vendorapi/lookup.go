package vendorapi

import (
	"bytes"
	"io"
	"net/http"
	"regexp"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"licet/internal/registry"
	"licet/internal/web"
)

// maxPlainQuery is the length of a body that is looked at by itself.
const maxPlainQuery = 256

// plainQuery is a wire.TicketQuery as everybody writes it.
var plainQuery = regexp.MustCompile(`^\s*\{\s*"ticket"\s*:\s*"([ 0-9A-Za-z-]{1,100})"\s*\}\s*$`)

// lookUp answers a look-up of a ticket that there is, asked for in the plainest way,
// by itself: reading its body twice and holding it against the description takes
// longer than finding the ticket. Every other one goes the way of all calls, which
// says what is wrong with it.
func lookUp(reg *registry.Registry) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if code, plain := plainTicket(r); plain {
			if ticket, err := reg.Ticket(ctx.Context(), actor(ctx.Context()), code); err == nil {
				web.JSON(w, http.StatusOK, ticket)
				return
			}
		}
		next(ctx)
	}
}

// plainTicket is the ticket that a request asks about, if that is all there is in it.
// The body can be read again.
func plainTicket(r *http.Request) (string, bool) {
	if r.ContentLength <= 0 || r.ContentLength > maxPlainQuery || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/json" ||
		r.Header.Get("Accept") != "" && r.Header.Get("Accept") != "application/json" && r.Header.Get("Accept") != "*/*" {
		return "", false
	}
	read := make([]byte, r.ContentLength)
	n, err := io.ReadFull(r.Body, read)
	read = read[:n]
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), r.Body), r.Body}
	found := plainQuery.FindSubmatch(read)
	if err != nil || found == nil {
		return "", false
	}
	return string(found[1]), true
}
