package bridge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licet/internal/browser"
	"licet/wire"
)

// TestForeignPages: nothing of a page that no vendor allows reaches an operation,
// whatever it tries (Th23, Th24).
func TestForeignPages(t *testing.T) {
	d := newDesk(t, origin, "http://127.0.0.1:8080")
	token := d.token(d.vendor)
	good := bearer(page(wire.PathBridgeContainers, "{}"), token)
	if got := ask[wire.BridgeContainers](d, good); len(got.Containers) != 0 {
		t.Fatal(got)
	}
	other := "http://127.0.0.1:8080" // allowed as well, and not the token's
	before := d.journal.calls()
	for _, c := range []struct {
		name   string
		r      request
		status int
	}{
		{"sub-domain", good.with("Origin", "https://evil.licenses.example"), 403},
		{"domain above", good.with("Origin", "https://example"), 403},
		{"suffix look-alike", good.with("Origin", "https://evillicenses.example"), 403},
		{"prefix look-alike", good.with("Origin", "https://licenses.example.evil.test"), 403},
		{"null", good.with("Origin", "null"), 403},
		{"http for https", good.with("Origin", "http://licenses.example"), 403},
		{"other port", good.with("Origin", "https://licenses.example:8443"), 403},
		{"the default port spelled out", good.with("Origin", "https://licenses.example:443"), 403},
		{"file", good.with("Origin", "file://"), 403},
		{"upper case", good.with("Origin", "https://LICENSES.example"), 403},
		{"a path behind", good.with("Origin", "https://licenses.example/"), 403},
		{"a blank behind", good.with("Origin", "https://licenses.example ,x"), 403},
		{"a wildcard", good.with("Origin", "*"), 403},
		{"no origin", good.with("Origin"), 403},
		{"an empty origin", good.with("Origin", ""), 403},
		{"two origins", good.with("Origin", origin, "https://evil.test"), 403},
		{"the bridge's own origin", good.with("Origin", "http://"+d.host), 403},

		{"rebound name", request{"POST", good.path, "{}", "attacker.example", good.header}, 421},
		{"rebound name with the port", request{"POST", good.path, "{}", "attacker.example:" + d.host[strings.LastIndexByte(d.host, ':')+1:], good.header}, 421},
		{"localhost is a name", request{"POST", good.path, "{}", "localhost:" + d.host[strings.LastIndexByte(d.host, ':')+1:], good.header}, 421},
		{"another port in Host", request{"POST", good.path, "{}", "127.0.0.1:1", good.header}, 421},
		{"no port in Host", request{"POST", good.path, "{}", "127.0.0.1", good.header}, 421},
		{"another loopback address", request{"POST", good.path, "{}", "127.0.0.2:1", good.header}, 421},
		{"rebound and foreign", request{"GET", "/", "", "attacker.example", http.Header{"Origin": {"http://attacker.example"}}}, 421},

		{"GET", request{"GET", wire.PathBridgeReturn, "", "", good.header}, 405},
		{"HEAD", request{"HEAD", wire.PathBridgePair, "", "", good.header}, 405},
		{"PUT", request{"PUT", wire.PathBridgeActivate, "{}", "", good.header}, 405},
		{"GET with a query", request{"GET", wire.PathBridgePair + "?vendor=" + d.vendor.ID(), "", "", good.header}, 404},
		{"no such path", page("/v1/import", "{}"), 404},
		{"a form", good.with("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"plain text", good.with("Content-Type", "text/plain"), 415},
		{"JSON and more", good.with("Content-Type", "application/json", "text/plain"), 415},
		{"no type", good.with("Content-Type"), 415},

		{"no token", good.with("Authorization"), 401},
		{"wrong token", bearer(good, string(token[0]^1)+token[1:]), 401},
		{"empty token", bearer(good, ""), 401},
		{"another scheme", good.with("Authorization", "Basic "+token), 401},
		{"token of another origin", good.with("Origin", other), 401},
		{"too large", bearer(page(wire.PathBridgeActivate, `{"tickets":["`+strings.Repeat("A", 70<<10)+`"]}`), token), 413},
	} {
		d.clock.move(10 * time.Second) // so that the rates of calls and of the log allow it
		answer, body := d.send(c.r)
		if answer.StatusCode != c.status {
			t.Errorf("%s: %s %s, want %d", c.name, answer.Status, body, c.status)
		}
		allowed := answer.Header.Get("Access-Control-Allow-Origin")
		if (c.status == 403 || c.status == 421) && (allowed != "" || body != "") || allowed != "" && allowed != c.r.header.Get("Origin") {
			t.Errorf("%s: tells %q and %q", c.name, allowed, body)
		}
		preflight := c.r
		preflight.method = "OPTIONS"
		answer, _ = d.send(preflight.with("Access-Control-Request-Method", "POST").with("Access-Control-Request-Private-Network", "true"))
		if yes := answer.StatusCode == 204; yes != (c.status != 403 && c.status != 421 && c.status != 404) {
			t.Errorf("%s: preflight %s", c.name, answer.Status)
		}
		if answer.StatusCode != 204 && answer.Header.Get("Access-Control-Allow-Private-Network") != "" {
			t.Errorf("%s: the preflight allows what it refuses", c.name)
		}
	}
	if got := d.journal.calls(); got != before {
		t.Errorf("%d calls reached an operation", got-before)
	}
	if d.journal.count("another host") == 0 || d.journal.count("attacker.example") == 0 {
		t.Error("rebound names are not in the log")
	}
	if strings.Contains(strings.Join(d.journal.lines, ""), token) {
		t.Error("the token is in the log")
	}
	if got := ask[wire.BridgeContainers](d, good); len(got.Containers) != 0 {
		t.Fatal(got)
	}
}

// TestForeignPagesInBrowser: a real browser shows pages of foreign origins that try
// all that a page can, with a token that was stolen from the right one. Nothing
// reaches an operation, and nothing can be read (Th23). Neither does a page whose
// name was made to point at this machine (Th24).
func TestForeignPagesInBrowser(t *testing.T) {
	d := newDesk(t, origin)
	token := d.token(d.vendor)
	d.clock.each(2 * time.Second) // so that the log names all

	// A document is sandboxed, and so of no origin, where its path says so.
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/sandboxed" {
			w.Header().Set("Content-Security-Policy", "sandbox allow-scripts allow-forms")
		}
		_, _ = io.WriteString(w, "<!doctype html><title>page</title>")
	})
	plain, secure := httptest.NewServer(pages), httptest.NewTLSServer(pages)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte("<!doctype html><title>page</title>"), 0o600); err != nil {
		t.Fatal(err)
	}
	rebound := fmt.Sprintf("http://attacker.example:%d", d.port)
	all := []struct{ Name, URL, Origin string }{
		{"sub-domain", "https://evil.licenses.example/", "https://evil.licenses.example"},
		{"suffix", "https://evillicenses.example/", "https://evillicenses.example"},
		{"null", origin + "/sandboxed", "null"},
		{"plain http", "http://licenses.example/", "http://licenses.example"},
		{"other port", origin + ":8443/", origin + ":8443"},
		{"file", "file://" + file, "null"},
	}
	rules := []string{"MAP attacker.example 127.0.0.1"}
	for _, at := range []string{"licenses.example:443", "licenses.example:8443", "evil.licenses.example:443", "evillicenses.example:443"} {
		rules = append(rules, "MAP "+at+" "+secure.Listener.Addr().String())
	}
	rules = append(rules, "MAP licenses.example:80 "+plain.Listener.Addr().String())

	before := d.journal.calls()
	take := func(walk string) {
		t.Helper()
		browser.At(t, browser.Look{Within: time.Minute, Args: []string{"--host-resolver-rules=" + strings.Join(rules, ","), "--ignore-certificate-errors",
			"--disable-features=LocalNetworkAccessChecks"}, // what the browser does besides is not to be leaned on
			Walks: []browser.Walk{{Name: walk, File: "testdata/foreign.mjs", Base: origin, Noisy: true, // the browser says what it stops
				Hosts: []string{d.host, "evil.licenses.example", "evillicenses.example", "licenses.example:8443", "attacker.example:" + fmt.Sprint(d.port), ""},
				Data:  map[string]any{"walk": walk, "bridge": "http://" + d.host, "token": token, "vendor": d.vendor.ID(), "pages": all, "rebound": rebound}}}})
	}
	take("foreign")
	if n := d.journal.calls() - before; n != 0 {
		t.Errorf("%d calls of foreign pages reached an operation", n)
	}
	for _, p := range all {
		if d.journal.count(`msg="bridge turned away" why="a foreign origin" host=`+d.host+` origin=`+p.Origin+` method=POST`) == 0 {
			t.Errorf("%s: the bridge never heard of it", p.Name)
		}
	}
	if d.journal.count(`why="another host" host=attacker.example`) == 0 {
		t.Error("the bridge never heard of the rebound name")
	}
	// The same from the right page does reach it, or this would show nothing.
	take("allowed")
	if n := d.journal.calls() - before; n == 0 {
		t.Error("nothing of the allowed page reached an operation")
	}
}
