package orderfile

import (
	"reflect"
	"strings"
	"testing"

	"licet/refusal"
	"licet/wire"
)

func TestRead(t *testing.T) {
	text := "\ufeffOrder; Customer ;PRODUCT;quantity;seats;expires_at\r\n" +
		"1001;Ada Miller;CAD-PRO;2;10;2027-06-30\r\n" +
		"1002;\"Grün; & Co.\";CAD;;;\r\n" +
		"1001;Ada Miller;CAD;;;\r\n"
	got, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Table{Rows: 3, Orders: []Order{
		{wire.OrderRequest{Number: "1001", Customer: "Ada Miller", Items: []wire.OrderItem{
			{Product: "CAD-PRO", Quantity: 2, Override: []string{"seats=10", "expires_at=2027-06-30"}}, {Product: "CAD", Quantity: 1}}}, []int{2, 4}},
		{wire.OrderRequest{Number: "1002", Customer: "Grün; & Co.", Items: []wire.OrderItem{{Product: "CAD", Quantity: 1}}}, []int{3}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// TestBadRows: each bad row is named with its line and reason, and takes its whole
// order out; the others stay.
func TestBadRows(t *testing.T) {
	for name, c := range map[string]struct {
		row    string
		reason string
	}{
		"no product":       {"1,Ada,,1,", "column product is empty"},
		"no customer":      {"1, ,CAD,1,", "column customer is empty"},
		"no number":        {",Ada,CAD,1,", "column order is empty"},
		"quantity":         {"1,Ada,CAD,many,", `"many" is no quantity`},
		"nothing":          {"1,Ada,CAD,0,", "no quantity"},
		"seats":            {"1,Ada,CAD,1,some", "seats"},
		"too few columns":  {"1,Ada,CAD", "has 3 columns"},
		"too many columns": {"1,Ada,CAD,1,1,1,1", "has 7 columns"},
		"another customer": {"1,Eve,CAD,1,", "belongs to Ada in line 2, and to Eve here"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(strings.NewReader("order,customer,product,quantity,seats\n1,Ada,CAD,1,\n" + c.row + "\n2,Bob,CAD,1,\n"))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Problems) != 1 || got.Problems[0].Line != 3 || got.Problems[0].Code != refusal.InvalidInput || !strings.Contains(got.Problems[0].Message, c.reason) {
				t.Fatalf("%+v", got.Problems)
			}
			whole := 1
			if strings.HasPrefix(c.row, ",") {
				whole = 2 // nobody knows which order it spoils
			}
			if len(got.Orders) != whole || got.Orders[whole-1].Number != "2" {
				t.Errorf("%+v", got.Orders)
			}
		})
	}
}

// TestNoTable: what cannot be read as a whole is refused as a whole.
func TestNoTable(t *testing.T) {
	for name, c := range map[string]struct{ text, reason string }{
		"empty":      {"", "empty"},
		"no header":  {"1001,Ada,CAD\n", `no column "order"`},
		"unknown":    {"order,customer,product,seat\n", `did you mean "seats"`},
		"twice":      {"order,customer,product,Order\n", "twice"},
		"quotes":     {"order,customer,product\n1,\"Ada,CAD\n", "no table"},
		"not UTF-8":  {"order,customer,product\n1,Gr\xfcn,CAD\n", "UTF-8"},
		"some other": {"PK\x03\x04", "no column"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(strings.NewReader(c.text))
			if !refusal.Is(err, refusal.InvalidInput) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v", err)
			}
		})
	}
}

// FuzzRead: whatever the file, every row is in an order or is named, and an order
// has the rows of one customer.
func FuzzRead(f *testing.F) {
	f.Add("order,customer,product\n1,Ada,CAD\n1,Ada,CAD\n2,,\n")
	f.Add("order;customer;product;quantity;seats\n1;Ada;CAD;2;3\n")
	f.Add("order\tcustomer\tproduct\n\"1\"\t\"a\nb\"\tCAD\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Read(strings.NewReader(text))
		if err != nil {
			if _, ok := refusal.As(err); !ok {
				t.Fatal(err)
			}
			return
		}
		rows, numbers := len(got.Problems), map[string]bool{}
		for _, o := range got.Orders {
			if o.Number == "" || o.Customer == "" || numbers[o.Number] || len(o.Items) != len(o.Lines) {
				t.Fatalf("%+v", o)
			}
			numbers[o.Number] = true
			rows += len(o.Items)
		}
		if rows > got.Rows || len(got.Problems) == 0 && rows != got.Rows {
			t.Fatalf("%d rows, %d accounted for", got.Rows, rows)
		}
	})
}
