package registry

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"testing"

	"licet/wire"
)

// TestCatalogOfWebhooks: of everything that can happen it is decided whether webhooks
// tell of it; the types have names of the usual form, and fields that there are.
func TestCatalogOfWebhooks(t *testing.T) {
	for event := range sentences {
		_, told := hookTypeOf[event]
		if told == slices.Contains(notTold, event) {
			t.Errorf("%s has to be in hookTypes, or else in notTold", event)
		}
	}
	for event := range hookTypeOf {
		if sentences[event] == "" {
			t.Errorf("%s never happens", event)
		}
	}
	one := int64(1)
	all, err := json.Marshal(wire.WebhookData{Event: "e", Sequence: &one, Order: "o", License: "l", Product: "p", Generation: 1, State: "s", Container: "c", Recovery: 1, Licenses: &one, Part: "p", Seats: 1, Units: &wire.Units{},
		Subscription: "s", SubscriptionState: "a", Quantity: 1, Ends: 1, Usable: 1, Since: 1,
		Bulk: "b", Kind: "k", DryRun: new(true), Total: &one, Done: &one, Failed: &one})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(all, &fields); err != nil {
		t.Fatal(err)
	}
	unused := maps.Clone(fields)
	names := map[string]bool{}
	for _, h := range hookTypes {
		if names[h.name] || !regexp.MustCompile(`^[a-z]+\.[a-z_]+$`).MatchString(h.name) || h.text == "" {
			t.Errorf("%q is no name, or one that is taken", h.name)
		}
		names[h.name] = true
		for _, f := range h.fields {
			if fields[f] == nil {
				t.Errorf("%s has a field %q", h.name, f)
			}
			delete(unused, f)
		}
	}
	if len(unused) != 2 {
		t.Errorf("nothing has these fields: %v", unused)
	}
}
