package signer

import (
	"encoding/hex"
	"encoding/json"
	"net/http"

	"licet/internal/signerlink"
	"licet/internal/web"
	"licet/refusal"
	"licet/seal"
)

// Handler answers on a signer's socket. Who may reach the socket may ask: its folder's
// permissions decide.
func (s *Signer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+signerlink.PathSign, web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var in signerlink.Sign
		if err := read(w, r, &in); err != nil {
			return err
		}
		id, err := hex.DecodeString(in.Key)
		if err != nil || len(id) != len(seal.KeyID{}) {
			return refusal.New(refusal.InvalidInput, "That is no key's id.")
		}
		signature, err := s.Sign(seal.KeyID(id), in.Message)
		return answer(w, signerlink.Signed{Signature: signature}, err)
	}))
	mux.Handle("POST "+signerlink.PathKeys, web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		public, err := s.MakeKey()
		return answer(w, signerlink.Made{Public: public}, err)
	}))
	mux.Handle("GET "+signerlink.PathStatus, web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return answer(w, s.Status(), nil)
	}))
	turn := func(path string, do func(string) error) {
		mux.Handle("POST "+path, web.Handler(func(w http.ResponseWriter, r *http.Request) error {
			var in signerlink.Reason
			if err := read(w, r, &in); err != nil {
				return err
			}
			err := do(in.Reason)
			return answer(w, s.Status(), err)
		}))
	}
	turn(signerlink.PathStop, s.Stop)
	turn(signerlink.PathResume, s.Resume)
	return web.Mux(mux)
}

func read(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := web.ReadBody(w, r, signerlink.MaxBody)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, into) != nil {
		return refusal.New(refusal.InvalidInput, "The request is no JSON of this kind.")
	}
	return nil
}

func answer(w http.ResponseWriter, value any, err error) error {
	if err == nil {
		web.JSON(w, http.StatusOK, value)
	}
	return err
}
