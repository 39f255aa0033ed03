package portal

import (
	_ "embed" // for the script
	"net/http"
	"strconv"
	"strings"

	"licet/internal/look"
	"licet/license"
	"licet/wire"
)

//go:embed assets/bridge.js
var bridgeScript []byte

// bridgePort is where the agent of the reader's computer may listen.
var bridgePort = wire.BridgePort

// script hands out the script that speaks to the reader's own computer.
func (p *portal) script(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	// The status is out: a connection that broke is the reader's, who asks again.
	_, _ = w.Write(bridgeScript)
	return nil
}

// bridged lets a page speak to the agent of the computer it is read on, and to
// nothing else there.
func bridged(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", look.Policy+"; connect-src 'self' http://127.0.0.1:"+strconv.Itoa(bridgePort))
}

// ByAgent reports whether the agent of a computer can do it.
func (x way) ByAgent() bool {
	return x.What == forReturn || x.What == forActivate && x.Kind == license.Machine
}

func (x way) bridgeTickets() string {
	if x.What == forReturn {
		return "" // the licenses are there
	}
	var words []string
	for _, t := range ticketsOf(x.Licenses) {
		words = append(words, string(t))
	}
	return strings.Join(words, " ")
}

func (x way) bridgeLicenses() string {
	var words []string
	for _, l := range x.Licenses {
		words = append(words, string(l.ID))
	}
	return strings.Join(words, " ")
}
