package refusal_test

import (
	"errors"
	"fmt"
	"testing"

	"licet/refusal"
)

func TestRefusal(t *testing.T) {
	r := refusal.New(refusal.LicenseInUse, "License %s is in use.", "lic_1").With("container", "C1").With("since", 5)
	wrapped := fmt.Errorf("activate: %w", r)
	tests := []struct {
		name string
		ok   bool
	}{
		{"message", r.Error() == "License lic_1 is in use."},
		{"details", r.Details["container"] == "C1" && r.Details["since"] == 5},
		{"usual hint", r.NextStep() == refusal.Lookup(refusal.LicenseInUse).Hint},
		{"own hint", refusal.New(refusal.Expired, "x").Hinted("Do %d.", 1).NextStep() == "Do 1."},
		{"is", refusal.Is(r, refusal.LicenseInUse) && refusal.Is(wrapped, refusal.LicenseInUse)},
		{"is not", !refusal.Is(wrapped, refusal.Expired) && !refusal.Is(errors.New("x"), refusal.Internal) && !refusal.Is(nil, refusal.Done)},
	}
	for _, tt := range tests {
		if !tt.ok {
			t.Error(tt.name)
		}
	}
	if got, ok := refusal.As(wrapped); !ok || got != r {
		t.Errorf("As gave %v, %v", got, ok)
	}
}
