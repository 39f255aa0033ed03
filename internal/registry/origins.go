package registry

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"licet/license"
	"licet/refusal"
	"licet/seal"
)

// originsLast is how long a signed list of origins counts. An origin that was
// taken off counts no longer than this on a machine that is kept from asking.
const originsLast = 30 * license.Day

// AllowOrigins names further web origins whose pages may speak to users' machines,
// beside that of the server's own address. It is called before serving.
func (r *Registry) AllowOrigins(list []string) error {
	for _, o := range list {
		if err := seal.CheckOrigin(o); err != nil {
			return err
		}
	}
	r.origins = slices.Clone(list)
	if n := len(r.allowedOrigins(r.keys())); n > seal.MostOrigins {
		return refusal.New(refusal.InvalidInput, "There are too many origins: %d.", n).Hinted("Name at most %d.", seal.MostOrigins-1)
	}
	return nil
}

// allowedOrigins are those named and that of the server's own address, each once.
func (r *Registry) allowedOrigins(k *keyring) []string {
	list := slices.Clone(r.origins)
	if own := originOf(k.vendor.Address); own != "" {
		list = append(list, own)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// SignOrigins is the signed list of the origins whose pages may speak to users'
// machines about this vendor's licenses.
func (r *Registry) SignOrigins(ctx context.Context) ([]byte, error) {
	k, err := r.toSign(ctx)
	if err != nil {
		return nil, err
	}
	now := license.At(r.cfg.Now())
	return seal.SignOrigins(k.scope, k.issuing,
		seal.Origins{Time: now, Until: now.Add(originsLast.Go()), List: r.allowedOrigins(k)}, k.certificates()...)
}

// originOf is the origin of an address, as browsers write it; empty where none may
// be allowed, such as one over plain http.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	origin := u.Scheme + "://" + host
	if seal.CheckOrigin(origin) != nil {
		return ""
	}
	return origin
}
