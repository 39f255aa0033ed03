package sdk_test

import (
	"slices"
	"strings"
	"testing"

	"licet/refusal"
	"licet/sdk"
	"licet/sdktest"
)

// TestActivate has a program redeem tickets behind screens of its own: online, by
// file, twice, mistyped, and with the vendor away.
func TestActivate(t *testing.T) {
	v := sdktest.New(t, sdktest.Product{Code: "CAD"})
	m := v.Machine(t)
	ctx, on := t.Context(), m.Options()
	one, two := v.Ticket("CAD"), v.Ticket("CAD")
	is := func(err error, code refusal.Code) {
		t.Helper()
		if !refusal.Is(err, code) {
			t.Errorf("%v, not %s", err, code)
		}
	}

	_, err := sdk.Activate(ctx, v.Trust(), []string{one[:len(one)-2] + "!!"}, on...)
	is(err, refusal.TicketUnknown)
	_, err = sdk.Activate(ctx, v.Trust(), nil, on...)
	is(err, refusal.InvalidInput)
	if _, err = sdk.Activate(ctx, []byte("no trust"), []string{one}, on...); err == nil || !strings.Contains(err.Error(), "trust file") {
		t.Error(err)
	}
	v.Offline(true)
	_, err = sdk.Activate(ctx, v.Trust(), []string{one}, on...)
	is(err, refusal.CentralUnreachable)
	v.Offline(false)

	a, err := sdk.Activate(ctx, v.Trust(), []string{strings.ToLower(one)}, on...)
	if err != nil || len(a.Licenses) != 1 || len(a.Refused) != 0 || a.Receipt != nil {
		t.Fatalf("%+v %v", a, err)
	}
	s := m.Open(v.Program("CAD"))
	if !s.Valid() || s.Verdict().License != a.Licenses[0] {
		t.Error(s.Verdict())
	}
	again, err := sdk.Activate(ctx, v.Trust(), []string{one}, on...)
	if err != nil || len(again.Licenses) != 0 {
		t.Errorf("twice: %+v %v", again, err)
	}
	elsewhere := v.Machine(t)
	taken, err := sdk.Activate(ctx, v.Trust(), []string{one}, elsewhere.Options()...)
	if err != nil || len(taken.Licenses) != 0 || len(taken.Refused) != 1 || taken.Refused[0].Code != refusal.LicenseInUse {
		t.Errorf("%+v %v", taken, err)
	}

	// By file, with no network of its own.
	v.Offline(true)
	request, err := sdk.ActivationRequest(ctx, v.Trust(), []string{two}, elsewhere.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	v.Offline(false)
	update := v.Answer(request)
	v.Offline(true)
	_, err = sdk.Import(ctx, update, on...)
	is(err, refusal.WrongContainer)
	for n := range 2 {
		b, err := sdk.Import(ctx, update, elsewhere.Options()...)
		if err != nil || (n == 0) != (len(b.Licenses) == 1) || b.Receipt == nil || slices.Contains(b.Licenses, a.Licenses[0]) {
			t.Errorf("import %d: %+v %v", n+1, b, err)
		}
	}
	if s := elsewhere.Open(v.Program("CAD")); !s.Valid() {
		t.Error(s.Verdict())
	}
}
