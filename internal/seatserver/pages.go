package seatserver

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ShowPages has the listeners answer what lies outside of /v1/ with pages for
// people. Call it before Serve.
func (s *Server) ShowPages(pages http.Handler) { s.pages = pages }

// secure are the headers of every answer to a browser.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// AtTheMachine reports whether a request was made by a program of this machine that
// asked this machine by a name that nobody else can give out: a page whose name was
// made to point here has another one, and what a proxy hands on comes from elsewhere.
func AtTheMachine(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return addressOf(r.RemoteAddr).IsLoopback() && ownHost(r.Host)
}

// ownHost reports whether a Host header names this machine to itself. A page whose
// name was made to point here has another one.
func ownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
