package client

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"

	"licet/wire"
)

// Gateway calls servers for a machine. It is safe for concurrent use.
type Gateway struct{ caller }

// NewGateway makes a gateway.
func NewGateway(o Options) *Gateway { return &Gateway{newCaller(o)} }

// Program sends a request file and returns the update file.
func (g *Gateway) Program(ctx context.Context, base string, file []byte) ([]byte, error) {
	return g.do(ctx, g.send(base, wire.PathProgram, file, wire.MediaFile))
}

// Receipt sends a receipt file.
func (g *Gateway) Receipt(ctx context.Context, base string, file []byte) error {
	_, err := g.do(ctx, g.send(base, wire.PathReceipt, file, mediaJSON))
	return err
}

// Time asks for the vendor's signed time; the answer names the nonce.
func (g *Gateway) Time(ctx context.Context, base string, nonce []byte) ([]byte, error) {
	return g.do(ctx, call{
		method: http.MethodGet, base: base, path: wire.PathTime, media: wire.MediaFile,
		query: url.Values{"nonce": {hex.EncodeToString(nonce)}},
	})
}

// WellKnown asks who the vendor is. The answer is only as trustworthy as the
// connection.
func (g *Gateway) WellKnown(ctx context.Context, base string) (wire.WellKnown, error) {
	answer, err := g.do(ctx, call{method: http.MethodGet, base: base, path: wire.PathWellKnown, media: mediaJSON})
	return decode[wire.WellKnown](base, answer, err)
}

func (g *Gateway) send(base, path string, file []byte, media string) call {
	return call{
		method: http.MethodPost, base: base, path: path, body: file, media: media,
		header: http.Header{"Content-Type": {wire.MediaFile}},
	}
}
