package vendorapi

//go:generate go test -run TestDescriptionFileIsFresh -update .

import (
	"embed"
	"net/http"
	"path"
)

// assets is Stoplight Elements 9.0.25 as its npm package has it, with its
// license; it is served from here so that the guide works without a network.
//
//go:embed assets
var assets embed.FS

// guidePolicy is the page's own: Elements puts styles into the page, and calls
// this server.
const guidePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const guidePage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Licet management: guide</title>
<link rel="stylesheet" href="/docs/assets/styles.min.css">
<script src="/docs/assets/web-components.min.js" defer></script>
</head>
<body style="height:100vh;margin:0">
<elements-api apiDescriptionUrl="/openapi.json" router="hash" layout="responsive"></elements-api>
<noscript>The guide needs JavaScript; the description itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
</body>
</html>
`

// guide puts the interactive guide on mux.
func guide(mux *http.ServeMux) {
	mux.HandleFunc("GET "+PathGuide, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", guidePolicy)
		_, _ = w.Write([]byte(guidePage)) // a connection that broke is the reader's
	})
	for name, media := range map[string]string{
		"styles.min.css":                    "text/css; charset=utf-8",
		"web-components.min.js":             "text/javascript; charset=utf-8",
		"web-components.min.js.LICENSE.txt": "text/plain; charset=utf-8",
	} {
		data, err := assets.ReadFile(path.Join("assets", name))
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET "+PathGuide+"/assets/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.Header().Set("Cache-Control", "public, max-age=86400")
			_, _ = w.Write(data)
		})
	}
}
