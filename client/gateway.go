package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

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

// Updates sends several request files in one contact. The answers are in their
// order. A server that is older than this refuses with NotFound.
func (g *Gateway) Updates(ctx context.Context, base string, files [][]byte) ([]wire.UpdateAnswer, error) {
	var in wire.UpdatesRequest
	for _, f := range files {
		in.Requests = append(in.Requests, string(f))
	}
	answer, err := post[wire.UpdatesAnswer](ctx, g, base, wire.PathUpdates, in)
	if err == nil && len(answer.Answers) != len(files) {
		return nil, notLicet(base, http.StatusOK)
	}
	return answer.Answers, err
}

// Restore reports lost licenses.
func (g *Gateway) Restore(ctx context.Context, base string, in wire.RestoreRequest) (wire.RestoreAnswer, error) {
	return post[wire.RestoreAnswer](ctx, g, base, wire.PathRestore, in)
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

// BlockList asks for a file with the news of the block list since the list with
// a number; 0 asks for the whole list. Nil says that there is nothing newer.
func (g *Gateway) BlockList(ctx context.Context, base string, from uint64) ([]byte, error) {
	return g.do(ctx, call{
		method: http.MethodGet, base: base, path: wire.PathBlockList, media: wire.MediaFile, empty: true,
		query: url.Values{"from": {strconv.FormatUint(from, 10)}},
	})
}

// Origins asks for the signed list of origins whose pages may speak to machines. A
// server that is older than this refuses with NotFound.
func (g *Gateway) Origins(ctx context.Context, base string) ([]byte, error) {
	return g.do(ctx, call{method: http.MethodGet, base: base, path: wire.PathOrigins, media: wire.MediaFile})
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

func post[T any](ctx context.Context, g *Gateway, base, path string, value any) (out T, err error) {
	body, err := json.Marshal(value)
	if err != nil {
		return out, err
	}
	answer, err := g.do(ctx, call{
		method: http.MethodPost, base: base, path: path, body: body, media: mediaJSON,
		header: http.Header{"Content-Type": {mediaJSON}},
	})
	return decode[T](base, answer, err)
}
