package sdk_test

import (
	"testing"

	"licet/refusal"
	"licet/sdk"
	"licet/sdktest"
)

// TestRevokedKey: a program goes on while the vendor replaces a stolen key; one of a
// newer release, which knows of it first, waits for the machine's next contact.
func TestRevokedKey(t *testing.T) {
	for name, agent := range map[string]bool{"agent": true, "no agent": false} {
		t.Run(name, func(t *testing.T) {
			v := sdktest.New(t, sdktest.Product{Code: "CAD"})
			m := v.Machine(t)
			if agent {
				m.StartAgent()
			}
			m.Activate(v.Ticket("CAD"))
			running := m.Open(v.Program("CAD"))
			is := func(s *sdk.Session, want refusal.Code) {
				t.Helper()
				if err := s.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := s.Verdict().Code; got != want {
					t.Errorf("%s, want %s: %+v", got, want, s.Verdict().Reasons)
				}
			}
			is(running, refusal.Valid)
			for range 2 {
				trust := v.RevokeKey()
				is(running, refusal.Valid)
				release := v.Program("CAD")
				release.Trust = trust
				newer := m.Open(release)
				is(newer, refusal.KeyRevoked)
				is(running, refusal.Valid)
				m.Update()
				is(running, refusal.Valid)
				is(newer, refusal.Valid)
			}
		})
	}
}
