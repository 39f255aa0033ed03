package seatserver

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"licet/internal/durable"
	"licet/license"
	"licet/seats"
	"licet/wire"
)

// rulesName is the file of the rules of access, in the server's folder.
const rulesName = "rules"

const rulesLimit = 1 << 20

// rules are the rules of access and how the file of them stands.
type rules struct {
	inForce seats.Rules
	loaded  license.Time
	problem string
	seen    time.Time // when the file was changed last, as far as it was read
	size    int64
}

// loadRules reads the rules. A file that does not read leaves the old ones in force.
// The caller holds mu.
func (s *Server) loadRules() {
	r := &s.rules
	text, err := durable.ReadFile(s.dir, rulesName, rulesLimit)
	if errors.Is(err, fs.ErrNotExist) {
		*r = rules{}
		if s.engine != nil {
			s.engine.SetRules(r.inForce)
		}
		return
	}
	var read seats.Rules
	if err == nil {
		read, err = seats.ParseRules(string(text))
	}
	if err != nil {
		s.log.Error("the rules of access do not read; those from before stay in force", "file", s.rulesFile(), "error", err)
		r.problem = err.Error()
		return
	}
	r.inForce, r.loaded, r.problem = read, license.At(s.cfg.Now()), ""
	if s.engine != nil {
		s.engine.SetRules(read)
	}
	s.log.Info("rules of access are in force", "file", s.rulesFile())
}

// reloadRules reads the rules anew where the file was changed. The caller holds mu.
func (s *Server) reloadRules() {
	r := &s.rules
	info, err := s.dir.Stat(rulesName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if r.loaded != 0 || r.problem != "" {
			s.loadRules()
		}
	case err == nil && (!info.ModTime().Equal(r.seen) || info.Size() != r.size):
		s.loadRules()
		r.seen, r.size = info.ModTime(), info.Size()
	}
}

// ReloadRules reads the rules of access anew and says how they stand.
func (s *Server) ReloadRules() wire.RulesView {
	s.mu.Lock()
	s.loadRules()
	s.mu.Unlock()
	return s.Rules()
}

// Rules says how the rules of access stand.
func (s *Server) Rules() wire.RulesView {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.RulesView{File: s.rulesFile(), Text: s.rules.inForce.String(), Loaded: s.rules.loaded, Problem: s.rules.problem}
}

func (s *Server) rulesFile() string { return filepath.Join(s.cfg.Home, folder, rulesName) }
