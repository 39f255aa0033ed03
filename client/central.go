package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"licet/license"
	"licet/wire"
)

const (
	mediaJSON = "application/json"
	apiPath   = "/api/v1"
)

// Central makes management calls with a token. It is safe for concurrent use.
type Central struct {
	caller
	base, token string
}

// NewCentral makes a client of the server at base.
func NewCentral(base, token string, o Options) *Central {
	return &Central{newCaller(o), base, token}
}

// Page says which part of a list is wanted: the zero value is its beginning.
type Page struct {
	Cursor string
	Limit  int
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	return q
}

// ApplyCatalog applies a catalog file.
func (c *Central) ApplyCatalog(ctx context.Context, req wire.CatalogRequest) (wire.CatalogResult, error) {
	return send[wire.CatalogResult](ctx, c, http.MethodPut, "/catalog", req)
}

// Products lists every product.
func (c *Central) Products(ctx context.Context) (wire.List[license.Product], error) {
	return get[wire.List[license.Product]](ctx, c, "/products", nil)
}

// Product returns one product.
func (c *Central) Product(ctx context.Context, code string) (license.Product, error) {
	return get[license.Product](ctx, c, "/products/"+url.PathEscape(code), nil)
}

// Bundles lists every bundle.
func (c *Central) Bundles(ctx context.Context) (wire.List[license.Bundle], error) {
	return get[wire.List[license.Bundle]](ctx, c, "/bundles", nil)
}

// CreateOrder creates or extends an order.
func (c *Central) CreateOrder(ctx context.Context, req wire.OrderRequest) (wire.Order, error) {
	return send[wire.Order](ctx, c, http.MethodPost, "/orders", req)
}

// Orders lists orders, newest first.
func (c *Central) Orders(ctx context.Context, p Page) (wire.List[wire.Order], error) {
	return get[wire.List[wire.Order]](ctx, c, "/orders", p.query())
}

// Order returns one order by its number.
func (c *Central) Order(ctx context.Context, number string) (wire.Order, error) {
	return get[wire.Order](ctx, c, "/orders/"+url.PathEscape(number), nil)
}

// Ticket looks a ticket up.
func (c *Central) Ticket(ctx context.Context, ticket string) (wire.Ticket, error) {
	return send[wire.Ticket](ctx, c, http.MethodPost, "/tickets/lookup", wire.TicketQuery{Ticket: ticket})
}

// Licenses lists licenses, newest first.
func (c *Central) Licenses(ctx context.Context, p Page) (wire.List[wire.License], error) {
	return get[wire.List[wire.License]](ctx, c, "/licenses", p.query())
}

// LicenseReport counts the licenses.
func (c *Central) LicenseReport(ctx context.Context) (wire.LicenseReport, error) {
	return get[wire.LicenseReport](ctx, c, "/reports/licenses", nil)
}

// License returns one license.
func (c *Central) License(ctx context.Context, id license.ID) (wire.License, error) {
	return get[wire.License](ctx, c, "/licenses/"+url.PathEscape(string(id)), nil)
}

// Containers lists containers by serial.
func (c *Central) Containers(ctx context.Context, p Page) (wire.List[wire.Container], error) {
	return get[wire.List[wire.Container]](ctx, c, "/containers", p.query())
}

// Container returns one container.
func (c *Central) Container(ctx context.Context, serial license.Serial) (wire.Container, error) {
	return get[wire.Container](ctx, c, "/containers/"+url.PathEscape(string(serial)), nil)
}

// AcceptContainer settles a flagged container.
func (c *Central) AcceptContainer(ctx context.Context, serial license.Serial, reason string) (wire.Container, error) {
	return send[wire.Container](ctx, c, http.MethodPost, "/containers/"+url.PathEscape(string(serial))+"/accept", wire.Reason{Reason: reason})
}

// The kinds of thing that have a history, as paths name them.
const (
	OrderHistory     = "orders"
	LicenseHistory   = "licenses"
	ContainerHistory = "containers"

	SubscriptionHistory = "subscriptions"
)

// History lists what happened to one thing of a kind, oldest first.
func (c *Central) History(ctx context.Context, kind, id string, p Page) (wire.List[wire.Event], error) {
	return get[wire.List[wire.Event]](ctx, c, "/"+kind+"/"+url.PathEscape(id)+"/history", p.query())
}

// Audit lists the trail, oldest first.
func (c *Central) Audit(ctx context.Context, p Page) (wire.List[wire.Event], error) {
	return get[wire.List[wire.Event]](ctx, c, "/audit", p.query())
}

// VerifyAudit has the server prove its trail.
func (c *Central) VerifyAudit(ctx context.Context) (wire.AuditReport, error) {
	return get[wire.AuditReport](ctx, c, "/audit/verify", nil)
}

// CreateToken creates an API token; its secret is in this answer only.
func (c *Central) CreateToken(ctx context.Context, req wire.TokenRequest) (wire.Token, error) {
	return send[wire.Token](ctx, c, http.MethodPost, "/tokens", req)
}

// Tokens lists API tokens.
func (c *Central) Tokens(ctx context.Context) (wire.List[wire.Token], error) {
	return get[wire.List[wire.Token]](ctx, c, "/tokens", nil)
}

// RevokeToken ends an API token.
func (c *Central) RevokeToken(ctx context.Context, id string) (wire.Token, error) {
	return send[wire.Token](ctx, c, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil)
}

func get[T any](ctx context.Context, c *Central, path string, query url.Values) (T, error) {
	answer, err := c.do(ctx, call{
		method: http.MethodGet, base: c.base, path: apiPath + path, query: query, media: mediaJSON, header: c.header(),
	})
	return decode[T](c.base, answer, err)
}

func send[T any](ctx context.Context, c *Central, method, path string, value any) (T, error) {
	k := call{method: method, base: c.base, path: apiPath + path, media: mediaJSON, header: c.header()}
	if value != nil {
		body, err := json.Marshal(value)
		if err != nil {
			return *new(T), err
		}
		k.body = body
		k.header.Set("Content-Type", mediaJSON)
	}
	if method == http.MethodPost {
		k.header.Set("Idempotency-Key", rand.Text())
	}
	answer, err := c.do(ctx, k)
	return decode[T](c.base, answer, err)
}

func (c *Central) header() http.Header {
	h := http.Header{}
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
	return h
}

func decode[T any](base string, answer []byte, err error) (value T, _ error) {
	if err != nil {
		return value, err
	}
	if json.Unmarshal(answer, &value) != nil {
		return *new(T), notLicet(base, http.StatusOK)
	}
	return value, nil
}
