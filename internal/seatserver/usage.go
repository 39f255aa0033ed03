package seatserver

import (
	"net/http"

	"licet/license"
	"licet/refusal"
)

// usage is filled in below.
type usage struct{}

func (u *usage) claimed(now license.Time, product string, no *refusal.Refusal) {}
func (s *Server) usageTick()                                                   {}
func (s *Server) openUsage() error                                             { return nil }
func (s *Server) saveUsage()                                                   {}

func (s *Server) usageOf(r *http.Request) (any, error) { return nil, nil }
