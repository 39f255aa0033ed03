// Package look is what Licet's pages are made of: the shell around a page, its
// components, colors and texts, in light and dark, in every language there is,
// under the vendor's brand. It knows no operation: pages hand it values.
//
// A component is a value that renders itself:
//
//	@look.Button{Text: look.T(ctx, "order.new"), Kind: look.Primary, Href: "/console/orders/new"}
//
// Everything works without JavaScript; look.js only makes it quicker. The one
// stylesheet is compiled from css/look.css by "make look".
package look

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
)

//go:generate go tool -modfile=../../tools/go.mod templ generate -lazy

// Policy is the content security policy of pages: nothing from elsewhere and
// nothing inline.
const Policy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// Root is the path below which Site.Handler answers.
const Root = "/look/"

// Theme is which colors a reader chose; "" follows the reader's system.
type Theme string

// The themes that a reader can choose.
const (
	System Theme = ""
	Light  Theme = "light"
	Dark   Theme = "dark"
)

// Options says what a site is made of.
type Options struct {
	Brand Brand            // the zero Brand is Licet's own
	Texts *Texts           // this package's own if nil
	Now   func() time.Time // time.Now if nil; read once for each request
}

// Site is the look of one central: its brand and its languages.
type Site struct {
	brand      Brand
	texts      *Texts
	now        func() time.Time
	stylesheet []byte // the brand's
	versions   map[string]string
}

// New checks the brand and makes a site of it.
func New(o Options) (*Site, error) {
	sheet, err := o.Brand.Stylesheet()
	if err != nil {
		return nil, err
	}
	if o.Texts == nil {
		if o.Texts, err = LoadTexts(); err != nil {
			return nil, err
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Site{brand: o.Brand.complete(), texts: o.Texts, now: o.Now, stylesheet: sheet}
	s.versions = map[string]string{
		"look.css": version(compiled), "look.js": version(script), "mark.svg": version(ownMark),
		"brand.css": version(sheet), "logo": version(s.brand.Logo),
	}
	return s, nil
}

// Pages gives next's requests what components need (language, theme, time,
// brand) and its answers the headers of a page.
func (s *Site) Pages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", Policy)
		h.Add("Vary", "Cookie, Accept-Language")
		next.ServeHTTP(w, r.WithContext(s.in(r)))
	})
}

// in is a request's context with its view.
func (s *Site) in(r *http.Request) context.Context {
	back := r.URL.Path
	if r.URL.RawQuery != "" {
		back += "?" + r.URL.RawQuery
	}
	return context.WithValue(r.Context(), viewKey{}, &view{
		site:     s,
		language: s.texts.choose(cookie(r, languageCookie), r.Header.Get("Accept-Language")),
		theme:    theme(cookie(r, themeCookie)),
		back:     back,
		now:      s.now().UTC(),
	})
}

// view is how one request sees the site.
type view struct {
	site     *Site
	language string
	theme    Theme
	back     string // where a switch of language or theme returns to
	now      time.Time
}

type viewKey struct{}

// viewing is the view of a context; a page that is rendered outside of
// Site.Pages is Licet's own, in English.
func viewing(ctx context.Context) *view {
	if v, ok := ctx.Value(viewKey{}).(*view); ok {
		return v
	}
	return &view{site: plain(), language: source, back: "/"}
}

// Language is the reader's language, such as "en".
func Language(ctx context.Context) string { return viewing(ctx).language }

// Now is the time of the request.
func Now(ctx context.Context) time.Time { return viewing(ctx).now }

// Write answers with a page. It is rendered whole before anything is sent, so
// that one that fails is not sent by half.
func Write(w http.ResponseWriter, r *http.Request, status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(r.Context(), &b); err != nil {
		return fmt.Errorf("look: render %s: %w", r.Pattern, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// The status is out already: a connection that broke is the reader's.
	_, _ = b.WriteTo(w)
	return nil
}

// Text is a plain text where a component is wanted.
func Text(s string) templ.Component { return templ.Raw(templ.EscapeString(s)) }

// Group renders components one after the other.
func Group(all ...templ.Component) templ.Component { return templ.Join(all...) }

// classes joins the class names that are not empty.
func classes(names ...string) string {
	var kept []string
	for _, n := range names {
		if n != "" {
			kept = append(kept, n)
		}
	}
	return strings.Join(kept, " ")
}

// when is text if the condition holds.
func when(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}
