package catalog_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licet/internal/catalog"
	"licet/license"
	"licet/refusal"
)

func TestParseItem(t *testing.T) {
	type over = []catalog.Override
	tests := []struct {
		arg  string
		want catalog.Item
	}{
		{"CAD-PRO", catalog.Item{Code: "CAD-PRO", Quantity: 1}},
		{"CAD-PRO=5", catalog.Item{Code: "CAD-PRO", Quantity: 5}},
		{"CAD-PRO,seats=10", catalog.Item{Code: "CAD-PRO", Quantity: 1, Overrides: over{{"seats", "10"}}}},
		{"CAD-PRO=5,seats=10,expires_at=2027-06-30,features=render+export", catalog.Item{Code: "CAD-PRO", Quantity: 5,
			Overrides: over{{"seats", "10"}, {"expires_at", "2027-06-30"}, {"features", "render+export"}}}},
		{"A,borrow.max=7d,borrow.seats=2,features=,customer_text=a = b", catalog.Item{Code: "A", Quantity: 1,
			Overrides: over{{"borrow.max", "7d"}, {"borrow.seats", "2"}, {"features", ""}, {"customer_text", "a = b"}}}},
	}
	for _, tt := range tests {
		got, err := catalog.ParseItem(tt.arg)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", tt.arg, err, diff)
		}
	}
}

func TestParseItemProblems(t *testing.T) {
	tests := []struct {
		arg  string
		want []string
	}{
		{"", []string{`code: "" is not a code; use up to 64 letters, digits, and . _ - inside`}},
		{"A=0", []string{"quantity: at least one license must be ordered"}},
		{"A=x", []string{`quantity: "x" is not a whole number; write digits only`}},
		{"A=100001", []string{"quantity: 100001 is more than 100000"}},
		{"A,", []string{`"" is no override: write key=value`}},
		{"A,seats", []string{`"seats" is no override: write key=value`}},
		{"A,setas=1", []string{`unknown key "setas"; did you mean "seats"?`}},
		{"A,feature=x", []string{`unknown key "feature"; did you mean "features"?`}},
		{"A,seats=1,seats=2", []string{`key "seats" is given twice`}},
		{"A,features=x++y", []string{`features: "" is not a code; use up to 64 letters, digits, and . _ - inside`}},
		{"A,features=x+x", []string{`features: "x" is listed twice`}},
		{"A,seats=-1,expires_in=1y", []string{
			`seats: "-1" is not a whole number; write digits only`,
			`expires_in: "1y" is not a duration; write a whole number and one unit, s, m, h or d, such as 90s, 12h or 7d`}},
	}
	for _, tt := range tests {
		_, err := catalog.ParseItem(tt.arg)
		if diff := cmp.Diff(tt.want, found(t, err)); diff != "" {
			t.Errorf("%q\n%s", tt.arg, diff)
		}
	}
}

func TestNewItem(t *testing.T) {
	got, err := catalog.NewItem("A", 2, []string{"seats=3", "customer_text=one, two"})
	want := catalog.Item{Code: "A", Quantity: 2, Overrides: []catalog.Override{{"seats", "3"}, {"customer_text", "one, two"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = catalog.NewItem("A B", catalog.MaxQuantity+1, []string{"seats"})
	if diff := cmp.Diff([]string{
		`code: "A B" is not a code; use up to 64 letters, digits, and . _ - inside`,
		"quantity: 100001 is more than 100000",
		`"seats" is no override: write key=value`,
	}, found(t, err)); diff != "" {
		t.Error(diff)
	}
}

func TestResolve(t *testing.T) {
	single := license.SubscriptionSingle.Preset()
	single.Features = []string{"render"}
	multi := license.SubscriptionMulti.Preset()
	multi.Terms.Borrow = license.Borrow{Max: 7 * day, Seats: 5}
	few := multi
	few.Containers = []license.Kind{license.Token, license.Machine}
	narrow := few
	narrow.Terms.Borrow.Containers = license.KindsOf(license.Machine)
	lent := func(into license.KindSet) license.Terms {
		return license.Terms{Seats: 1, ExpiresIn: 365 * day, Borrow: license.Borrow{Max: 7 * day, Seats: 5, Containers: into}}
	}
	date, _ := license.ParseTime("2027-06-30")
	tests := []struct {
		arg      string
		product  license.Product
		terms    license.Terms
		features []string
		want     []string
	}{
		{"A", single, single.Terms, []string{"render"}, nil},
		{"A,features=", single, single.Terms, []string{}, nil},
		{"A,features=export+x", single, single.Terms, []string{"export", "x"}, nil},
		{"A,expires_at=2027-06-30", single, license.Terms{Seats: 1, ExpiresAt: date}, []string{"render"}, nil},
		{"A,expires_in=0s,min_version=4.2", single, license.Terms{Seats: 1, MinVersion: "4.2"}, []string{"render"}, nil},
		{"A,seats=10,borrow.max=1d", multi, license.Terms{Seats: 10, ExpiresIn: 365 * day, Borrow: license.Borrow{Max: day, Seats: 5}}, []string{}, nil},
		{"A,borrow.max=0s,borrow.seats=0", multi, license.Terms{Seats: 1, ExpiresIn: 365 * day}, []string{}, nil},
		{"A,seats=10,counting=station,linger=5m,transfer=seats,borrow.out=allow", multi, license.Terms{Seats: 10, ExpiresIn: 365 * day,
			Borrow: license.Borrow{Max: 7 * day, Seats: 5, Out: license.OutAllow}, Counting: license.PerStation, Linger: license.Duration(5 * time.Minute), Transfer: license.MovesSeats}, []string{}, nil},
		{"A", multi, lent(""), []string{}, nil},
		{"A,units=5,transfer=units+seats", multi, func() license.Terms {
			t := lent("")
			t.Units, t.Transfer = 5, "seats+units"
			return t
		}(), []string{}, nil},
		{"A", few, lent("machine+token"), []string{}, nil},
		{"A", narrow, lent("machine"), []string{}, nil},
		{"A,borrow.containers=token+machine", narrow, lent("machine+token"), []string{}, nil},
		{"A,borrow.max=0s,borrow.seats=0", narrow, license.Terms{Seats: 1, ExpiresIn: 365 * day}, []string{}, nil},
		{"A,borrow.containers=cloud", few, license.Terms{}, nil, []string{"borrow.containers has cloud, which is not among the containers of the product"}},
		{"A,counting=exclusive", multi, license.Terms{}, nil, []string{"counting is exclusive, so that no single seats can be borrowed"}},
		{"A,seats=10", single, license.Terms{}, nil, []string{"seats is 10, but model subscription_single has one seat"}},
		{"A,borrow.max=0s", multi, license.Terms{}, nil, []string{"borrow needs both max and seats"}},
		{"A,valid_from=2027-06-30,expires_at=2027-06-30", multi, license.Terms{}, nil,
			[]string{"the license would expire (2027-06-30T00:00:00Z) before it is valid (2027-06-30T00:00:00Z)"}},
	}
	for _, tt := range tests {
		t.Run(tt.arg, func(t *testing.T) {
			item, err := catalog.ParseItem(tt.arg)
			if err != nil {
				t.Fatal(err)
			}
			terms, features, err := item.Resolve(tt.product)
			if diff := cmp.Diff(tt.want, found(t, err)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.terms, terms); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.features, features); diff != "" {
				t.Error(diff)
			}
		})
	}
	_, unchanged, _ := catalog.Item{Code: "A"}.Resolve(single)
	if &unchanged[0] == &single.Features[0] {
		t.Error("the features of item and product are one list")
	}
	// An item can also come from a database, past ParseItem.
	_, _, err := catalog.Item{Code: "A", Overrides: []catalog.Override{{Key: "x", Value: "y"}}}.Resolve(single)
	if diff := cmp.Diff([]string{`unknown key "x"`}, found(t, err)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseItem(f *testing.F) {
	for _, seed := range []string{"", "A", "A=5", "CAD-PRO=5,seats=10,expires_at=2027-06-30,features=render+export", "A,borrow.max=7d,customer_text=a = b", "A,,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		item, err := catalog.ParseItem(arg)
		if err != nil {
			if !refusal.Is(err, refusal.InvalidInput) {
				t.Fatal(err)
			}
			return
		}
		back, err := catalog.ParseItem(item.String())
		if diff := cmp.Diff(item, back); err != nil || diff != "" {
			t.Fatalf("%v %s", err, diff)
		}
		// What parses alone resolves, unless it contradicts itself or the product.
		if _, _, err := item.Resolve(license.PerpetualMulti.Preset()); err != nil && !refusal.Is(err, refusal.InvalidInput) {
			t.Fatal(err)
		}
	})
}
