package look

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the assets
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed assets/look.css
var compiled []byte

//go:embed assets/look.js
var script []byte

//go:embed assets/mark.svg
var ownMark []byte

// The cookies that keep what a reader chose. They say nothing about who reads.
const (
	languageCookie = "licet_language"
	themeCookie    = "licet_theme"
	chosenFor      = 365 * 24 * time.Hour
)

// plain is the site of pages that are rendered outside of any.
var plain = sync.OnceValue(func() *Site {
	s, err := New(Options{})
	if err != nil {
		panic(err) // our own brand and texts are wrong: every test fails first
	}
	return s
})

// Handler answers below Root: stylesheets, script, logo, and the two switches.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Root+"look.css", asset("text/css; charset=utf-8", compiled))
	mux.HandleFunc("GET "+Root+"look.js", asset("text/javascript; charset=utf-8", script))
	mux.HandleFunc("GET "+Root+"brand.css", asset("text/css; charset=utf-8", s.stylesheet))
	mux.HandleFunc("GET "+Root+"mark.svg", asset("image/svg+xml", ownMark))
	if len(s.brand.Logo) > 0 {
		mux.HandleFunc("GET "+Root+"logo", asset(logoType(s.brand.Logo), s.brand.Logo))
	}
	mux.Handle("POST "+Root+"preference", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.preference)))
	return mux
}

// asset answers with bytes that stay the same at an address with a version.
func asset(mediaType string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("X-Content-Type-Options", "nosniff")
		// A logo is the vendor's: opened by itself it must not run anything.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
		h.Set("Cache-Control", "public, max-age=300")
		if r.URL.Query().Has("v") {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// preference keeps a choice of language or theme and goes back to the page; the
// script, which is still on it, names none.
func (s *Site) preference(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4096)
	if chosen := r.PostFormValue("language"); s.texts.has(chosen) {
		keep(w, r, languageCookie, chosen)
	}
	if r.PostForm.Has("theme") {
		keep(w, r, themeCookie, string(theme(r.PostForm.Get("theme"))))
	}
	if !r.PostForm.Has("back") {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, own(r.PostForm.Get("back")), http.StatusSeeOther)
}

func keep(w http.ResponseWriter, r *http.Request, name, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(chosenFor.Seconds()),
		Secure: r.TLS != nil, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// own is an address of this site, "/" for any other: a link must not be able to
// lead readers elsewhere through us.
func own(address string) string {
	if len(address) > 1 && (address[1] == '/' || address[1] == '\\') ||
		!strings.HasPrefix(address, "/") || strings.ContainsAny(address, "\r\n\t\\") {
		return "/"
	}
	return address
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return "" // there is none
	}
	return c.Value
}

func theme(name string) Theme {
	switch t := Theme(name); t {
	case Light, Dark:
		return t
	}
	return System
}

// address is where an asset is found, with its version.
func (v *view) address(name string) string {
	return Root + name + "?v=" + v.site.versions[name]
}

func version(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}

func logoType(logo []byte) string {
	if bytes.HasPrefix(logo, []byte("\x89PNG\r\n\x1a\n")) {
		return "image/png"
	}
	return "image/svg+xml"
}
