package registry

import "context"

type onceKey struct{}

// WithOnce makes the decision that is called with ctx repeatable: a caller that
// got no answer may ask again and gets the first one (docs/protocol.md R16). As
// the id of the request, the key belongs to the call and not to what is decided.
func WithOnce(ctx context.Context, o Once) context.Context {
	return context.WithValue(ctx, onceKey{}, o)
}

func onceOf(ctx context.Context) Once {
	o, _ := ctx.Value(onceKey{}).(Once)
	return o
}
