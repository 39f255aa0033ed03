package agent

import (
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestCallers: the socket serves its own user and root, nobody else, and
// nothing that is no call.
func TestCallers(t *testing.T) {
	own := os.Getuid()
	a := Open(Config{Home: t.TempDir()})
	for _, c := range []struct {
		name   string
		who    caller
		media  string
		path   string
		status int
	}{
		{"own user", caller{own, true}, "application/json", "/v1/list", 200},
		{"root", caller{0, true}, "application/json", "/v1/list", 200},
		{"another user", caller{own + 1, true}, "application/json", "/v1/list", 403},
		{"nobody knows who", caller{own, false}, "application/json", "/v1/list", 403},
		{"a form", caller{own, true}, "text/plain", "/v1/list", 422},
		{"no operation", caller{own, true}, "application/json", "/v1/nothing", 404},
	} {
		r := httptest.NewRequest("POST", c.path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", c.media)
		w := httptest.NewRecorder()
		a.handler(nil).ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c.who)))
		if w.Code != c.status {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
}
