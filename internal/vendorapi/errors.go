package vendorapi

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"licet/internal/web"
	"licet/license"
	"licet/recovery"
	"licet/refusal"
	"licet/wire"
)

// problem is an error as huma writes it.
type problem struct{ wire.Problem }

func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return web.MediaProblem }

// refused turns an operation's error into a problem; a fault goes to the log.
func refused(ctx context.Context, err error) error {
	if _, ok := refusal.As(err); !ok {
		web.Fault(ctx, err)
	}
	r := (&http.Request{}).WithContext(ctx)
	return &problem{web.ProblemOf(r, err)}
}

// invalid turns what huma found wrong into a problem. It says where and what is
// expected, never the value, which may be a secret.
func invalid(request string, status int, message string, errs []error) *problem {
	type fault struct {
		Where string `json:"where"`
		What  string `json:"what"`
	}
	var faults []fault
	var texts []string
	for _, err := range errs {
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			continue // text of unknown origin
		}
		detail := d.ErrorDetail()
		f := fault{Where: detail.Location, What: detail.Message}
		if f.Where == "body" && !strings.HasPrefix(message, "validation") {
			f.What = "is not valid JSON"
		}
		faults = append(faults, f)
		if len(texts) < 3 {
			texts = append(texts, f.Where+": "+f.What)
		}
	}
	ref := refusal.New(codeOf(status), "%s", sentence(status, texts))
	if len(faults) > 0 {
		ref.With("problems", faults)
	}
	p := web.ProblemOf(&http.Request{}, ref)
	p.Request = request
	p.Status = status
	return &problem{p}
}

// codeOf is the code of an HTTP status that huma found by itself.
func codeOf(status int) refusal.Code {
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return refusal.TooLarge
	case status == http.StatusNotFound:
		return refusal.NotFound
	case status >= 500:
		return refusal.Internal
	}
	return refusal.InvalidInput
}

func sentence(status int, texts []string) string {
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return "The body is larger than this call takes."
	case status == http.StatusUnsupportedMediaType:
		return "The body is of a type that this call does not take; send application/json."
	case status >= 500:
		return "Something failed inside the server."
	case len(texts) == 0:
		return "The request is not acceptable."
	}
	return "The request is not acceptable: " + strings.Join(texts, "; ") + "."
}

// schemas describes our texts as what they are in JSON.
func schemas() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", name)
	r.RegisterTypeAlias(reflect.TypeFor[license.Time](), reflect.TypeFor[time.Time]())
	r.RegisterTypeAlias(reflect.TypeFor[license.Duration](), reflect.TypeFor[string]())
	return r
}

// name is the name of a type in the description. Package recovery has words of
// its own for what wire has too.
func name(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == reflect.TypeFor[recovery.Decision]().PkgPath() {
		return "Restore" + name
	}
	return name
}
